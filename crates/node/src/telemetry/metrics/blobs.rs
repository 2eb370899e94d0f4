//! The part of the metrics that is about blobs: what live apps keep.

use std::collections::BTreeSet;
use std::fmt;

use everwarm_store::Store as _;
use everwarm_store::blobs::KeptBlobs;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::apps::AppKey;
use crate::node::Node;

/// Apps that are asked for before others get their turn on the thread.
const APPS_IN_A_ROW: usize = 64;

/// A reading, taken when it is asked for: apps that serve and keep something.
#[derive(Debug)]
pub(super) struct Reading(Vec<(AppKey, KeptBlobs)>);

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
            let read = node.store.blobs().kept(&app.0, &app.1).await;
            if let Ok(read) = read
                && read != KeptBlobs::default()
            {
                kept.push((app, read));
            }
        }
        Self(kept)
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        type Value = fn(&KeptBlobs) -> u64;
        let of_each: [(&str, &str, Value); 2] = [
            ("blob_bytes", "Bytes of blobs that an app keeps", |kept| {
                kept.bytes
            }),
            ("blobs", "Blobs that an app keeps", |kept| kept.blobs),
        ];
        for (name, help, value) in of_each {
            let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for ((tenant, app), kept) in &self.0 {
                let value = i64::try_from(value(kept)).unwrap_or(i64::MAX);
                gauges
                    .encode_family(&[("tenant", tenant.as_str()), ("app", app.as_str())])?
                    .encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}
