//! A running node: start, deploy, invoke, drain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everwarm_edge::dispatch::Edge;
use everwarm_edge::ingress::{BindError, DataPlane, InvokeError, Listener};
use everwarm_engine::artifact::CompiledArtifacts;
use everwarm_engine::compile::Compiler;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::inspect::{InspectLimits, check_imports, inspect};
use everwarm_engine::request::Request;
use everwarm_engine::resident::ResidentSet;
use everwarm_engine::runtime::{Runtime, RuntimeError, RuntimeSettings};
use everwarm_manifest::{App, FunctionName, RoutePattern, TenantId, World};
use everwarm_store::Store;
use everwarm_store::catalog::{NewVersion, UnixMillis};
use everwarm_store::embedded::{self, Embedded};
use futures_util::future::try_join_all;
use http::Response;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::NodeConfig;
use crate::deploy::{Components, DeployError, Deployed, Stage, Stopwatch};
use crate::machine_code::{Incremental, MISSING_MAX, MachineCode};
use crate::routes;

/// A running node.
pub struct Node {
    store: Arc<Embedded>,
    runtime: Arc<Runtime>,
    resident: Arc<ResidentSet>,
    code: Arc<MachineCode>,
    /// Makes code again that requests found missing.
    mender: JoinHandle<()>,
    inspect_limits: InspectLimits,
    edge: Arc<Edge>,
    plane: Arc<DataPlane>,
    live: Mutex<Live>,
    deploying: tokio::sync::Mutex<()>,
    acceptor: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

/// What is live, by app.
type Live = BTreeMap<(String, String), Vec<(Arc<FunctionSpec>, Vec<RoutePattern>)>>;

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
        let edge = Arc::new(Edge::new(
            Arc::clone(&resident),
            config.access_log,
            config.requests_max,
            config.server_timing,
            getrandom::u64().map_err(StartError::Random)?,
        ));
        let plane = DataPlane::start(config.lanes.get(), &edge, &runtime)
            .map_err(io("start the data plane's threads"))?;
        let plane = Arc::new(plane);
        let address = listener.as_ref().map(Listener::address);
        let acceptor = listener.map(|listener| tokio::spawn(listener.accept(Arc::clone(&plane))));
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
        Ok(Self {
            store,
            runtime,
            resident,
            code,
            mender,
            inspect_limits: config.inspect_limits,
            edge,
            plane,
            live: Mutex::default(),
            deploying: tokio::sync::Mutex::new(()),
            acceptor,
            address,
        })
    }

    /// Where the node listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Takes an app with its components live. Deploys go one after another.
    ///
    /// # Errors
    ///
    /// [`DeployError`] says at which stage and why; the old version goes on serving.
    pub async fn deploy(&self, app: App, components: Components) -> Result<Deployed, DeployError> {
        let _one_at_a_time = self.deploying.lock().await;
        let tenant = TenantId::default_tenant();
        let mut watch = Stopwatch::start();

        let worlds = self.verify(&app, &components)?;
        watch.finish(Stage::Verify);

        let mut digests = BTreeMap::new();
        for (function, bytes) in components {
            digests.insert(function, self.store.artifacts().put(&tenant, bytes).await?);
        }
        let version = NewVersion::new(app, digests, UnixMillis::now())?;
        let version = self.store.catalog().put_version(&tenant, version).await?;
        watch.finish(Stage::Store);

        let functions = routes::specs(&tenant, &version, |name| worlds.get(name).copied());
        // All are asked for at once; how many compile at once is the compiler's business.
        try_join_all(functions.iter().map(|(spec, _)| self.code.make(spec))).await?;
        watch.finish(Stage::Compile);

        let key = (
            tenant.as_str().to_owned(),
            version.manifest.name.as_str().to_owned(),
        );
        let mut live = self.live.lock().clone();
        live.insert(key, functions);
        let table =
            routes::table(live.values().flatten(), &self.resident).map_err(DeployError::Routes)?;
        self.load(&live, &version.manifest.name).await?;
        self.store
            .catalog()
            .set_live(&tenant, &version.manifest.name, version.id)
            .await?;
        self.edge.switch_routes(table);
        self.forget_all_but(&live);
        *self.live.lock() = live;
        watch.finish(Stage::Switch);

        tracing::info!(app = %version.manifest.name, version = %version.id, "version is live");
        Ok(Deployed {
            version: version.id,
            worlds,
            stages: watch.into_stages(),
        })
    }

    fn verify(
        &self,
        app: &App,
        components: &Components,
    ) -> Result<BTreeMap<FunctionName, World>, DeployError> {
        let mut worlds = BTreeMap::new();
        for (name, bytes) in components {
            let Some(function) = app.functions.iter().find(|function| function.name == *name)
            else {
                continue;
            };
            let function_name = || name.clone();
            let facts =
                inspect(bytes, self.inspect_limits).map_err(|source| DeployError::Inspect {
                    function: function_name(),
                    source,
                })?;
            let world = routes::world(&facts, function).map_err(|source| DeployError::World {
                function: function_name(),
                source,
            })?;
            check_imports(&facts, &self.runtime.interfaces(world)).map_err(|missing| {
                DeployError::Imports {
                    function: function_name(),
                    missing,
                }
            })?;
            worlds.insert(name.clone(), world);
        }
        Ok(worlds)
    }

    /// Maps the functions of an app before they get their first request.
    async fn load(&self, live: &Live, app: &everwarm_manifest::AppName) -> Result<(), DeployError> {
        let functions = live.values().flatten().filter(|(spec, _)| spec.app == *app);
        for (spec, _) in functions {
            let slot = self.resident.slot(Arc::clone(spec));
            let loaded = self.resident.get(&slot).await;
            loaded.map_err(|source| DeployError::Load {
                function: spec.name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn forget_all_but(&self, live: &Live) {
        self.resident.retain(|spec| {
            live.values().flatten().any(|(other, _)| {
                other.version == spec.version
                    && other.name == spec.name
                    && other.tenant == spec.tenant
            })
        });
    }

    /// Serves one request without a socket, on the same way as any other.
    ///
    /// # Errors
    ///
    /// When the response's body breaks off, or the node is shutting down.
    pub async fn invoke(&self, request: Request) -> Result<Response<Bytes>, InvokeError> {
        self.plane.invoke(request).await
    }

    /// Requests that are being worked on.
    pub fn requests_inside(&self) -> u32 {
        self.edge.requests_inside()
    }

    /// Stops taking requests, lets those in flight and background work finish for at most `limit`,
    /// and ends.
    pub async fn drain(mut self, limit: Duration) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
            // It was told to end; how it did doesn't matter.
            let _ = acceptor.await;
        }
        self.mender.abort();
        self.edge.drain();
        if let Ok(plane) = Arc::try_unwrap(self.plane) {
            // Joins threads, which blocks.
            let _ = tokio::task::spawn_blocking(move || plane.drain(limit)).await;
        }
    }
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::Io { doing, source }
}
