//! Metrics of the webhook to which notifications are delivered.

use std::sync::Arc;
use std::time::Duration;

use metrics::Histogram;
use notifications::delivery::Answer;

use super::catalog;
use super::registry::Registry;

/// Counts what the webhook does.
pub(crate) struct WebhookMeters {
    delivered: Histogram,
    retried: Histogram,
    refused: Histogram,
}

impl WebhookMeters {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let latency = |outcome| registry.histogram(&catalog::WEBHOOK_LATENCY, &[("outcome", outcome)]);
        Self { delivered: latency("delivered"), retried: latency("retried"), refused: latency("refused") }
    }

    /// A try to deliver a notification has come to this.
    pub(crate) fn answered(&self, answer: &Answer, elapsed: Duration) {
        let latency = match answer {
            Answer::Delivered => &self.delivered,
            Answer::Retry { .. } => &self.retried,
            Answer::Refused { .. } => &self.refused,
        };
        latency.record(elapsed.as_secs_f64());
    }
}
