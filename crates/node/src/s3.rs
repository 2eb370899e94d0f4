//! The S3 server that blobs are kept on, where the operator has chosen one: its address, and the keys that requests to it
//! are signed with.
//!
//! Owns what is taken for such settings, and where keys come from. What is asked of the server is the store's, how it is
//! reached the network's (`everwarm_host::own_http`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use everwarm_host::{EgressConfig, EgressError, own_http};
use everwarm_store::embedded::BucketConfig;
use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;
use zeroize::Zeroize as _;

use crate::secrets::{FileFault, OTHERS, OTHERS_OF_A_CREDENTIAL, read_private};

/// The name of the key's id, in a file and in the environment, as AWS's own tools have it.
const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
/// That of the key.
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// That of what goes along with a key that is valid for a time.
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// Bytes of a file of keys.
const FILE_BYTES_MAX: usize = 16 << 10;
/// Bytes of what the names of objects begin with.
const PREFIX_BYTES_MAX: usize = 256;
/// Bytes of a region's name.
const REGION_BYTES_MAX: usize = 64;

/// Where blobs are, and how the server is spoken with.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The server.
    pub endpoint: S3Endpoint,
    /// The bucket.
    pub bucket: BucketName,
    /// What the names of all objects begin with.
    pub prefix: ObjectPrefix,
    /// The region that requests are signed for.
    pub region: S3Region,
    /// Whether the bucket's name is in the host instead of the path.
    pub virtual_host: bool,
    /// Where its keys are.
    pub keys: S3Keys,
    /// How long the server may be silent.
    pub silence_max: Duration,
}

/// A server's address: a scheme, a host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Endpoint(Uri);

/// The name of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName(String);

/// What the names of objects begin with: parts with `/` between, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectPrefix(String);

/// The name of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Region(String);

/// A text that isn't what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotS3 {
    /// No address of a server.
    #[error(
        "it isn't the address of an S3 server: write http:// or https://, a host and perhaps a port, as in \
         https://s3.eu-central-1.amazonaws.com"
    )]
    Endpoint,
    /// No name of a bucket.
    #[error("a bucket's name has 3 to 63 letters, digits, dots, hyphens and underscores")]
    Bucket,
    /// No beginning of names.
    #[error(
        "it has up to {PREFIX_BYTES_MAX} letters, digits, dots, hyphens and underscores, with `/` between"
    )]
    Prefix,
    /// No name of a region.
    #[error(
        "a region's name has up to {REGION_BYTES_MAX} letters, digits, dots, hyphens and underscores, as in eu-central-1"
    )]
    Region,
}

impl FromStr for S3Endpoint {
    type Err = NotS3;

    fn from_str(text: &str) -> Result<Self, NotS3> {
        let uri: Uri = text.parse().map_err(|_| NotS3::Endpoint)?;
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(NotS3::Endpoint)?;
        // What is in an address may be shown: keys have a place of their own.
        let is_plain = !authority.as_str().contains('@');
        if !has_scheme || !is_plain || uri.path() != "/" || uri.query().is_some() {
            return Err(NotS3::Endpoint);
        }
        Ok(Self(uri))
    }
}

impl S3Endpoint {
    /// Whether what is sent there can be read on the way.
    pub fn is_in_the_clear(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }
}

impl fmt::Display for S3Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

impl FromStr for BucketName {
    type Err = NotS3;

    fn from_str(text: &str) -> Result<Self, NotS3> {
        let is_name = (3..=63).contains(&text.len()) && is_plain(text);
        // A part of a path or a host, and of nothing else.
        let is_name = is_name && !text.starts_with('.') && !text.contains("..");
        is_name.then(|| Self(text.to_owned())).ok_or(NotS3::Bucket)
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectPrefix {
    type Err = NotS3;

    fn from_str(text: &str) -> Result<Self, NotS3> {
        let is_part =
            |part: &str| !part.is_empty() && is_plain(part) && part != "." && part != "..";
        let is_prefix =
            text.is_empty() || (text.len() <= PREFIX_BYTES_MAX && text.split('/').all(is_part));
        is_prefix
            .then(|| Self(text.to_owned()))
            .ok_or(NotS3::Prefix)
    }
}

impl fmt::Display for ObjectPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for S3Region {
    type Err = NotS3;

    fn from_str(text: &str) -> Result<Self, NotS3> {
        let is_region = (1..=REGION_BYTES_MAX).contains(&text.len()) && is_plain(text);
        is_region
            .then(|| Self(text.to_owned()))
            .ok_or(NotS3::Region)
    }
}

impl fmt::Display for S3Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where keys are.
#[derive(Debug, Clone)]
pub enum S3Keys {
    /// A file that the operator keeps, with lines of `NAME=value`.
    File(PathBuf),
    /// The same, which systemd made for this service.
    Credential(PathBuf),
    /// The environment, as lines too.
    Variables(SecretString),
}

impl S3Keys {
    /// Those of the environment, with names that AWS's own tools have; `None` when there are none.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let mut text = String::new();
        for name in [ACCESS_KEY, SECRET_KEY, SESSION_TOKEN] {
            if let Some(mut value) = variable(name) {
                text.extend([name, "=", &value, "\n"]);
                value.zeroize();
            }
        }
        (!text.is_empty()).then(|| Self::Variables(text.into()))
    }
}

/// The bucket can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A file isn't one that keys are read from.
    #[error("the keys of the blobs' S3 server in {}: {fault}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// What there is are no keys.
    #[error(
        "the keys of the blobs' S3 server {place}: there has to be {ACCESS_KEY} and {SECRET_KEY}, each as a line \
         NAME=value, and nothing else but {SESSION_TOKEN} and comments"
    )]
    NoKeys {
        /// Where they were looked for.
        place: String,
    },
    /// The network can't be set up.
    #[error(transparent)]
    Network(#[from] EgressError),
}

impl S3Error {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::NoKeys { .. } => "EW4009",
            Self::Network(_) => "EW4030",
        }
    }
}

/// What signs requests.
struct Keys {
    access: String,
    secret: SecretString,
    token: Option<SecretString>,
}

/// The bucket as the store has it. Reads the keys, and asks the server nothing.
pub(crate) fn bucket(config: &S3Config, egress: &EgressConfig) -> Result<BucketConfig, S3Error> {
    let keys = read(&config.keys)?;
    let runtime = Handle::current();
    Ok(BucketConfig {
        endpoint: config.endpoint.to_string(),
        bucket: config.bucket.to_string(),
        prefix: config.prefix.to_string(),
        region: config.region.to_string(),
        virtual_host: config.virtual_host,
        access_key: keys.access,
        secret_key: keys.secret,
        session_token: keys.token,
        patience: config.silence_max,
        http: own_http(egress, runtime.clone(), config.silence_max)?,
        runtime,
    })
}

fn read(source: &S3Keys) -> Result<Keys, S3Error> {
    let (path, others) = match source {
        S3Keys::File(path) => (path, OTHERS),
        S3Keys::Credential(path) => (path, OTHERS_OF_A_CREDENTIAL),
        S3Keys::Variables(text) => {
            return keys_in(text.expose_secret()).ok_or_else(|| S3Error::NoKeys {
                place: "in the environment".to_owned(),
            });
        }
    };
    let mut text = read_private(path, others, FILE_BYTES_MAX).map_err(|fault| S3Error::File {
        path: path.clone(),
        fault,
    })?;
    let keys = keys_in(&text);
    text.zeroize();
    keys.ok_or_else(|| S3Error::NoKeys {
        place: format!("in {}", path.display()),
    })
}

/// The keys of lines; `None` when they aren't those, or there is anything else.
fn keys_in(text: &str) -> Option<Keys> {
    let (mut access, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let is_value = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        let place = match name.trim_end() {
            ACCESS_KEY => &mut access,
            SECRET_KEY => &mut secret,
            SESSION_TOKEN => &mut token,
            _ => return None,
        };
        if !is_value || place.replace(value).is_some() {
            return None;
        }
    }
    Some(Keys {
        access: access?.to_owned(),
        secret: secret?.into(),
        token: token.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn server_bucket_prefix_and_region_are_plain_names() {
        for good in [
            "https://s3.eu-central-1.amazonaws.com",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000",
        ] {
            let endpoint: S3Endpoint = good.parse().unwrap();
            assert_eq!(endpoint.to_string(), good.trim_end_matches('/'));
        }
        for wrong in [
            "",
            "s3.example.com",
            "ftp://example.com",
            "https://key:secret@example.com",
            "https://example.com/bucket",
            "https://example.com/?x=1",
        ] {
            assert!(wrong.parse::<S3Endpoint>().is_err(), "{wrong}");
        }
        assert!("my-blobs.eu".parse::<BucketName>().is_ok());
        for wrong in ["", "ab", "a/b", "a b c", "../x", &"x".repeat(64)] {
            assert!(wrong.parse::<BucketName>().is_err(), "{wrong}");
        }
        for good in ["", "everwarm", "a/b-c/d_e.f"] {
            assert!(good.parse::<ObjectPrefix>().is_ok(), "{good}");
        }
        for wrong in ["/", "/a", "a/", "a//b", "a/../b", "a b", &"x".repeat(257)] {
            assert!(wrong.parse::<ObjectPrefix>().is_err(), "{wrong}");
        }
        for good in ["us-east-1", "auto", "RegionOne", "fr_par.1"] {
            let region: S3Region = good.parse().unwrap();
            assert_eq!(region.to_string(), good);
        }
        for wrong in ["", "eu central", "eu/1", "eu-1\n", "über", &"x".repeat(65)] {
            assert!(wrong.parse::<S3Region>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_read_from_lines_and_never_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let good = "# of the bucket\nAWS_ACCESS_KEY_ID=id\n\nAWS_SECRET_ACCESS_KEY = hunter2=+/\n";
        write(good, 0o600);
        let keys = read(&S3Keys::File(path.clone())).unwrap();
        assert_eq!(keys.access, "id");
        assert_eq!(keys.secret.expose_secret(), "hunter2=+/");
        assert!(keys.token.is_none());
        write(good, 0o644);
        assert!(read(&S3Keys::File(path.clone())).is_err(), "others read it");
        for wrong in [
            "",
            "hunter2",
            "AWS_ACCESS_KEY_ID=id",
            "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=hunter2\nother=hunter2",
            "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=hunter2\nAWS_SECRET_ACCESS_KEY=hunter2",
            "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=",
        ] {
            write(wrong, 0o600);
            let error = read(&S3Keys::File(path.clone())).err().unwrap();
            let told = format!("{error} {error:?}");
            assert!(told.contains("AWS_SECRET_ACCESS_KEY"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn environment_has_keys_by_the_names_of_others_tools() {
        let of = |set: &'static [(&str, &str)]| {
            S3Keys::of_environment(move |name| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(of(&[]).is_none());
        let keys = of(&[
            (ACCESS_KEY, "id"),
            (SECRET_KEY, "hunter2"),
            (SESSION_TOKEN, "t"),
        ]);
        let keys = keys.unwrap();
        assert!(!format!("{keys:?}").contains("hunter2"));
        let keys = read(&keys).unwrap();
        assert_eq!(keys.token.unwrap().expose_secret(), "t");
        assert!(read(&of(&[(ACCESS_KEY, "id")]).unwrap()).is_err());
    }
}
