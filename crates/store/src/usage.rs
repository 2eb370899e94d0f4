//! The port for usage: what functions used, by the hour.
//!
//! Owns the form of a row and that a batch counts once. Knows nothing of how usage is measured.

use everwarm_manifest::{AppName, FunctionName, TenantId};

use crate::catalog::VersionId;
use crate::{EngineError, StoreFuture};

/// What functions used, by the hour.
pub trait UsageLog: Send + Sync {
    /// Adds a batch to what is kept. A batch that was added already isn't added again, so a writer that doesn't
    /// know whether its batch arrived sends it again.
    ///
    /// # Errors
    ///
    /// When the engine can't keep it; then none of it is kept.
    fn add(&self, batch: Batch) -> StoreFuture<'_, Result<(), UsageError>>;

    /// The rows of whole hours `from` to `until` (not included), of one tenant or of all, ordered by hour.
    ///
    /// # Errors
    ///
    /// When the engine can't read them, or there are more than `rows_max`.
    fn rows<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        from: UnixHour,
        until: UnixHour,
        rows_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Row>, UsageError>>;
}

/// Hours since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixHour(pub u32);

/// Rows that are added together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Random for each run of a node.
    pub run: u64,
    /// Counts up within a run.
    pub number: u64,
    /// What was used since the batch before.
    pub rows: Vec<Row>,
}

/// What one function of one version used within an hour, by how its requests started and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When.
    pub hour: UnixHour,
    /// Whose.
    pub tenant: TenantId,
    /// Of which app.
    pub app: AppName,
    /// Of which version.
    pub version: VersionId,
    /// Of which function.
    pub function: FunctionName,
    /// How the requests got their function: `warm` or `disk`.
    pub start_level: String,
    /// The hundreds of the status: 2 for 200 to 299.
    pub status_class: u8,
    /// The sums.
    pub sums: Sums,
}

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Requests.
    pub requests: u64,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Wall time in microseconds, to the end of the work after the response.
    pub wall_us: u64,
    /// Memory times wall time, in byte-milliseconds. A GB-second is 10^12 of them.
    pub byte_ms: u128,
    /// The largest memory that an instance had, in bytes: not a sum but a maximum.
    pub memory_peak_bytes: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

impl Sums {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            cpu_us: self.cpu_us.saturating_add(other.cpu_us),
            wall_us: self.wall_us.saturating_add(other.wall_us),
            byte_ms: self.byte_ms.saturating_add(other.byte_ms),
            memory_peak_bytes: self.memory_peak_bytes.max(other.memory_peak_bytes),
            bytes_in: self.bytes_in.saturating_add(other.bytes_in),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
        }
    }
}

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// More rows than one answer may have.
    #[error("there are more than {rows_max} rows: ask for fewer hours")]
    TooMany {
        /// How many it may have.
        rows_max: u32,
    },
    /// A row can't be read.
    #[error("a row of the store's usage is damaged: {0}")]
    Damaged(String),
    /// The engine failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being attempted.
        doing: &'static str,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
}
