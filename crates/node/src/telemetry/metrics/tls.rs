//! The part of the metrics that is about TLS. A node without TLS has none of it.

use std::fmt;
use std::time::SystemTime;

use everwarm_edge::ingress::HandshakeFailure;
use everwarm_tls::certificates::Expiry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::node::Node;

/// A reading, taken when it is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    failed: Vec<(HandshakeFailure, u64)>,
    expiries: Vec<Expiry>,
}

impl Reading {
    pub(super) fn of(node: &Node) -> Option<Self> {
        let listening = node.listening()?;
        Some(Self {
            expiries: listening.certificates()?.expiries(),
            failed: listening.failed_handshakes(),
        })
    }
}

/// Seconds until then; below zero when it is over.
fn seconds_until(then: SystemTime) -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    match then.duration_since(SystemTime::now()) {
        Ok(left) => seconds(left).unwrap_or(i64::MAX),
        Err(over) => -seconds(over.duration()).unwrap_or(i64::MAX),
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "TLS handshakes that failed, by why";
        let mut failed =
            encoder.encode_descriptor("handshake_failures", help, None, MetricType::Counter)?;
        for (failure, count) in &self.failed {
            failed
                .encode_family(&[("reason", failure.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        let help = "Seconds until a certificate expires";
        let mut expiries =
            encoder.encode_descriptor("certificate_seconds", help, None, MetricType::Gauge)?;
        for expiry in &self.expiries {
            let labels = [
                ("certificate", expiry.certificate.as_str()),
                ("source", expiry.source),
            ];
            expiries
                .encode_family(&labels)?
                .encode_gauge(&seconds_until(expiry.not_after))?;
        }
        Ok(())
    }
}
