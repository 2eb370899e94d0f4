//! A running node: start and drain. What it is asked to do meanwhile is in `operate`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everwarm_edge::dispatch::{Edge, Policy};
use everwarm_edge::ingress::{BindError, DataPlane, InvokeError, Listener};
use everwarm_engine::artifact::CompiledArtifacts;
use everwarm_engine::compile::Compiler;
use everwarm_engine::inspect::InspectLimits;
use everwarm_engine::request::Request;
use everwarm_engine::resident::ResidentSet;
use everwarm_engine::runtime::{Runtime, RuntimeError, RuntimeSettings};
use everwarm_store::Store as _;
use everwarm_store::embedded::{self, Embedded};
use http::Response;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::apps::{Apps, LiveApp};
use crate::config::NodeConfig;
use crate::domain::Domain;
use crate::locks::AppLocks;
use crate::machine_code::{Incremental, MISSING_MAX, MachineCode};
use crate::metering::Meter;
use crate::previews::StoredPreviews;
use crate::readiness::Readiness;
use crate::targets::Targets;

/// Tenants that are asked for at once.
const TENANTS_A_PAGE: u32 = 1_000;

/// A running node.
pub struct Node {
    pub(crate) store: Arc<Embedded>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) resident: Arc<ResidentSet>,
    pub(crate) code: Arc<MachineCode>,
    /// Makes code again that requests found missing.
    mender: JoinHandle<()>,
    pub(crate) inspect_limits: InspectLimits,
    /// Versions of each app that are kept.
    pub(crate) versions_max: u32,
    pub(crate) edge: Arc<Edge>,
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) domain: Domain,
    pub(crate) targets: Arc<Targets>,
    pub(crate) apps: Arc<Mutex<Apps>>,
    pub(crate) previews: Arc<StoredPreviews>,
    /// Held while routes are switched: each switch is made from the state that the one before left.
    pub(crate) switching: tokio::sync::Mutex<()>,
    /// Held while one app is worked on.
    pub(crate) locks: AppLocks,
    /// Whether what serves has its code.
    pub(crate) readiness: Readiness,
    /// What requests used, on its way to the store.
    pub(crate) meter: tokio::sync::Mutex<Meter>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    address: Option<SocketAddr>,
}

/// A node that didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder can't be used.
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    /// The socket can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine can't be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// What serves can't be read.
    #[error(
        "what served before can't be read from the data folder {}: check its disk, or restore a backup into a new \
         folder (everwarm restore)",
        .data_dir.display()
    )]
    Unreadable {
        /// The data folder.
        data_dir: PathBuf,
        /// The code of its cause.
        code: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two apps have the same route.
    #[error("what served before can't serve again: {0}")]
    Routes(String),
    /// A folder or thread was refused.
    #[error("can't {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The system has no randomness.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
}

impl StartError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Bind(error) => error.code(),
            Self::Unreadable { code, .. } => code,
            Self::Routes(_) => "EW1005",
            Self::Runtime(_) | Self::Io { .. } | Self::Random(_) => "EW4003",
        }
    }
}

impl Node {
    /// Opens the data folder, sets up the engine, starts the data plane and listens.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        // The port first: of all that can fail it fails most often, and nothing has to be undone.
        let listener = match config.listen {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let domain = match &listener {
            Some(listener) => config.domain.bound_to(listener.address().port()),
            None => config.domain,
        };
        let store = Arc::new(Embedded::open(&config.data_dir)?);
        let runtime = Arc::new(Runtime::new(
            RuntimeSettings {
                pool: config.pool,
                heavy_threads: config.lanes.get(),
            },
            everwarm_host::all(),
        )?);
        let compiled_key = store.node_key().derive("compiled artifacts");
        let compiled = CompiledArtifacts::open_dir(store.data_dir().compiled(), &compiled_key)
            .map_err(io("open the folder of compiled artifacts"))?;
        let compiled = Arc::new(compiled);
        let (report_missing, missing) = mpsc::channel(MISSING_MAX);
        let resident = Arc::new(ResidentSet::new(
            Arc::clone(&runtime),
            Arc::clone(&compiled),
            config.resident_bytes_max,
            report_missing,
        ));
        let targets = Arc::new(Targets::new(Arc::clone(&resident)));
        let apps = Arc::new(Mutex::new(Apps::default()));
        let previews = Arc::new(StoredPreviews::new(
            Arc::clone(&store),
            domain.clone(),
            Arc::clone(&targets),
            Arc::clone(&apps),
        ));
        let edge = Arc::new(Edge::new(
            Arc::clone(&resident),
            Arc::clone(&previews) as _,
            config.access_log,
            Policy {
                requests_max: config.requests_max,
                server_timing: config.server_timing,
                trusted_proxies: config.trusted_proxies,
            },
            getrandom::u64().map_err(StartError::Random)?,
        ));
        let plane = DataPlane::start(config.lanes.get(), &edge, &runtime, config.ingress)
            .map_err(io("start the data plane's threads"))?;
        let plane = Arc::new(plane);
        let address = listener.as_ref().map(Listener::address);
        let incremental = config.incremental.then(|| Incremental {
            dir: store.data_dir().root().join("incremental"),
            key: store.node_key().derive("incremental cache"),
        });
        let code = Arc::new(MachineCode {
            store: Arc::clone(&store),
            runtime: Arc::clone(&runtime),
            compiled,
            compiler: Compiler::new(config.compiler, config.compile_limits),
            incremental,
        });
        let mender = tokio::spawn(Arc::clone(&code).mend(missing));
        let node = Self {
            store,
            runtime,
            targets,
            resident,
            code,
            mender,
            inspect_limits: config.inspect_limits,
            versions_max: config.versions_max,
            edge,
            plane,
            domain,
            apps,
            previews,
            switching: tokio::sync::Mutex::default(),
            locks: AppLocks::default(),
            readiness: Readiness::default(),
            meter: tokio::sync::Mutex::new(Meter::new(
                getrandom::u64().map_err(StartError::Random)?,
            )),
            acceptor: Mutex::default(),
            address,
        };
        if config.restore {
            node.restore().await?;
        }
        // Last: until now there were no routes, and whoever came had found none.
        *node.acceptor.lock() =
            listener.map(|listener| tokio::spawn(listener.accept(Arc::clone(&node.plane))));
        Ok(node)
    }

    /// Serves what served when the node last ran. Touches no component and no code.
    async fn restore(&self) -> Result<(), StartError> {
        let mut after = None;
        loop {
            let page = self
                .store
                .accounts()
                .tenants(after.as_ref(), TENANTS_A_PAGE);
            let page = page
                .await
                .map_err(|error| self.unreadable("EW4003", error))?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for tenant in &page {
                self.targets.set_quotas(&tenant.id, tenant.quotas);
            }
        }
        let mut apps = Apps::default();
        let serving = self.store.catalog().list_serving().await;
        for serving in serving.map_err(|error| self.unreadable(error.code(), error))? {
            let key = (serving.tenant.clone(), serving.main.manifest.name.clone());
            let live = LiveApp::new(&serving, &self.domain, &self.targets);
            apps.add(key, live);
        }
        let table = apps.table().map_err(StartError::Routes)?;
        self.edge.switch_routes(table);
        *self.apps.lock() = apps;
        Ok(())
    }

    fn unreadable(
        &self,
        code: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> StartError {
        StartError::Unreadable {
            data_dir: self.store.data_dir().root().to_owned(),
            code,
            source: Box::new(source),
        }
    }

    /// Where the node listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Serves one request without a socket, on the same way as any other.
    ///
    /// # Errors
    ///
    /// When the response's body breaks off, or the node is shutting down.
    pub async fn invoke(&self, request: Request) -> Result<Response<Bytes>, InvokeError> {
        self.plane.invoke(request, None).await
    }

    /// Requests that are being worked on.
    pub fn requests_inside(&self) -> u32 {
        self.edge.requests_inside()
    }

    /// Stops taking requests, lets those in flight and background work finish for at most `limit`,
    /// and ends.
    pub async fn drain(&self, limit: Duration) {
        let acceptor = self.acceptor.lock().take();
        if let Some(acceptor) = acceptor {
            acceptor.abort();
            // It was told to end; how it did doesn't matter.
            let _ = acceptor.await;
        }
        self.mender.abort();
        self.edge.drain();
        let plane = Arc::clone(&self.plane);
        // Joins threads, which blocks.
        let _ = tokio::task::spawn_blocking(move || plane.drain(limit)).await;
        if let Err(error) = self.flush_usage().await {
            tracing::error!(%error, "the last usage can't be stored");
        }
    }
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::Io { doing, source }
}
