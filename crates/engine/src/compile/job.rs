//! What parent and child say to each other: a job in, an outcome out, each one line of JSON.
//!
//! Owns the form of both. Both sides are the same binary, so there are no versions of it.

use std::path::PathBuf;

use everwarm_manifest::{Digest, World};
use serde::{Deserialize, Serialize};

use crate::artifact::Fingerprint;
use crate::incremental::Reuse;
use crate::inspect::{ComponentFacts, InspectError};

/// Longest line that is read, in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 64 << 10;

/// Starts the line with the outcome, so that whatever else prints to stdout does no harm.
pub(super) const OUTCOME_PREFIX: &str = "everwarm-outcome ";

/// What a child is to do with one component. Goes through a pipe that only the child can read: it may hold a key.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) component_path: PathBuf,
    pub(super) component: Digest,
    pub(super) limits: ChildLimits,
    pub(super) task: Task,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Task {
    Compile(CompileTask),
    Inspect { component_bytes_max: u64 },
}

#[derive(Serialize, Deserialize)]
pub(super) struct CompileTask {
    pub(super) world: World,
    pub(super) fingerprint: Fingerprint,
    pub(super) output_path: PathBuf,
    pub(super) incremental: Option<IncrementalJob>,
}

/// What the child takes upon itself before it reads a byte of the component.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct ChildLimits {
    pub(super) memory_bytes_max: u64,
    pub(super) cpu_time_s_max: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct IncrementalJob {
    pub(super) dir: PathBuf,
    pub(super) key: [u8; 32],
}

/// How it went, when the child lived to say so.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    Compiled(Success),
    Inspected(Result<ComponentFacts, InspectError>),
    Invalid { reason: String },
    TooMuchMemory,
    Failed { doing: String, reason: String },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Success {
    pub(super) code_bytes: u64,
    pub(super) reuse: Reuse,
}
