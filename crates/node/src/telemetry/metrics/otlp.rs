//! The part of the metrics that is about what is sent to a collector. A node without one has none of it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::node::Node;

/// A reading, taken when it is asked for: each signal with how much was sent and dropped.
#[derive(Debug)]
pub(super) struct Reading([(&'static str, (u64, u64)); 3]);

impl Reading {
    pub(super) fn of(node: &Node) -> Option<Self> {
        node.otlp.as_ref().map(|otlp| Self(otlp.counts()))
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut count = |name, help, of: fn(&(u64, u64)) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (signal, counts) in &self.0 {
                family
                    .encode_family(&[("signal", *signal)])?
                    .encode_counter::<NoLabelSet, _, u64>(&of(counts), None)?;
            }
            Ok::<_, fmt::Error>(())
        };
        count(
            "otlp_sent",
            "Spans, lines and metrics that the collector took",
            |counts| counts.0,
        )?;
        count(
            "otlp_dropped",
            "Spans, lines and metrics that there was no room for, or that the collector didn't take",
            |counts| counts.1,
        )
    }
}
