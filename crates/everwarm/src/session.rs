//! One app on one embedded node: from built components to served functions, and what is told about
//! it. `up` keeps a session open, `invoke` uses one once.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_build::DatabaseFiles;
use everwarm_manifest::{App, DatabaseName, Digest, FunctionName, TenantId};
use everwarm_node::operate::Actor;
use everwarm_node::secrets::SecretMap;
use everwarm_node::telemetry::otlp::OtlpConfig;
use everwarm_node::{
    Bundle, CompilerCommand, Deploy, DeployFailure, Deployed, Ending, Node, NodeConfig, Quotas,
    StartError,
};
use everwarm_node::{Migration, Migrations};
use tokio::task::JoinSet;

use crate::args::BoundsArgs;
use crate::commands::build::Made;
use crate::exit::{Exit, Failure, told};
use crate::port;
use crate::printer::Printer;
use crate::settings::{self, Blobs, Egress};
use crate::telemetry;

/// How long requests in flight and background work may go on after the node was told to end.
pub(crate) const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// The address can't be had.
const PORT_IN_USE: &str = "EW4001";
/// A file couldn't be written.
const NOT_WRITTEN: &str = "EW4021";

/// A node that serves one app.
pub(crate) struct Session {
    node: Arc<Node>,
    live: Option<Live>,
    /// Sends what the node counts, where there is a collector.
    exporting: JoinSet<()>,
}

/// What is served.
#[derive(Debug, PartialEq, Eq)]
struct Live {
    app: App,
    components: Vec<(FunctionName, Digest)>,
    assets: Option<Digest>,
    migrations: Vec<DatabaseFiles>,
}

/// How a deploy ended, if it didn't fail.
pub(crate) enum Outcome {
    /// A new version serves.
    Live(Box<Deployed>),
    /// It is what serves already.
    Unchanged,
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Exit::Node, error.code(), told(&error))
    }
}

impl From<DeployFailure> for Failure {
    fn from(failure: DeployFailure) -> Self {
        let error = &failure.source;
        Self::new(Exit::Node, error.code(), told(error))
    }
}

/// Fails when `listen` can't be had, before anything slow begins, and says who has it.
pub(crate) fn check_port(listen: SocketAddr) -> Result<(), Failure> {
    let Err(error) = port::probe(listen) else {
        return Ok(());
    };
    let message = if error.kind() == std::io::ErrorKind::AddrInUse {
        let owner = port::owner(listen);
        let by = owner.map_or("another program".to_owned(), |owner| owner.to_string());
        format!(
            "{listen} is in use by {by}: stop it, or choose another port, as in `--listen {}:0` for any free one",
            listen.ip()
        )
    } else {
        format!("can't listen on {listen}: {error}; choose another address with `--listen`")
    };
    Err(Failure::new(Exit::Node, PORT_IN_USE, message))
}

/// What the node has to do with other servers.
pub(crate) struct Outside {
    pub(crate) egress: Egress,
    pub(crate) blobs: Blobs,
    pub(crate) otlp: Option<OtlpConfig>,
}

impl Session {
    /// Starts a node with its data in `data_dir`.
    pub(crate) async fn start(
        data_dir: &Path,
        listen: Option<SocketAddr>,
        bounds: BoundsArgs,
        outside: &Outside,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        prepare(data_dir)?;
        let compiler = CompilerCommand::this_program().map_err(|error| {
            let message = format!("couldn't find this program for compiling: {error}");
            Failure::uncoded(Exit::Failure, message)
        })?;
        let access_log = telemetry::access_log(printer)?;
        let mut config = NodeConfig::for_up(data_dir.to_owned(), compiler, access_log);
        config.listen = listen;
        settings::set_bounds(&mut config, bounds);
        config.egress = outside.egress.config();
        config.blobs_s3 = outside.blobs.config();
        config.otlp.clone_from(&outside.otlp);
        let node = Arc::new(Node::start(config).await?);
        let mut exporting = JoinSet::new();
        if outside.otlp.is_some() {
            let node = Arc::clone(&node);
            exporting.spawn(async move { node.keep_exporting().await });
        }
        Ok(Self {
            node,
            live: None,
            exporting,
        })
    }

    /// Takes the app live with what was made of it, unless that is what serves already.
    pub(crate) async fn deploy(&mut self, app: &App, made: &Made) -> Result<Outcome, Failure> {
        let components = &made.components;
        if let Some(live) = &self.live
            && live.app.name != app.name
        {
            return Err(Failure::uncoded(
                Exit::Manifest,
                format!(
                    "the app `{}` is called `{}` now: stop `everwarm up` and start it again to serve it under its new name",
                    live.app.name, app.name
                ),
            ));
        }
        let live = Live {
            app: app.clone(),
            components: components
                .iter()
                .map(|component| (component.function.clone(), component.digest))
                .collect(),
            assets: made.assets.as_ref().map(|assets| assets.digest),
            migrations: made.migrations.clone(),
        };
        if self.live.as_ref() == Some(&live) {
            return Ok(Outcome::Unchanged);
        }
        let bytes: Vec<(FunctionName, Bytes)> = components
            .iter()
            .map(|component| (component.function.clone(), component.bytes.clone()))
            .collect();
        let mut deploy = Deploy::all_to(app.clone(), bytes);
        let assets = made.assets.as_ref();
        deploy.assets = assets.map(|assets| Bundle::Bytes(assets.bytes.clone()));
        deploy.migrations = migrations(&made.migrations)?;
        let tenant = TenantId::default_tenant();
        let by = Actor::node();
        let deployed = self
            .node
            .deploy(&tenant, deploy, Quotas::UNBOUNDED, &by)
            .await?;
        self.live = Some(live);
        // What the edit has replaced is let go once its last sums are taken. They are tried again at the next one.
        if let Err(error) = self.node.flush_usage().await {
            tracing::warn!(%error, "usage can't be stored");
        }
        Ok(Outcome::Live(Box::new(deployed)))
    }

    /// Has the functions of the app see these secrets.
    pub(crate) fn lend_secrets(&self, app: &App, secrets: SecretMap) {
        let tenant = TenantId::default_tenant();
        self.node.lend_secrets(&tenant, &app.name, secrets);
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Lets what goes on end, for at most [`DRAIN_TIME_MAX`].
    pub(crate) async fn drain(mut self) -> Duration {
        let started = Instant::now();
        self.node.drain(DRAIN_TIME_MAX, Ending::Stopped).await;
        self.node.close_books().await;
        if !self.exporting.is_empty() {
            self.exporting.abort_all();
            self.node.finish_telemetry().await;
        }
        started.elapsed()
    }
}

/// Makes the data folder, and keeps git out of the one that is made in an app's folder.
fn prepare(data_dir: &Path) -> Result<(), Failure> {
    let failed = |path: PathBuf| {
        move |error| {
            let message = format!("couldn't write {}: {error}", path.display());
            Failure::new(Exit::Node, NOT_WRITTEN, message)
        }
    };
    fs::create_dir_all(data_dir).map_err(failed(data_dir.to_owned()))?;
    let ignore = data_dir.join(".gitignore");
    if ignore.exists() {
        return Ok(());
    }
    fs::write(&ignore, "*\n").map_err(failed(ignore.clone()))
}

/// The migrations of an app, in the form that the node has them in.
fn migrations(files: &[DatabaseFiles]) -> Result<Vec<(DatabaseName, Migrations)>, Failure> {
    let of_database = |of: &DatabaseFiles| {
        let files = of.files.iter().map(|(name, text)| Migration {
            name: name.clone(),
            text: text.clone(),
        });
        let migrations = Migrations::new(files.collect()).map_err(|error| {
            let text = format!("the migrations of database `{}`: {error}", of.database);
            Failure::uncoded(Exit::Build, text)
        })?;
        Ok((of.database.clone(), migrations))
    };
    files.iter().map(of_database).collect()
}
