//! What a node is started with; every number has its default here.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use everwarm_edge::forwarded::TrustedProxies;
use everwarm_edge::ingress::Limits;
use everwarm_edge::meter::AccessLog;
use everwarm_engine::compile::{CompileLimits, CompilerCommand};
use everwarm_engine::config::PoolSize;
use everwarm_engine::inspect::InspectLimits;
use everwarm_host::EgressConfig;

use crate::domain::Domain;
use crate::kept_answers::CacheRoom;
use crate::listeners::TlsConfig;
use crate::s3::S3Config;
use crate::secrets::KeySource;
use crate::telemetry::LogBook;
use crate::telemetry::otlp::OtlpConfig;

/// Machine code that stays mapped, in bytes, unless told otherwise.
const RESIDENT_BYTES_MAX: u64 = 1 << 30;
/// Versions of each app that are kept, unless told otherwise.
const VERSIONS_MAX: u32 = 20;
/// Requests that a node works on at once, unless told otherwise.
const REQUESTS_MAX: u32 = 4_096;

/// What a node is started with.
#[derive(Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are settings, each its own"
)]
pub struct NodeConfig {
    /// Where to listen; nowhere when `None`.
    pub listen: Option<SocketAddr>,
    /// How to speak TLS, at an address of its own; not at all when `None`.
    pub tls: Option<TlsConfig>,
    /// Folder of the store, the compiled artifacts and the node's key.
    pub data_dir: PathBuf,
    /// Under which hosts apps answer.
    pub domain: Domain,
    /// Whether to serve what served when the node last ran.
    pub restore: bool,
    /// Versions of each app that are kept, besides those that serve and the one that a rollback goes to next.
    pub versions_max: u32,
    /// Threads of the data plane; one a core by default.
    pub lanes: NonZeroUsize,
    /// Machine code that may stay mapped, in bytes.
    pub resident_bytes_max: u64,
    /// How much is kept of functions' answers.
    pub cache: CacheRoom,
    /// Requests that may be worked on at once.
    pub requests_max: u32,
    /// Instances that may be alive at once, in each world.
    pub pool: PoolSize,
    /// Bounds on connections and on what clients may take their time for.
    pub ingress: Limits,
    /// Who may say whom a request is from.
    pub trusted_proxies: TrustedProxies,
    /// Whether all responses say how they started and how long they took; otherwise functions choose.
    pub server_timing: bool,
    /// Whether to keep compiled functions between compiles, so that a small edit compiles fast.
    pub incremental: bool,
    /// How to start a compiler process.
    pub compiler: CompilerCommand,
    /// Bounds on compiling.
    pub compile_limits: CompileLimits,
    /// Bounds on components.
    pub inspect_limits: InspectLimits,
    /// Where the keys of secrets are; no secrets are kept when `None`.
    pub secrets_key: Option<KeySource>,
    /// The S3 server that new blobs are kept on; they are files when `None`.
    pub blobs_s3: Option<S3Config>,
    /// How functions' requests to the outside are sent.
    pub egress: EgressConfig,
    /// Where access events go.
    pub access_log: Arc<dyn AccessLog>,
    /// Where what functions print is kept for a while.
    pub logs: Arc<LogBook>,
    /// Whether the data folder has it too, so that a node that starts again has it.
    pub lines_on_disk: bool,
    /// Where traces, logs and metrics are sent; nowhere when `None`.
    pub otlp: Option<OtlpConfig>,
}

impl NodeConfig {
    /// The configuration of `everwarm up`: one app, timing in every response, fast recompiles.
    pub fn for_up(
        data_dir: PathBuf,
        compiler: CompilerCommand,
        access_log: Arc<dyn AccessLog>,
    ) -> Self {
        Self {
            listen: None,
            tls: None,
            data_dir,
            domain: Domain::any(),
            restore: false,
            versions_max: VERSIONS_MAX,
            lanes: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            resident_bytes_max: RESIDENT_BYTES_MAX,
            cache: CacheRoom::IN_MEMORY,
            requests_max: REQUESTS_MAX,
            pool: PoolSize::default(),
            ingress: Limits::default(),
            trusted_proxies: TrustedProxies::default(),
            server_timing: true,
            incremental: true,
            compiler,
            compile_limits: CompileLimits::default(),
            inspect_limits: InspectLimits::default(),
            secrets_key: None,
            blobs_s3: None,
            egress: EgressConfig::default(),
            access_log,
            logs: Arc::default(),
            lines_on_disk: false,
            otlp: None,
        }
    }
}

impl NodeConfig {
    /// The configuration of `everwarm serve`: many apps below a domain, and what served before serves again.
    pub fn for_serve(
        data_dir: PathBuf,
        domain: Domain,
        compiler: CompilerCommand,
        access_log: Arc<dyn AccessLog>,
    ) -> Self {
        Self {
            domain,
            restore: true,
            cache: CacheRoom::ON_DISK,
            server_timing: false,
            incremental: false,
            lines_on_disk: true,
            secrets_key: Some(KeySource::DataFolder),
            ..Self::for_up(data_dir, compiler, access_log)
        }
    }
}

impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}
