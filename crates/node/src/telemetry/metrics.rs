//! What a node counts, for Prometheus (OpenMetrics 1.0 text). Every metric is declared here, in `cache`, `kv`, `otlp`, `tls`
//! and `triggers`.
//!
//! Nothing is counted twice for it: numbers are read where they are when somebody asks.

mod blobs;
mod cache;
mod kv;
mod otlp;
mod tls;
mod triggers;

use std::fmt::{self, Debug};

use everwarm_edge::meter::Answerer;
use everwarm_edge::tally::{LATENCY_US, Tally};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::node::Node;

/// The media type of what [`Node::metrics`] returns.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What all names begin with.
const PREFIX: &str = "everwarm";

impl Node {
    /// What the node has counted, as text.
    pub async fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Reading::of(self)));
        registry.register_collector(Box::new(kv::Reading::of(self).await));
        registry.register_collector(Box::new(triggers::Reading::of(self).await));
        registry.register_collector(Box::new(cache::Reading::of(self)));
        registry.register_collector(Box::new(blobs::Reading::of(self).await));
        if let Some(reading) = tls::Reading::of(self) {
            registry.register_collector(Box::new(reading));
        }
        if let Some(reading) = otlp::Reading::of(self) {
            registry.register_collector(Box::new(reading));
        }
        let mut text = String::new();
        // Writing to a String can't fail, and the names below are valid.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

/// A reading, taken when it is asked for.
#[derive(Debug)]
struct Reading {
    functions: Vec<Function>,
    failures: Vec<(String, u64)>,
    gauges: [(&'static str, &'static str, u64); 5],
    evictions: u64,
}

struct Function {
    /// Tenant, app, function, version.
    labels: [(&'static str, String); 4],
    requests: Vec<([(&'static str, String); 2], u64)>,
    latency: Option<Histogram>,
}

struct Histogram {
    sum_s: f64,
    count: u64,
    /// Each bucket's end in seconds, with its count.
    buckets: Vec<(f64, u64)>,
}

impl Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}

impl Reading {
    fn of(node: &Node) -> Self {
        let (targets, sites) = (node.targets.all(), node.targets.sites());
        let functions = targets.iter();
        let functions = functions.map(|target| Function::of(&target.answerer, &target.tally));
        let sites = sites.iter();
        let sites = sites.map(|site| Function::of(site.answerer(), &site.tally));
        Self {
            functions: functions.chain(sites).collect(),
            failures: node.edge.failures().counts().collect(),
            gauges: [
                (
                    "requests_inside",
                    "Requests that are being worked on",
                    u64::from(node.edge.requests_inside()),
                ),
                (
                    "connections",
                    "Connections that are open",
                    node.plane.connections() as u64,
                ),
                (
                    "resident_bytes",
                    "Machine code that is mapped",
                    node.resident.bytes(),
                ),
                (
                    "assets_bytes",
                    "Files of apps that are kept in memory",
                    node.targets.library().stock().bytes,
                ),
                (
                    "compiles_waiting",
                    "Components that are compiled or wait for it",
                    node.code.compiles_waiting(),
                ),
            ],
            evictions: node.resident.evictions(),
        }
    }
}

impl Function {
    fn of(answerer: &Answerer, tally: &Tally) -> Self {
        let requests = tally.requests().map(|(kind, count)| {
            let labels = [
                ("start", kind.start.as_str().to_owned()),
                ("status", format!("{}xx", kind.status_class)),
            ];
            (labels, count)
        });
        Self {
            labels: [
                ("tenant", answerer.tenant().to_string()),
                ("app", answerer.app().to_string()),
                ("function", answerer.name().to_string()),
                ("version", answerer.version().to_string()),
            ],
            requests: requests.collect(),
            latency: tally.latency().map(|latency| {
                let ends = LATENCY_US
                    .iter()
                    .map(|end| seconds(*end))
                    .chain([f64::INFINITY]);
                Histogram {
                    sum_s: seconds(latency.sum_us),
                    count: latency.counts.iter().sum(),
                    buckets: ends.zip(latency.counts).collect(),
                }
            }),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a sum of 2^53 us is 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Requests whose books are closed, by how they started and ended";
        let mut requests =
            encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for function in &self.functions {
            for (kind, count) in &function.requests {
                let labels: Vec<(&str, &str)> = function
                    .labels
                    .iter()
                    .chain(kind)
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                requests
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let help = "Time from a request's head to the end of its books, in seconds";
        let mut latency =
            encoder.encode_descriptor("request_seconds", help, None, MetricType::Histogram)?;
        for function in &self.functions {
            if let Some(Histogram {
                sum_s,
                count,
                buckets,
            }) = &function.latency
            {
                let labels: Vec<(&str, &str)> = function
                    .labels
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                latency
                    .encode_family(&labels)?
                    .encode_histogram::<NoLabelSet>(*sum_s, *count, buckets, None)?;
            }
        }
        let help = "Requests that failed, by the code of why: limits, traps, refusals";
        let mut failures =
            encoder.encode_descriptor("failures", help, None, MetricType::Counter)?;
        for (code, count) in &self.failures {
            failures
                .encode_family(&[("code", code.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        for (name, help, value) in self.gauges {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        let help = "Functions that were put out of memory for others";
        encoder
            .encode_descriptor("evictions", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.evictions, None)
    }
}
