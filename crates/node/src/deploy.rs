//! Deploy, as a chain of stages: each either takes the version one step on, or leaves the old one
//! serving and says why.
//!
//! Received -> Verified -> Stored -> Compiled -> Migrated -> Probed -> Live. Everything slow happens before the last
//! stage, which is one atomic switch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_bundle::{BundleError, FilesError};
use everwarm_engine::compile::CompileError;
use everwarm_engine::inspect::{InspectError, MissingImport, WorldError};
use everwarm_engine::resident::LoadError;
use everwarm_manifest::{App, DatabaseName, Digest, FunctionName};
use everwarm_store::artifacts::ArtifactError;
use everwarm_store::blobs::BlobError;
use everwarm_store::catalog::{CatalogError, IncompleteVersion, Version};
use everwarm_store::kv::KvError;
use everwarm_store::once::Once;
use everwarm_store::sql::{MigrateError, Migrations, SqlError};
use everwarm_store::traffic::{ChangeError, Percent, Traffic};
use everwarm_store::triggers::TriggerError;
use http::StatusCode;

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct Deploy {
    /// The manifest.
    pub app: App,
    /// The component of each of its functions.
    pub components: Components,
    /// The bundle of its files, if it has assets.
    pub assets: Option<Bundle>,
    /// The migrations of its SQL databases.
    pub migrations: Vec<(DatabaseName, Migrations)>,
    /// What part of the requests it gets.
    pub rollout: Rollout,
    /// The path of a request that it has to answer with 2xx before it gets any other.
    pub health: Option<String>,
    /// Sent again with the same key, it isn't done again.
    pub once: Option<Once>,
}

impl Deploy {
    /// Everything to these components, without a health check.
    pub fn all_to(app: App, components: Vec<(FunctionName, Bytes)>) -> Self {
        Self {
            app,
            components: Components::Bytes(components),
            assets: None,
            migrations: Vec::new(),
            rollout: Rollout::All,
            health: None,
            once: None,
        }
    }
}

/// The components of a deploy, by function.
#[derive(Debug, Clone)]
pub enum Components {
    /// Their bytes: they are stored on the way.
    Bytes(Vec<(FunctionName, Bytes)>),
    /// They have been stored before.
    Stored(BTreeMap<FunctionName, Digest>),
}

/// The files of a deploy, as one archive.
#[derive(Debug, Clone)]
pub enum Bundle {
    /// Its bytes: they are stored on the way.
    Bytes(Bytes),
    /// It has been stored before.
    Stored(Digest),
}

/// What part of its app's requests a version gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// All of them.
    All,
    /// Some of them.
    Part {
        /// How many.
        percent: Percent,
        /// Requests with the same value of this field go to the same version.
        sticky_header: Option<String>,
    },
    /// None: it is there to be looked at.
    Nothing,
}

/// A step of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Components inspected, imports checked.
    Verify,
    /// Components and version stored.
    Store,
    /// Machine code made, or found.
    Compile,
    /// Migrations applied.
    Migrate,
    /// The health check answered.
    Probe,
    /// Functions mapped and routes switched.
    Switch,
}

impl Stage {
    /// The word for it in what is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Store => "store",
            Self::Compile => "compile",
            Self::Migrate => "migrate",
            Self::Probe => "probe",
            Self::Switch => "switch",
        }
    }
}

/// A deploy that went through.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The version.
    pub version: Version,
    /// Who gets which requests now; `None` when nothing of the app serves yet.
    pub traffic: Option<Traffic>,
    /// How long each stage took; none for a deploy that had been done before, under the same key.
    pub stages: Vec<(Stage, Duration)>,
}

/// A deploy that failed at a stage; the old version goes on serving.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct DeployFailure {
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub source: DeployError,
}

/// Why a version can't be deployed, promoted or gone back to.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A component isn't one that can be served.
    #[error("function `{function}`: {source}")]
    Inspect {
        /// The function.
        function: FunctionName,
        /// Why.
        source: InspectError,
    },
    /// A component doesn't fit the manifest.
    #[error("function `{function}`: {source}")]
    World {
        /// The function.
        function: FunctionName,
        /// Why.
        source: WorldError,
    },
    /// The bundle of assets isn't one that can be served.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle doesn't have what the manifest names.
    #[error(
        "the bundle of assets has no `{0}`, which the manifest names: pack the app again with `everwarm deploy`"
    )]
    NotInBundle(String),
    /// The files of a version can't be read.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// A component imports what nothing provides.
    #[error("function `{function}` imports what this host doesn't provide: {}", list(.missing))]
    Imports {
        /// The function.
        function: FunctionName,
        /// What is missing.
        missing: Vec<MissingImport>,
    },
    /// A component could not be compiled.
    #[error("function `{function}`: {source}")]
    Compile {
        /// The function.
        function: FunctionName,
        /// Why.
        source: CompileError,
    },
    /// A compiled component could not be loaded.
    #[error("function `{function}`: {source}")]
    Load {
        /// The function.
        function: FunctionName,
        /// Why.
        source: LoadError,
    },
    /// The components and the manifest don't go together.
    #[error(transparent)]
    Incomplete(#[from] IncompleteVersion),
    /// Traffic can't change so.
    #[error("{0}")]
    Traffic(#[from] ChangeError),
    /// A host is the node's own to give.
    #[error("the host `{0}` is taken: choose another one")]
    HostTaken(everwarm_manifest::HostPattern),
    /// The health check wasn't answered with 2xx.
    #[error("the new version answered its health check {path} with {status}: it gets no requests")]
    Unhealthy {
        /// The check's path.
        path: String,
        /// The answer.
        status: StatusCode,
    },
    /// The health check wasn't answered at all.
    #[error(
        "the new version gave its health check {path} no whole answer ({reason}): it gets no requests"
    )]
    NoAnswer {
        /// The check's path.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The key was another deploy's.
    #[error(
        "this idempotency key was sent with another deploy: make a new key for each deploy, and send it again only with the same"
    )]
    KeyReused,
    /// What was done under the key is gone.
    #[error(
        "this deploy was done before, and its version has been removed since: deploy with a new idempotency key"
    )]
    Forgotten,
    /// A route is taken by another app.
    #[error("{0}: change one of the two routes")]
    Routes(String),
    /// The store refused the version.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// The store refused a component.
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
    /// What an app of the same name kept can't be forgotten.
    #[error("what an app of this name kept before it was removed can't be forgotten: {0}")]
    Kv(#[from] KvError),
    /// Migrations can't be applied; databases that came before this one have theirs.
    #[error("database `{database}`: {source}")]
    Migrate {
        /// The database.
        database: DatabaseName,
        /// Why.
        source: MigrateError,
    },
    /// What an app of the same name kept in tables can't be forgotten.
    #[error("what an app of this name kept before it was removed can't be forgotten: {0}")]
    Databases(#[from] SqlError),
    /// What an app of the same name kept in queues can't be forgotten.
    #[error("what an app of this name kept before it was removed can't be forgotten: {0}")]
    Messages(#[from] TriggerError),
    /// What an app of the same name kept in blobs can't be forgotten.
    #[error("what an app of this name kept before it was removed can't be forgotten: {0}")]
    Blobs(#[from] BlobError),
    /// The compiled code could not be kept.
    #[error("the compiled code of function `{function}` can't be kept: {source}")]
    Keep {
        /// The function.
        function: FunctionName,
        /// Why.
        source: std::io::Error,
    },
}

fn list(missing: &[MissingImport]) -> String {
    let texts: Vec<String> = missing.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl DeployError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Inspect { source, .. } => source.code(),
            Self::World { source, .. } => source.code(),
            Self::Imports { .. } | Self::Load { .. } => "EW2003",
            Self::Compile { source, .. } => source.code(),
            Self::Bundle(error) => error.code(),
            Self::Files(_) => "EW3026",
            Self::NotInBundle(_)
            | Self::Incomplete(IncompleteVersion::NoBundle | IncompleteVersion::NoAssets) => {
                "EW2015"
            }
            Self::Incomplete(_) => "EW2011",
            Self::Routes(_) => "EW1005",
            Self::Traffic(_) => "EW5011",
            Self::KeyReused | Self::Forgotten => "EW5017",
            Self::HostTaken(_) => "EW5007",
            Self::Unhealthy { .. } | Self::NoAnswer { .. } => "EW5010",
            Self::Catalog(error) => error.code(),
            Self::Artifact(error) => error.code(),
            Self::Migrate { .. } => "EW5026",
            Self::Kv(_)
            | Self::Databases(_)
            | Self::Messages(_)
            | Self::Blobs(_)
            | Self::Keep { .. } => "EW4003",
        }
    }
}

/// Times the stages of a deploy, and knows which one it is in.
pub(crate) struct Stopwatch {
    stage: Stage,
    started: Instant,
    stages: Vec<(Stage, Duration)>,
}

impl Stopwatch {
    pub(crate) fn start(stage: Stage) -> Self {
        Self {
            stage,
            started: Instant::now(),
            stages: Vec::with_capacity(5),
        }
    }

    /// The stage is done, and this one begins.
    pub(crate) fn next(&mut self, stage: Stage) {
        self.stages.push((self.stage, self.started.elapsed()));
        self.stage = stage;
        self.started = Instant::now();
    }

    /// Where it failed, and why.
    pub(crate) fn failure(&self, source: DeployError) -> DeployFailure {
        DeployFailure {
            stage: self.stage,
            source,
        }
    }

    pub(crate) fn end(mut self) -> Vec<(Stage, Duration)> {
        self.stages.push((self.stage, self.started.elapsed()));
        self.stages
    }
}
