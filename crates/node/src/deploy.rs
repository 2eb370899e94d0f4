//! Deploy, as a chain of stages: each either takes the version one step on, or leaves the old one
//! serving and says why.
//!
//! Received -> Verified -> Stored -> Compiled -> Live. Everything slow happens before the last
//! stage, which is one atomic switch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_engine::compile::CompileError;
use everwarm_engine::inspect::{InspectError, MissingImport, WorldError};
use everwarm_engine::resident::LoadError;
use everwarm_manifest::{FunctionName, World};
use everwarm_store::artifacts::ArtifactError;
use everwarm_store::catalog::{CatalogError, IncompleteVersion, VersionId};

/// A step of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Components inspected, imports checked.
    Verify,
    /// Components and version stored.
    Store,
    /// Machine code made, or found.
    Compile,
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
            Self::Switch => "switch",
        }
    }
}

/// A deploy that went through.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The version that serves now.
    pub version: VersionId,
    /// The world that each function is served in.
    pub worlds: BTreeMap<FunctionName, World>,
    /// How long each stage took.
    pub stages: Vec<(Stage, Duration)>,
}

/// A deploy that didn't; the old version goes on serving.
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
    /// A route is taken by another app.
    #[error("{0}: change one of the two routes")]
    Routes(String),
    /// The store refused the version.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// The store refused a component.
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
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
            Self::Incomplete(_) => "EW2011",
            Self::Routes(_) => "EW1005",
            Self::Catalog(_) | Self::Artifact(_) | Self::Keep { .. } => "EW4003",
        }
    }
}

/// Times the stages of a deploy.
pub(crate) struct Stopwatch {
    started: Instant,
    stages: Vec<(Stage, Duration)>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            stages: Vec::with_capacity(4),
        }
    }

    pub(crate) fn finish(&mut self, stage: Stage) {
        self.stages.push((stage, self.started.elapsed()));
        self.started = Instant::now();
    }

    pub(crate) fn into_stages(self) -> Vec<(Stage, Duration)> {
        self.stages
    }
}

/// The components of a deploy, by function.
pub(crate) type Components = Vec<(FunctionName, Bytes)>;
