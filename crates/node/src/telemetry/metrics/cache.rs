//! The part of the metrics that is about answers that are kept in front of functions.

use std::fmt;

use everwarm_cache::store::Usage;
use everwarm_manifest::{AppName, TenantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::node::Node;

/// A metric's name, what it says, and where it is read.
type Metric = (&'static str, &'static str, fn(&Usage) -> u64);

/// A reading, taken when it is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    apps: Vec<(TenantId, AppName, Usage)>,
}

impl Reading {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            apps: node.targets.kept().apps(),
        }
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let gauges: [Metric; 4] = [
            ("cache_entries", "Answers that are kept", |usage| {
                usage.entries
            }),
            (
                "cache_bytes",
                "Bytes that answers take which are kept, about",
                |usage| usage.bytes,
            ),
            (
                "cache_disk_entries",
                "Answers that are kept on the disk, some of which are in memory too",
                |usage| usage.disk_entries,
            ),
            (
                "cache_disk_bytes",
                "Bytes of the disk that answers count for which are kept there",
                |usage| usage.disk_bytes,
            ),
        ];
        for (name, help, of) in gauges {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (tenant, app, usage) in &self.apps {
                let value = i64::try_from(of(usage)).unwrap_or(i64::MAX);
                gauge
                    .encode_family(&[("tenant", tenant.as_str()), ("app", app.as_str())])?
                    .encode_gauge(&value)?;
            }
        }
        let counters: [Metric; 3] = [
            (
                "cache_hits",
                "Requests that were answered with what is kept",
                |usage| usage.hits,
            ),
            (
                "cache_disk_hits",
                "Those of them that it was read from the disk for",
                |usage| usage.disk_hits,
            ),
            (
                "cache_misses",
                "Requests that functions answered, of those that may have had an answer that is kept",
                |usage| usage.misses,
            ),
        ];
        for (name, help, of) in counters {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (tenant, app, usage) in &self.apps {
                counter
                    .encode_family(&[("tenant", tenant.as_str()), ("app", app.as_str())])?
                    .encode_counter::<NoLabelSet, _, u64>(&of(usage), None)?;
            }
        }
        Ok(())
    }
}
