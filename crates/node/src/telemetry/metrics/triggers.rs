//! The part of the metrics that is about queues and schedules: how those of live apps stand, and what became of messages.

use std::fmt;

use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{Standing, TriggerId};
use everwarm_triggers::Counts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::node::Node;

/// Triggers that are asked for before others get their turn on the thread.
const IN_A_ROW: usize = 64;

/// A reading, taken when it is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    counts: Counts,
    standing: Vec<(TriggerId, Standing)>,
}

impl Reading {
    pub(super) async fn of(node: &Node) -> Self {
        let (triggers, now) = (node.store.triggers(), UnixMillis::now());
        let mut standing = Vec::new();
        for (index, of) in node.triggers.all().into_iter().enumerate() {
            if index % IN_A_ROW == IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
            // A store that can't be read is told of by whoever needs it.
            if let Ok(stands) = triggers.standing(&of, now).await {
                standing.push((of, stands));
            }
        }
        Self {
            counts: node.triggers.counts(),
            standing,
        }
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Messages of a queue or a schedule, by what they wait for";
        let mut messages =
            encoder.encode_descriptor("trigger_messages", help, None, MetricType::Gauge)?;
        for (of, stands) in &self.standing {
            for (state, count) in [
                ("due", stands.due),
                ("delayed", stands.delayed),
                ("leased", stands.leased),
                ("dead", stands.dead),
            ] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                let labels = [
                    ("tenant", of.tenant.as_str()),
                    ("app", of.app.as_str()),
                    ("kind", of.trigger.kind()),
                    ("name", of.trigger.name()),
                    ("state", state),
                ];
                messages.encode_family(&labels)?.encode_gauge(&count)?;
            }
        }
        let help = "Deliveries of messages, by what came of them";
        let mut deliveries =
            encoder.encode_descriptor("deliveries", help, None, MetricType::Counter)?;
        for (outcome, count) in [
            ("acknowledged", self.counts.acknowledged),
            ("again", self.counts.again),
            ("dead", self.counts.dead),
            ("released", self.counts.released),
        ] {
            let labels = [("outcome", outcome)];
            let mut counter = deliveries.encode_family(&labels)?;
            counter.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "Runs of schedules that were left out";
        encoder
            .encode_descriptor("runs_left_out", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.counts.left_out, None)
    }
}
