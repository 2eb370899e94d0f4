//! A running node: start and drain. What it is asked to do meanwhile is in `operate`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use everwarm_edge::dispatch::{Edge, Policy};
use everwarm_edge::ingress::{DataPlane, Ending, InvokeError};
use everwarm_edge::services::ServiceCalls;
use everwarm_engine::artifact::CompiledArtifacts;
use everwarm_engine::config::PoolSize;
use everwarm_engine::inspect::InspectLimits;
use everwarm_engine::request::Request;
use everwarm_engine::resident::ResidentSet;
use everwarm_engine::runtime::{Runtime, RuntimeSettings};
use everwarm_host::{NodeSide, SecretBook};
use everwarm_store::embedded::Embedded;
use everwarm_store::usage::UsageError;
use everwarm_triggers::Runner;
use http::Response;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::app_quotas::AppQuotas;
use crate::apps::Apps;
use crate::bundles;
use crate::config::NodeConfig;
use crate::domain::Domain;
use crate::handover::Predecessor;
use crate::keeping::Keeping;
use crate::kept_answers;
use crate::listeners::{Bound, Listeners, Listening};
use crate::locks::AppLocks;
use crate::machine::{Machine, Room};
use crate::machine_code::{Incremental, MISSING_MAX, MachineCode};
use crate::metering::Meter;
use crate::previews::StoredPreviews;
use crate::readiness::Readiness;
use crate::s3;
use crate::secrets::{KeySource, SecretsError, Vault};
use crate::served::Served;
use crate::start_error::{StartError, io};
use crate::stores::{self, NodeStores};
use crate::targets::Targets;
use crate::telemetry::otlp::{self, Otlp};
use crate::telemetry::{LogBook, Shelf};
use crate::triggers;

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
    /// What functions printed lately.
    pub(crate) logs: Arc<LogBook>,
    /// Keeps them on the disk, if they are kept.
    pub(crate) shelf: Option<Arc<Shelf>>,
    /// Sends telemetry to a collector, if there is one.
    pub(crate) otlp: Option<Arc<Otlp>>,
    pub(crate) plane: Arc<DataPlane>,
    pub(crate) domain: Domain,
    pub(crate) targets: Arc<Targets>,
    pub(crate) apps: Arc<Mutex<Apps>>,
    pub(crate) previews: Arc<StoredPreviews>,
    /// Held while routes are switched: each switch is made from the state that the one before left.
    pub(crate) switching: tokio::sync::Mutex<()>,
    /// Held while one app is worked on.
    pub(crate) locks: Arc<AppLocks>,
    /// How much key-value data apps may keep.
    pub(crate) app_quotas: Arc<AppQuotas>,
    /// Sweeps it.
    pub(crate) keeping: Keeping,
    /// Delivers messages of queues, and fires schedules.
    pub(crate) triggers: Arc<Runner>,
    /// Whether what serves has its code.
    pub(crate) readiness: Readiness,
    /// What functions see of their apps' secrets.
    pub(crate) secrets: Arc<SecretBook>,
    /// What opens those that are kept; `None` where none are.
    pub(crate) vault: Option<Vault>,
    /// What requests used, on its way to the store.
    pub(crate) meter: tokio::sync::Mutex<Meter>,
    /// The sockets, until connections are accepted from them.
    listeners: Mutex<Option<Listeners>>,
    /// Set when they are.
    listening: OnceLock<Listening>,
    ending: AtomicBool,
}

impl Node {
    /// Listens, sets up the engine, opens the data folder, starts the data plane and accepts.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let node = Self::start_on(config, Bound::default(), None).await?;
        node.accept();
        Ok(node)
    }

    /// As [`Self::start`], on sockets that are there already, and without accepting from them yet. What needs no store
    /// is done before `predecessor` is asked for it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    pub async fn start_on(
        config: NodeConfig,
        bound: Bound,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, StartError> {
        // The ports first: of all that can fail they fail most often, and nothing has to be undone.
        let mut listeners = Listeners::open(&config, bound).await?;
        let room = room(config.pool);
        let settings = RuntimeSettings {
            pool: room.pool,
            heavy_threads: config.lanes.get(),
        };
        let services = Arc::<ServiceCalls>::default();
        let stores = Arc::new(NodeStores::new(config.cache));
        let secrets = Arc::<SecretBook>::default();
        let otlp = config.otlp.as_ref().map(Otlp::start);
        let policy = policy(&config);
        let side = stores::side(&config, &services, &stores, &secrets, otlp.as_ref());
        let started = engine_and_store(settings, &config, predecessor, side).await?;
        let (runtime, store, served) = started;
        let library = bundles::library(&store);
        stores.open(&store, &library);
        let vault = open_vault(config.secrets_key, &store, &secrets).await?;
        let domain = config.domain.bound_to(listeners.main_port());
        listeners.open_acme(store.data_dir().root())?;
        let compiled = Arc::new(open_compiled(&store)?);
        let (report_missing, missing) = mpsc::channel(MISSING_MAX);
        let resident = ResidentSet::new(
            Arc::clone(&runtime),
            Arc::clone(&compiled),
            config.resident_bytes_max,
            report_missing,
        );
        let resident = Arc::new(resident.with_functions_max(room.functions_max));
        let targets = Arc::new(Targets::new(Arc::clone(&resident), library, &stores.kept));
        services.set_siblings(&targets);
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
            otlp::logged(otlp.as_ref(), &config.access_log),
            policy,
            chance()?,
        ));
        let lanes = config.lanes.get();
        let plane = DataPlane::start(lanes, &edge, &runtime, config.ingress, &services)
            .map_err(io("start the data plane's threads"))?;
        let incremental = config.incremental.then(|| incremental(&store));
        let code = Arc::new(MachineCode::new(
            Arc::clone(&store),
            Arc::clone(&runtime),
            compiled,
            (config.compiler, config.compile_limits),
            incremental,
        ));
        let mender = tokio::spawn(Arc::clone(&code).mend(missing));
        let locks = Arc::<AppLocks>::default();
        let triggers = triggers::runner(&store, &apps, &services, &stores);
        let node = Self {
            shelf: shelf(config.lines_on_disk, &store, &config.logs)?,
            app_quotas: Arc::clone(&stores.quotas),
            keeping: Keeping::start(Arc::clone(&store), Arc::clone(&locks)),
            locks,
            triggers,
            store,
            runtime,
            targets,
            resident,
            code,
            mender,
            inspect_limits: config.inspect_limits,
            versions_max: config.versions_max,
            edge,
            logs: config.logs,
            otlp,
            plane: Arc::new(plane),
            domain,
            apps,
            previews,
            switching: tokio::sync::Mutex::default(),
            readiness: Readiness::default(),
            secrets,
            vault,
            meter: tokio::sync::Mutex::new(Meter::new(chance()?)),
            listeners: Mutex::new(Some(listeners)),
            listening: OnceLock::new(),
            ending: AtomicBool::new(false),
        };
        node.serve_again(&served)?;
        node.open_cache_disk();
        Ok(node)
    }

    /// Accepts connections from now on. Before there were routes, whoever came would have found none.
    pub fn accept(&self) {
        let listeners = self.listeners.lock().take();
        if let Some(listeners) = listeners {
            let apps = Arc::clone(&self.apps);
            let hosts = Arc::new(move || apps.lock().hosts());
            let listening = listeners.accept(&self.plane, hosts);
            self.listening.get_or_init(|| listening);
        }
    }

    /// Stores what is to be stored, and lets another process have the store. What is resident or on disk is served
    /// as before; nothing can be changed until [`Self::take_store_back`].
    ///
    /// # Errors
    ///
    /// When usage can't be stored; then the store stays.
    pub async fn let_store_go(&self) -> Result<(), UsageError> {
        self.flush_usage().await?;
        self.rest_triggers().await;
        kept_answers::give_disk_up(self.targets.kept()).await;
        let store = Arc::clone(&self.store);
        // It finishes jobs and joins threads, which blocks.
        let _ = tokio::task::spawn_blocking(move || store.let_go()).await;
        Ok(())
    }

    /// Opens the store again that was let go, and serves what it says.
    ///
    /// # Errors
    ///
    /// When it can't be opened or read; what serves goes on without it.
    pub async fn take_store_back(&self) -> Result<(), StartError> {
        let store = Arc::clone(&self.store);
        let opened = tokio::task::spawn_blocking(move || store.take_back()).await;
        opened.map_err(|error| io("take the store back")(error.into()))??;
        if let Some(vault) = &self.vault {
            vault.read_again().await?;
            show_secrets(vault, &self.store).await?;
        }
        self.serve_again(&Served::read(&self.store).await?)?;
        self.open_cache_disk();
        self.triggers.go_on();
        Ok(())
    }

    fn open_cache_disk(&self) {
        kept_answers::open_disk(self.targets.kept(), self.store.data_dir().root());
    }

    /// Whether the node was told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether every lane of the data plane answers within `limit`.
    pub async fn turns(&self, limit: Duration) -> bool {
        self.plane.turns(limit).await
    }

    /// Where the node listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listening()?.plain_address
    }

    /// Where the node speaks TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.listening()?.tls_address
    }

    /// Apps answer at other hosts than before.
    pub(crate) fn tell_of_change(&self) {
        if let Some(listening) = self.listening() {
            listening.tell_of_change();
        }
    }

    pub(crate) fn listening(&self) -> Option<&Listening> {
        self.listening.get()
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

    /// Stops accepting, lets requests in flight and background work finish for at most `limit`,
    /// and ends. What becomes of new requests meanwhile is `ending`'s.
    pub async fn drain(&self, limit: Duration, ending: Ending) {
        self.ending.store(true, Ordering::Relaxed);
        self.logs.wake();
        if ending == Ending::Stopped {
            self.edge.drain();
        }
        if let Some(listening) = self.listening() {
            listening.end(ending).await;
        }
        drop(self.listeners.lock().take());
        self.mender.abort();
        self.keeping.end();
        let plane = Arc::clone(&self.plane);
        // Joins threads, which blocks.
        let drained = tokio::task::spawn_blocking(move || plane.drain(limit, ending));
        // Calls that are under way end on the lanes; what came of them is stored here.
        let (_, _) = tokio::join!(self.triggers.rest(limit), drained);
    }

    /// Stores the last of what requests used, after a drain.
    pub async fn close_books(&self) {
        if let Err(error) = self.flush_usage().await {
            tracing::error!(%error, "the last usage can't be stored");
        }
        kept_answers::close_disk(self.targets.kept()).await;
    }
}

fn policy(config: &NodeConfig) -> Policy {
    Policy {
        requests_max: config.requests_max,
        server_timing: config.server_timing,
        trusted_proxies: config.trusted_proxies.clone(),
        recorded: config.otlp.as_ref().map(|otlp| otlp.recorded),
    }
}

/// A random number.
fn chance() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Random)
}

/// What keeps lines on the disk, if they are kept.
fn shelf(
    keeps: bool,
    store: &Embedded,
    logs: &Arc<LogBook>,
) -> Result<Option<Arc<Shelf>>, StartError> {
    if !keeps {
        return Ok(None);
    }
    let folder = store.data_dir().root().join("lines");
    let shelf = Shelf::start(folder, logs).map_err(io("start a thread"))?;
    Ok(Some(Arc::new(shelf)))
}

/// The cache that makes an edit compile fast.
fn incremental(store: &Embedded) -> Incremental {
    Incremental {
        dir: store.data_dir().root().join("incremental"),
        key: store.node_key().derive("incremental cache"),
    }
}

/// What takes longest, side by side: the engine, whose pools reserve their address space, and the store with what served.
/// What needs no store is done before a predecessor is asked for it.
async fn engine_and_store(
    settings: RuntimeSettings,
    config: &NodeConfig,
    predecessor: Option<&mut Predecessor>,
    side: NodeSide,
) -> Result<(Arc<Runtime>, Arc<Embedded>, Served), StartError> {
    let capabilities = everwarm_host::all(side, &config.egress)?;
    let bucket = config.blobs_s3.as_ref();
    let bucket = bucket
        .map(|s3| s3::bucket(s3, &config.egress))
        .transpose()?;
    let mut runtime = tokio::task::spawn_blocking(move || Runtime::new(settings, capabilities));
    let mut early = None;
    if let Some(predecessor) = predecessor {
        early = Some((&mut runtime).await);
        predecessor.want_store().await?;
    }
    let store = Embedded::open_with(&config.data_dir, bucket)?;
    let served = if config.restore {
        Served::read(&store).await?
    } else {
        Served::default()
    };
    let runtime = match early {
        Some(runtime) => runtime,
        None => runtime.await,
    };
    let runtime = runtime.map_err(|error| io("set up the engine")(error.into()))??;
    Ok((Arc::new(runtime), Arc::new(store), served))
}

/// The folder of machine code.
fn open_compiled(store: &Embedded) -> Result<CompiledArtifacts, StartError> {
    let key = store.node_key().derive("compiled artifacts");
    CompiledArtifacts::open_dir(store.data_dir().compiled(), &key)
        .map_err(io("open the folder of compiled artifacts"))
}

/// The keys of secrets, where some are kept, and what functions see of those.
async fn open_vault(
    source: Option<KeySource>,
    store: &Embedded,
    secrets: &Arc<SecretBook>,
) -> Result<Option<Vault>, StartError> {
    let Some(source) = source else {
        return Ok(None);
    };
    let vault = Vault::open(source, store.data_dir().secrets_key(), Arc::clone(secrets))?;
    show_secrets(&vault, store).await?;
    Ok(Some(vault))
}

async fn show_secrets(vault: &Vault, store: &Embedded) -> Result<(), StartError> {
    let shown = vault.show_all(store).await;
    shown.map_err(|error: SecretsError| StartError::Unreadable {
        data_dir: store.data_dir().root().to_owned(),
        code: error.code(),
        source: Box::new(error),
    })
}

/// What the machine has room for.
fn room(pool: PoolSize) -> Room {
    let room = Machine::read().room(pool);
    if room.pool.instances_max < pool.instances_max {
        tracing::warn!(
            instances = room.pool.instances_max,
            wanted = pool.instances_max,
            "fewer instances fit into what the machine allows: raise vm.max_map_count"
        );
    }
    room
}
