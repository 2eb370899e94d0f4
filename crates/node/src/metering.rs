//! From what requests used to what is stored of it: sums are taken from the targets, and added to the hour's rows.
//!
//! Owns that nothing counts twice and little is lost: a batch that may or may not have arrived is sent again under
//! its number, and what a crash can lose is younger than [`FLUSH_EVERY`] and one write.

use std::time::Duration;

use everwarm_edge::meter::Answerer;
use everwarm_edge::tally::{Kind, Sums, Tally};
use everwarm_store::Store as _;
use everwarm_store::catalog::{UnixMillis, VersionId};
use everwarm_store::usage::{self, Batch, Row, UnixHour, UsageError};

use crate::node::Node;

/// How often sums are stored.
pub const FLUSH_EVERY: Duration = Duration::from_secs(20);
/// Rows that may wait for a store that takes none. Beyond them sums stay where they are.
const WAITING_ROWS_MAX: usize = 100_000;
const HOUR_MS: u64 = 3_600_000;

/// What is on its way to the store.
#[derive(Debug)]
pub(crate) struct Meter {
    run: u64,
    next: u64,
    /// Sent, and not known to have arrived.
    sent: Option<Batch>,
}

impl Meter {
    /// `run` is random for each start of a node.
    pub(crate) fn new(run: u64) -> Self {
        Self {
            run,
            next: 1,
            sent: None,
        }
    }

    fn batch(&mut self, rows: Vec<Row>) -> Batch {
        let number = self.next;
        self.next += 1;
        Batch {
            run: self.run,
            number,
            rows,
        }
    }
}

/// A row as one process tells the next: what its last requests used, after it gave the store away.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct UsageRow {
    hour: u32,
    tenant: String,
    app: String,
    version: String,
    function: String,
    start_level: String,
    status_class: u8,
    requests: u64,
    cpu_us: u64,
    wall_us: u64,
    byte_ms: u128,
    memory_peak_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl UsageRow {
    fn of(row: &Row) -> Self {
        Self {
            hour: row.hour.0,
            tenant: row.tenant.to_string(),
            app: row.app.to_string(),
            version: everwarm_manifest::Digest::from_bytes(*row.version.as_bytes()).to_string(),
            function: row.function.to_string(),
            start_level: row.start_level.clone(),
            status_class: row.status_class,
            requests: row.sums.requests,
            cpu_us: row.sums.cpu_us,
            wall_us: row.sums.wall_us,
            byte_ms: row.sums.byte_ms,
            memory_peak_bytes: row.sums.memory_peak_bytes,
            bytes_in: row.sums.bytes_in,
            bytes_out: row.sums.bytes_out,
        }
    }

    fn row(self) -> Option<Row> {
        let version: everwarm_manifest::Digest = self.version.parse().ok()?;
        Some(Row {
            hour: UnixHour(self.hour),
            tenant: self.tenant.parse().ok()?,
            app: self.app.parse().ok()?,
            version: VersionId::from_bytes(*version.as_bytes()),
            function: self.function.parse().ok()?,
            start_level: self.start_level,
            status_class: self.status_class,
            sums: usage::Sums {
                requests: self.requests,
                cpu_us: self.cpu_us,
                wall_us: self.wall_us,
                byte_ms: self.byte_ms,
                memory_peak_bytes: self.memory_peak_bytes,
                bytes_in: self.bytes_in,
                bytes_out: self.bytes_out,
            },
        })
    }
}

impl Node {
    /// What requests have used since the store was given away, for the process that has it.
    pub fn last_usage(&self) -> Vec<UsageRow> {
        self.taken_rows().iter().map(UsageRow::of).collect()
    }

    /// Stores what the process before used last.
    ///
    /// # Errors
    ///
    /// When the store can't take it.
    pub async fn add_usage(&self, rows: Vec<UsageRow>) -> Result<(), UsageError> {
        let rows = rows.into_iter().filter_map(UsageRow::row).collect();
        // Each piece comes once, over one connection: it is a batch of this node's own.
        self.store_usage(|| rows).await
    }

    /// Stores what requests have used until now.
    ///
    /// # Errors
    ///
    /// When the store can't take it. Nothing is lost by that: the next call sends it again.
    pub async fn flush_usage(&self) -> Result<(), UsageError> {
        self.store_usage(|| self.taken_rows()).await
    }

    /// Sends the batch that is in doubt again, and then these rows as the next one.
    async fn store_usage(&self, rows: impl FnOnce() -> Vec<Row>) -> Result<(), UsageError> {
        // Batches arrive in the order of their numbers: the store takes an earlier one for one that it has.
        let mut meter = self.meter.lock().await;
        if let Some(batch) = meter.sent.clone() {
            self.store.usage().add(batch).await?;
            meter.sent = None;
        }
        let rows = rows();
        if rows.is_empty() {
            return Ok(());
        }
        let batch = meter.batch(rows);
        meter.sent = Some(batch.clone());
        self.store.usage().add(batch).await?;
        meter.sent = None;
        Ok(())
    }

    fn taken_rows(&self) -> Vec<Row> {
        let hour = UnixHour(u32::try_from(UnixMillis::now().0 / HOUR_MS).unwrap_or(u32::MAX));
        let mut rows = Vec::new();
        let mut take = |answerer: &Answerer, tally: &Tally| {
            if rows.len() < WAITING_ROWS_MAX {
                let taken = tally.take().into_iter();
                rows.extend(taken.filter_map(|(kind, sums)| row(hour, answerer, kind, sums)));
            }
        };
        for target in self.targets.all() {
            take(&target.answerer, &target.tally);
        }
        for site in self.targets.sites() {
            take(site.answerer(), &site.tally);
        }
        self.targets.bury();
        rows
    }

    /// Stores usage from time to time, for as long as the node runs.
    pub async fn keep_books(&self) {
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            if let Err(error) = self.flush_usage().await {
                tracing::error!(%error, "usage can't be stored; it is tried again");
            }
        }
    }
}

fn row(hour: UnixHour, answerer: &Answerer, kind: Kind, sums: Sums) -> Option<Row> {
    // The engine knows versions by their text.
    let version: everwarm_manifest::Digest = answerer.version().parse().ok()?;
    Some(Row {
        hour,
        tenant: answerer.tenant().clone(),
        app: answerer.app().clone(),
        version: VersionId::from_bytes(*version.as_bytes()),
        function: answerer.name().clone(),
        start_level: kind.start.as_str().to_owned(),
        status_class: kind.status_class,
        sums: usage::Sums {
            requests: sums.requests,
            cpu_us: sums.cpu_us,
            wall_us: sums.wall_us,
            byte_ms: u128::from(sums.byte_ms),
            memory_peak_bytes: sums.memory_peak_bytes,
            bytes_in: sums.bytes_in,
            bytes_out: sums.bytes_out,
        },
    })
}
