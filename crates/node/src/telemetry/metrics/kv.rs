//! The part of the metrics that is about key-value data: what live apps keep, and what was swept.

use std::collections::BTreeSet;
use std::fmt;

use everwarm_store::Store as _;
use everwarm_store::kv::Kept;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::apps::AppKey;
use crate::node::Node;

/// Apps that are asked for before others get their turn on the thread.
const APPS_IN_A_ROW: usize = 64;

/// A reading, taken when it is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    /// Apps that serve and keep something.
    kept: Vec<(AppKey, Kept)>,
    swept: u64,
}

impl Reading {
    pub(super) async fn of(node: &Node) -> Self {
        let apps: BTreeSet<AppKey> = {
            let apps = node.apps.lock();
            let specs = apps.targets().map(|target| target.slot.spec());
            specs
                .map(|spec| (spec.tenant.clone(), spec.app.clone()))
                .collect()
        };
        let mut kept = Vec::new();
        for (index, app) in apps.into_iter().enumerate() {
            if index % APPS_IN_A_ROW == APPS_IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
            // A store that can't be read is told of by whoever needs it.
            let read = node.store.kv().kept(&app.0, &app.1).await;
            if let Ok(read) = read
                && read != Kept::default()
            {
                kept.push((app, read));
            }
        }
        Self {
            kept,
            swept: node.keeping.swept(),
        }
    }

    fn of_each_app(
        &self,
        encoder: &mut DescriptorEncoder,
        (name, help): (&str, &str),
        value: impl Fn(&Kept) -> u64,
    ) -> fmt::Result {
        let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((tenant, app), kept) in &self.kept {
            let value = i64::try_from(value(kept)).unwrap_or(i64::MAX);
            gauges
                .encode_family(&[("tenant", tenant.as_str()), ("app", app.as_str())])?
                .encode_gauge(&value)?;
        }
        Ok(())
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let bytes = ("kv_bytes", "Bytes of keys and values that an app keeps");
        self.of_each_app(&mut encoder, bytes, |kept| kept.bytes)?;
        let entries = ("kv_entries", "Entries of key-value data that an app keeps");
        self.of_each_app(&mut encoder, entries, |kept| kept.entries)?;
        let help = "Entries that were removed since they had expired, or their app is gone";
        encoder
            .encode_descriptor("kv_swept", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.swept, None)
    }
}
