//! Where blobs are: in files, or on an S3 server.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use everwarm_manifest::Millis;
use everwarm_node::s3::{NotS3, S3Config, S3Keys};
use serde::Serialize;

use super::secrets::credential;
use crate::args::BlobsArgs;
use crate::exit::{Exit, Failure};

const PREFIX_DEFAULT: &str = "everwarm";
const REGION_DEFAULT: &str = "us-east-1";
const SILENCE_DEFAULT: Duration = Duration::from_secs(10);
/// Why what is said of a bucket is refused where none is.
const ALONE: &str =
    "blobs are files, for no bucket is said: say blobs-s3-endpoint and blobs-s3-bucket too";
/// The credential's name.
const CREDENTIAL: &str = "everwarm-blobs-s3";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FromFile {
    pub(super) endpoint: Option<String>,
    pub(super) bucket: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) region: Option<String>,
    pub(super) virtual_host: Option<bool>,
    pub(super) allow_http: Option<bool>,
    pub(super) keys_file: Option<PathBuf>,
    pub(super) silence_max: Option<String>,
}

/// What is in force. Nothing is, where blobs are files.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "the names are the flags'")]
pub(crate) struct Blobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_region: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    blobs_s3_virtual_host: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    blobs_s3_allow_http: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_keys_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_s3_silence_max: Option<Millis>,
    #[serde(skip)]
    config: Option<S3Config>,
}

impl Blobs {
    /// Flags and environment first, then the file.
    ///
    /// # Errors
    /// The name of a setting, and why it isn't one.
    pub(super) fn resolve(
        args: &BlobsArgs,
        file: FromFile,
    ) -> Result<Self, (&'static str, String)> {
        let alone = said_beside(args, &file);
        let endpoint = or(
            args.blobs_s3_endpoint.as_ref(),
            file.endpoint,
            "blobs-s3-endpoint",
        )?;
        let bucket = or(
            args.blobs_s3_bucket.as_ref(),
            file.bucket,
            "blobs-s3-bucket",
        )?;
        let (endpoint, bucket) = match (endpoint, bucket) {
            (None, None) => {
                let nothing = || Ok(Self::default());
                return alone.map_or_else(nothing, |name| Err((name, ALONE.to_owned())));
            }
            (Some(endpoint), Some(bucket)) => (endpoint, bucket),
            (None, Some(_)) => {
                return Err(missing("blobs-s3-endpoint", "the bucket's server"));
            }
            (Some(_), None) => return Err(missing("blobs-s3-bucket", "the server's bucket")),
        };
        let allow_http = args.blobs_s3_allow_http || file.allow_http.unwrap_or_default();
        if endpoint.is_in_the_clear() && !allow_http {
            let reason = "it is spoken with in the clear, so that everybody on the way reads and changes blobs: use \
                 https://, or allow it with --blobs-s3-allow-http where nobody is on the way";
            return Err(("blobs-s3-endpoint", reason.to_owned()));
        }
        let prefix = or(
            args.blobs_s3_prefix.as_ref(),
            file.prefix,
            "blobs-s3-prefix",
        )?;
        let prefix = match prefix {
            Some(prefix) => prefix,
            None => parsed(PREFIX_DEFAULT, "blobs-s3-prefix")?,
        };
        let region = or(
            args.blobs_s3_region.as_ref(),
            file.region,
            "blobs-s3-region",
        )?;
        let region = match region {
            Some(region) => region,
            None => parsed(REGION_DEFAULT, "blobs-s3-region")?,
        };
        let virtual_host = args.blobs_s3_virtual_host || file.virtual_host.unwrap_or_default();
        let silence = silence_max(args.blobs_s3_silence_max, file.silence_max)?;
        let keys_file = args.blobs_s3_keys_file.clone().or(file.keys_file);
        let keys = keys(keys_file.as_deref())
            .ok_or_else(|| missing("blobs-s3-keys-file", "the keys of the bucket"))?;
        Ok(Self {
            blobs_s3_endpoint: Some(endpoint.to_string()),
            blobs_s3_bucket: Some(bucket.to_string()),
            blobs_s3_prefix: Some(prefix.to_string()),
            blobs_s3_region: Some(region.to_string()),
            blobs_s3_virtual_host: virtual_host,
            blobs_s3_allow_http: allow_http,
            blobs_s3_keys_file: keys_file,
            blobs_s3_silence_max: silence,
            config: Some(S3Config {
                endpoint,
                bucket,
                prefix,
                region,
                virtual_host,
                keys,
                silence_max: silence.map_or(SILENCE_DEFAULT, Millis::duration),
            }),
        })
    }

    /// What flags and the environment say, where there is no file.
    pub(crate) fn of_args(args: &BlobsArgs) -> Result<Self, Failure> {
        Self::resolve(args, FromFile::default())
            .map_err(|(name, reason)| Failure::uncoded(Exit::Usage, format!("`{name}`: {reason}")))
    }

    /// For the node.
    pub(crate) fn config(&self) -> Option<S3Config> {
        self.config.clone()
    }
}

/// The first setting that is said of a server and its bucket, but for themselves.
fn said_beside(args: &BlobsArgs, file: &FromFile) -> Option<&'static str> {
    let said = [
        (
            args.blobs_s3_prefix.is_some() || file.prefix.is_some(),
            "blobs-s3-prefix",
        ),
        (
            args.blobs_s3_region.is_some() || file.region.is_some(),
            "blobs-s3-region",
        ),
        (
            args.blobs_s3_virtual_host || file.virtual_host.is_some(),
            "blobs-s3-virtual-host",
        ),
        (
            args.blobs_s3_allow_http || file.allow_http.is_some(),
            "blobs-s3-allow-http",
        ),
        (
            args.blobs_s3_keys_file.is_some() || file.keys_file.is_some(),
            "blobs-s3-keys-file",
        ),
        (
            args.blobs_s3_silence_max.is_some() || file.silence_max.is_some(),
            "blobs-s3-silence-max",
        ),
    ];
    said.into_iter()
        .find_map(|(is_said, name)| is_said.then_some(name))
}

/// How long the server may be silent, where that is said.
fn silence_max(
    flag: Option<Millis>,
    file: Option<String>,
) -> Result<Option<Millis>, (&'static str, String)> {
    let wrong = |reason: String| ("blobs-s3-silence-max", reason);
    let file = file.map(|text| text.parse::<Millis>()).transpose();
    let file = file.map_err(|error| wrong(error.to_string()))?;
    let silence = flag.or(file);
    if silence == Some(Millis::new(0)) {
        return Err(wrong("no server answers in no time".to_owned()));
    }
    Ok(silence)
}

/// Where the keys are: the file that was said, else the first that there is.
fn keys(file: Option<&Path>) -> Option<S3Keys> {
    match (file, credential(CREDENTIAL)) {
        (Some(file), _) => Some(S3Keys::File(file.to_owned())),
        (None, Some(credential)) => Some(S3Keys::Credential(credential)),
        (None, None) => {
            S3Keys::of_environment(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        }
    }
}

fn missing(name: &'static str, what: &str) -> (&'static str, String) {
    (name, format!("say {what} too"))
}

fn parsed<T: std::str::FromStr<Err = NotS3>>(
    text: &str,
    name: &'static str,
) -> Result<T, (&'static str, String)> {
    text.parse()
        .map_err(|error: NotS3| (name, error.to_string()))
}

fn or<T: Clone + std::str::FromStr<Err = NotS3>>(
    flag: Option<&T>,
    file: Option<String>,
    name: &'static str,
) -> Result<Option<T>, (&'static str, String)> {
    match (flag, file) {
        (Some(flag), _) => Ok(Some(flag.clone())),
        (None, Some(text)) => parsed(&text, name).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(endpoint: &str, more: impl FnOnce(&mut FromFile)) -> Result<Blobs, String> {
        let mut file = FromFile {
            endpoint: Some(endpoint.to_owned()),
            bucket: Some("blobs".to_owned()),
            keys_file: Some("keys".into()),
            ..FromFile::default()
        };
        more(&mut file);
        let resolved = Blobs::resolve(&BlobsArgs::default(), file);
        resolved.map_err(|(name, reason)| format!("{name}: {reason}"))
    }

    #[test]
    fn blobs_are_files_unless_a_server_and_its_bucket_are_said() {
        let nothing = Blobs::resolve(&BlobsArgs::default(), FromFile::default());
        assert!(nothing.unwrap().config().is_none());
        let blobs = resolve("https://s3.example.com", |_| {}).unwrap();
        let config = blobs.config().unwrap();
        assert_eq!(config.prefix.to_string(), "everwarm");
        assert_eq!(config.silence_max, SILENCE_DEFAULT);
        let error = resolve("https://s3.example.com", |file| file.bucket = None).unwrap_err();
        assert!(error.starts_with("blobs-s3-bucket: "), "{error}");
        let error = resolve("https://s3.example.com", |file| {
            file.silence_max = Some("soon".to_owned());
        });
        assert!(error.unwrap_err().starts_with("blobs-s3-silence-max: "));
        let error = resolve("https://s3.example.com", |file| {
            file.region = Some("eu central".to_owned());
        });
        assert!(error.unwrap_err().starts_with("blobs-s3-region: "));
    }

    #[test]
    fn server_that_may_never_be_silent_is_refused() {
        let error = resolve("https://s3.example.com", |file| {
            file.silence_max = Some("0ms".to_owned());
        });
        assert!(error.unwrap_err().starts_with("blobs-s3-silence-max: "));
        let args = BlobsArgs {
            blobs_s3_silence_max: Some(Millis::new(0)),
            ..BlobsArgs::default()
        };
        let file = FromFile {
            endpoint: Some("https://s3.example.com".to_owned()),
            bucket: Some("blobs".to_owned()),
            keys_file: Some("keys".into()),
            ..FromFile::default()
        };
        let (name, _) = Blobs::resolve(&args, file).unwrap_err();
        assert_eq!(name, "blobs-s3-silence-max");
    }

    #[test]
    fn settings_of_a_bucket_that_is_not_said_are_refused() {
        let files = [
            FromFile {
                prefix: Some("a".to_owned()),
                ..FromFile::default()
            },
            FromFile {
                region: Some("eu-central-1".to_owned()),
                ..FromFile::default()
            },
            FromFile {
                virtual_host: Some(true),
                ..FromFile::default()
            },
            FromFile {
                allow_http: Some(false),
                ..FromFile::default()
            },
            FromFile {
                keys_file: Some("keys".into()),
                ..FromFile::default()
            },
            FromFile {
                silence_max: Some("5s".to_owned()),
                ..FromFile::default()
            },
        ];
        for file in files {
            let told = format!("{file:?}");
            let (_, reason) = Blobs::resolve(&BlobsArgs::default(), file).unwrap_err();
            assert!(reason.contains("blobs-s3-endpoint"), "{told}: {reason}");
            assert!(reason.contains("blobs-s3-bucket"), "{told}: {reason}");
        }
        let args = BlobsArgs {
            blobs_s3_allow_http: true,
            ..BlobsArgs::default()
        };
        let (name, _) = Blobs::resolve(&args, FromFile::default()).unwrap_err();
        assert_eq!(name, "blobs-s3-allow-http");
    }

    #[test]
    fn server_is_spoken_with_in_the_clear_on_purpose_alone() {
        let error = resolve("http://127.0.0.1:9000", |_| {}).unwrap_err();
        assert!(error.contains("--blobs-s3-allow-http"), "{error}");
        let allowed = resolve("http://127.0.0.1:9000", |file| file.allow_http = Some(true));
        assert!(allowed.unwrap().config().is_some());
    }
}
