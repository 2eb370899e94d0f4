//! A node that sends telemetry, from its first metrics to its last line.

use crate::node::Node;

impl Node {
    /// Sends what the node counts, again and again, where there is a collector. Never ends by itself where there is.
    pub async fn keep_exporting(&self) {
        let Some(otlp) = &self.otlp else { return };
        loop {
            otlp.metrics_due().await;
            otlp.send_metrics(&self.metrics().await).await;
        }
    }

    /// Writes and sends what is left, after a drain: in a few seconds, or it is dropped.
    pub async fn finish_telemetry(&self) {
        self.put_lines_away().await;
        if let Some(otlp) = &self.otlp {
            let last = self.metrics().await;
            otlp.finish(&last).await;
        }
    }
}
