//! What functions used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What one function of one version used within an hour, by how its requests started and ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// When the hour began, in seconds since 1970.
    pub hour_s: u64,
    /// Whose.
    pub tenant: String,
    /// Of which app.
    pub app: String,
    /// Of which version.
    pub version: String,
    /// Of which function.
    pub function: String,
    /// How its requests got it: `warm` or `disk`.
    pub start_level: String,
    /// `2xx` and the like.
    pub status: String,
    /// Requests.
    pub requests: u64,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Wall time in microseconds.
    pub wall_us: u64,
    /// Memory times wall time: gigabytes (10^9 bytes) times seconds.
    pub gb_s: f64,
    /// The largest memory that an instance had, in bytes.
    pub memory_peak_bytes: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

impl UsageRow {
    /// The columns of a row as CSV.
    const COLUMNS: &str = "hour_s,tenant,app,version,function,start_level,status,requests,cpu_us,wall_us,gb_s,\
                           memory_peak_bytes,bytes_in,bytes_out";
}

impl UsagePage {
    /// The rows as CSV (RFC 4180) with a header. No value has a comma, a quote or a line break in it: they are names,
    /// digests and numbers.
    pub fn to_csv(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{}\r\n", UsageRow::COLUMNS);
        for row in &self.items {
            // Writing to a String can't fail.
            let _ = write!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{:.6},{},{},{}\r\n",
                row.hour_s,
                row.tenant,
                row.app,
                row.version,
                row.function,
                row.start_level,
                row.status,
                row.requests,
                row.cpu_us,
                row.wall_us,
                row.gb_s,
                row.memory_peak_bytes,
                row.bytes_in,
                row.bytes_out
            );
        }
        text
    }
}

/// Rows of usage, by hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePage {
    /// All rows that were asked for.
    pub items: Vec<UsageRow>,
}
