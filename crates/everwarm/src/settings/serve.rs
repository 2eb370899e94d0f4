//! What `serve` is told: by flags, the environment, a file, and defaults, in this order, resolved once.

use std::env;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use everwarm_manifest::{ByteSize, Hostname, Millis};
use serde::{Deserialize, Serialize};

use super::blobs::{self, Blobs};
use super::clients::{self, Clients};
use super::egress::{self, Egress};
use super::otlp::{self, Otlp};
use super::{ADMIN_DEFAULT, LISTEN_DEFAULT, Tls, parse_listen};
use crate::args::{BoundsArgs, ServeArgs};
use crate::exit::{Exit, Failure};

const BASE_DOMAIN_DEFAULT: &str = "localhost";
const DATA_DIR_DEFAULT: &str = "everwarm-data";
/// Where systemd has a service keep its state (systemd.exec(5), StateDirectory=).
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// What a file may say. The names are the flags'.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "a flag ends in `file`")]
pub(super) struct File {
    listen: Option<String>,
    admin: Option<String>,
    base_domain: Option<String>,
    data_dir: Option<PathBuf>,
    versions_max: Option<NonZeroU32>,
    drain_max: Option<String>,
    requests_max: Option<NonZeroU32>,
    instances_max: Option<NonZeroU32>,
    resident_max: Option<String>,
    cache_memory_max: Option<String>,
    cache_disk_max: Option<String>,
    trusted_proxies: Option<String>,
    connections_max: Option<NonZeroU32>,
    connections_per_address_max: Option<NonZeroU32>,
    head_time_max: Option<String>,
    body_idle_max: Option<String>,
    name_servers: Option<Vec<String>>,
    trusted_cas: Option<Vec<PathBuf>>,
    secrets_key_file: Option<PathBuf>,
    compile_time_max: Option<String>,
    compile_memory_max: Option<String>,
    log: Option<String>,
    pub(super) tls_listen: Option<String>,
    pub(super) tls_certificates: Option<PathBuf>,
    pub(super) https_only: Option<bool>,
    pub(super) admin_certificate: Option<PathBuf>,
    pub(super) admin_key: Option<PathBuf>,
    pub(super) acme_agree_to_terms: Option<bool>,
    pub(super) acme_contact: Option<String>,
    pub(super) acme_directory: Option<String>,
    pub(super) acme_root: Option<PathBuf>,
    otlp_endpoint: Option<String>,
    otlp_sample_ratio: Option<f64>,
    blobs_s3_endpoint: Option<String>,
    blobs_s3_bucket: Option<String>,
    blobs_s3_prefix: Option<String>,
    blobs_s3_region: Option<String>,
    blobs_s3_virtual_host: Option<bool>,
    blobs_s3_allow_http: Option<bool>,
    blobs_s3_keys_file: Option<PathBuf>,
    blobs_s3_silence_max: Option<String>,
}

/// What is in force.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Serve {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    #[serde(serialize_with = "as_text")]
    pub(crate) base_domain: Hostname,
    pub(crate) data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) versions_max: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain_max: Option<Millis>,
    /// What this start is to do; no setting of the node's.
    #[serde(skip)]
    pub(crate) take_over: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests_max: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instances_max: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resident_max: Option<ByteSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_memory_max: Option<ByteSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_disk_max: Option<ByteSize>,
    #[serde(flatten)]
    pub(crate) clients: Clients,
    #[serde(flatten)]
    pub(crate) egress: Egress,
    /// A file of keys; where they are without one is seen at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_time_max: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_memory_max: Option<ByteSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    #[serde(flatten)]
    pub(crate) tls: Tls,
    #[serde(flatten)]
    pub(crate) otlp: Otlp,
    #[serde(flatten)]
    pub(crate) blobs: Blobs,
}

fn as_text<S: serde::Serializer>(host: &Hostname, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(host.as_str())
}

impl Serve {
    /// Resolves flags and environment (which clap has put together), the file, and defaults.
    ///
    /// # Errors
    /// When the file can't be read, or a value isn't one.
    pub(crate) fn resolve(args: &ServeArgs) -> Result<Self, Failure> {
        let file = args.config.as_deref().map(read).transpose()?;
        resolved(args, file.unwrap_or_default(), state_dir())
    }

    /// The bounds as `up` has them.
    pub(crate) fn bounds(&self) -> BoundsArgs {
        BoundsArgs {
            requests_max: self.requests_max,
            instances_max: self.instances_max,
            resident_max: self.resident_max,
            cache_memory_max: self.cache_memory_max,
            cache_disk_max: self.cache_disk_max,
        }
    }
}

/// Where a node keeps its data that no file says it of.
pub(crate) fn node_data_dir(flag: Option<PathBuf>) -> PathBuf {
    data_dir_of(flag, None, state_dir())
}

/// Where systemd has a service keep its state.
fn state_dir() -> Option<PathBuf> {
    env::var_os(STATE_DIRECTORY).map(PathBuf::from)
}

fn data_dir_of(
    flag: Option<PathBuf>,
    file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
) -> PathBuf {
    flag.or(file)
        .or(state_dir)
        .unwrap_or_else(|| DATA_DIR_DEFAULT.into())
}

fn read(path: &Path) -> Result<File, Failure> {
    let failed = |reason: String| {
        Failure::uncoded(
            Exit::Usage,
            format!("the settings in {}: {reason}", path.display()),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    toml::from_str(&text).map_err(|error| failed(error.to_string()))
}

/// What a file says of where blobs are.
fn blobs_in(file: &mut File) -> blobs::FromFile {
    blobs::FromFile {
        endpoint: file.blobs_s3_endpoint.take(),
        bucket: file.blobs_s3_bucket.take(),
        prefix: file.blobs_s3_prefix.take(),
        region: file.blobs_s3_region.take(),
        virtual_host: file.blobs_s3_virtual_host,
        allow_http: file.blobs_s3_allow_http,
        keys_file: file.blobs_s3_keys_file.take(),
        silence_max: file.blobs_s3_silence_max.take(),
    }
}

fn clients_in(file: &mut File) -> clients::FromFile {
    clients::FromFile {
        trusted_proxies: file.trusted_proxies.take(),
        connections_max: file.connections_max.take(),
        connections_per_address_max: file.connections_per_address_max.take(),
        head_time_max: file.head_time_max.take(),
        body_idle_max: file.body_idle_max.take(),
    }
}

fn otlp_in(file: &mut File) -> otlp::FromFile {
    otlp::FromFile {
        otlp_endpoint: file.otlp_endpoint.take(),
        otlp_sample_ratio: file.otlp_sample_ratio.take(),
    }
}

fn resolved(
    args: &ServeArgs,
    mut file: File,
    state_dir: Option<PathBuf>,
) -> Result<Serve, Failure> {
    let tls = Tls::resolve(&args.tls, &file)?;
    let wrong =
        |name: &str, reason: String| Failure::uncoded(Exit::Usage, format!("`{name}`: {reason}"));
    let otlp = Otlp::resolve(&args.otlp, otlp_in(&mut file));
    let otlp = otlp.map_err(|(name, reason)| wrong(name, reason))?;
    let clients = Clients::resolve(&args.clients, clients_in(&mut file));
    let clients = clients.map_err(|(name, reason)| wrong(name, reason))?;
    let blobs = Blobs::resolve(&args.blobs, blobs_in(&mut file));
    let blobs = blobs.map_err(|(name, reason)| wrong(name, reason))?;
    let address =
        |flag: Option<SocketAddr>, file: Option<String>, name: &str, default: &str| match flag {
            Some(address) => Ok(address),
            None => parse_listen(file.as_deref().unwrap_or(default))
                .map_err(|reason| wrong(name, reason)),
        };
    let base_domain = args.base_domain.clone().or(file.base_domain);
    let base_domain = base_domain.as_deref().unwrap_or(BASE_DOMAIN_DEFAULT);
    let egress = Egress::resolve(
        &args.egress,
        egress::FromFile {
            name_servers: file.name_servers,
            trusted_cas: file.trusted_cas,
        },
    );
    let egress = egress.map_err(|(name, reason)| wrong(name, reason))?;
    let size = |flag: Option<ByteSize>, file: Option<String>, name: &str| {
        let file = file.map(|text| text.parse::<ByteSize>()).transpose();
        let file = file.map_err(|error| wrong(name, error.to_string()))?;
        Ok::<_, Failure>(flag.or(file))
    };
    let drain_max = match (args.drain_max, file.drain_max) {
        (Some(time), _) => Some(time),
        (None, Some(text)) => {
            let time: Result<Millis, _> = text.parse();
            Some(time.map_err(|error| wrong("drain-max", error.to_string()))?)
        }
        (None, None) => None,
    };
    let compile_time_max = file.compile_time_max.map(|text| text.parse::<Millis>());
    let compile_time_max = compile_time_max
        .transpose()
        .map_err(|error| wrong("compile-time-max", error.to_string()))?;
    let admin = address(args.admin, file.admin, "admin", ADMIN_DEFAULT)?;
    tls.check_admin(admin)?;
    Ok(Serve {
        listen: address(args.listen, file.listen, "listen", LISTEN_DEFAULT)?,
        admin,
        base_domain: Hostname::parse(base_domain)
            .map_err(|error| wrong("base-domain", error.to_string()))?,
        data_dir: data_dir_of(args.data_dir.clone(), file.data_dir, state_dir),
        versions_max: args.versions_max.or(file.versions_max),
        drain_max,
        take_over: args.take_over,
        requests_max: args.bounds.requests_max.or(file.requests_max),
        instances_max: match (args.bounds.instances_max, file.instances_max) {
            (None, Some(number)) => Some(
                super::parse_instances(&number.to_string())
                    .map_err(|reason| wrong("instances-max", reason))?,
            ),
            (flag, _) => flag,
        },
        clients,
        egress,
        secrets_key_file: args
            .secrets_key
            .secrets_key_file
            .clone()
            .or(file.secrets_key_file),
        resident_max: size(args.bounds.resident_max, file.resident_max, "resident-max")?,
        cache_memory_max: size(
            args.bounds.cache_memory_max,
            file.cache_memory_max,
            "cache-memory-max",
        )?,
        cache_disk_max: size(
            args.bounds.cache_disk_max,
            file.cache_disk_max,
            "cache-disk-max",
        )?,
        compile_time_max: args.compile_time_max.or(compile_time_max),
        compile_memory_max: size(
            args.compile_memory_max,
            file.compile_memory_max,
            "compile-memory-max",
        )?,
        log: args.log.log.clone().or(file.log),
        tls,
        otlp,
        blobs,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn resolve(flags: &[&str], file: &str, state_dir: Option<&str>) -> Result<Serve, Failure> {
        let typed = ["everwarm", "serve"].iter().chain(flags);
        let Command::Serve(args) = Args::try_parse_from(typed).unwrap().command else {
            unreachable!("the verb is `serve`")
        };
        let file = toml::from_str(file).unwrap();
        resolved(&args, file, state_dir.map(PathBuf::from))
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let file = "admin = \"127.0.0.1:7\"\nbase-domain = \"apps.example.com\"\nresident-max = \"2GiB\"\n";
        let serve = resolve(&["--admin", "9"], file, None).unwrap();
        assert_eq!(serve.admin.port(), 9);
        assert_eq!(serve.listen.to_string(), LISTEN_DEFAULT);
        assert_eq!(serve.base_domain.as_str(), "apps.example.com");
        assert_eq!(serve.resident_max, Some(ByteSize::gib(2)));
        assert_eq!(serve.data_dir, Path::new(DATA_DIR_DEFAULT));
    }

    #[test]
    fn what_is_in_force_reads_back_as_a_file() {
        let flags = [
            "--trusted-proxies",
            "10.0.0.0/8,::1",
            "--connections-max",
            "7",
            "--otlp-endpoint",
            "http://127.0.0.1:4318/",
        ];
        let file = "head-time-max = \"5s\"\notlp-sample-ratio = 0.5\n";
        let serve = resolve(&flags, file, None).unwrap();
        let shown = toml::to_string(&serve).unwrap();
        let again = resolve(&[], &shown, None).unwrap();
        assert_eq!(again.clients, serve.clients, "{shown}");
        let otlp = again.otlp.config().unwrap();
        assert_eq!(otlp.url.to_string(), "http://127.0.0.1:4318");
        assert_eq!(otlp.recorded, u32::MAX / 2);
        assert_eq!(again.clients.limits.connections_max, 7);
        assert_eq!(again.clients.limits.head_time_max.as_secs(), 5);
        assert!(again.clients.trusted_proxies.has([10, 1, 1, 1].into()));
    }

    #[test]
    fn folder_of_systemd_holds_where_no_other_was_given() {
        let serve = resolve(&[], "", Some("/var/lib/everwarm")).unwrap();
        assert_eq!(serve.data_dir, Path::new("/var/lib/everwarm"));
        let serve = resolve(&["--data-dir", "x"], "", Some("/var/lib/everwarm")).unwrap();
        assert_eq!(serve.data_dir, Path::new("x"));
    }

    #[test]
    fn wrong_value_in_a_file_is_named() {
        for (file, name) in [
            ("listen = \"everywhere\"\n", "`listen`"),
            ("trusted-proxies = \"everybody\"\n", "`trusted-proxies`"),
            ("head-time-max = \"soon\"\n", "`head-time-max`"),
            ("otlp-endpoint = \"here\"\n", "`otlp-endpoint`"),
            ("otlp-sample-ratio = 2.0\n", "`otlp-sample-ratio`"),
        ] {
            let failure = resolve(&[], file, None).unwrap_err();
            assert!(failure.message.contains(name), "{}", failure.message);
        }
        assert!(toml::from_str::<File>("lissten = \"1\"\n").is_err());
    }
}
