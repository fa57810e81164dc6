//! Metrics of the client side of the log: what goes over the connections to Fluvio.

use fluvio_streams::fluvio::telemetry::{Event, Observer, Purpose, Reopening};
use metrics::{Counter, Histogram};

use super::catalog;
use super::registry::Registry;

/// Counts what goes to and comes from Fluvio.
pub(crate) struct LogMeters {
    /// For control, appends, streams: connected, disconnected.
    connections: [(Counter, Counter); 3],
    sent_bytes: Counter,
    received_bytes: Counter,
    records_appended: Counter,
    append_latency: Histogram,
    appends_failed: Counter,
    records_fetched: Counter,
    /// For a hole, a stall, a large batch.
    reopened: [Counter; 3],
}

impl LogMeters {
    pub(super) fn new(registry: &Registry) -> Self {
        let connections = |purpose| {
            let labels = [("purpose", purpose)];
            (registry.counter(&catalog::LOG_CONNECTIONS, &labels), registry.counter(&catalog::LOG_DISCONNECTS, &labels))
        };
        Self {
            connections: ["control", "append", "stream"].map(connections),
            sent_bytes: registry.counter(&catalog::LOG_SENT_BYTES, &[]),
            received_bytes: registry.counter(&catalog::LOG_RECEIVED_BYTES, &[]),
            records_appended: registry.counter(&catalog::LOG_RECORDS_APPENDED, &[]),
            append_latency: registry.histogram(&catalog::LOG_APPEND_LATENCY, &[]),
            appends_failed: registry.counter(&catalog::LOG_APPENDS_FAILED, &[]),
            records_fetched: registry.counter(&catalog::LOG_RECORDS_FETCHED, &[]),
            reopened: ["hole", "stall", "large-batch"].map(|reason| registry.counter(&catalog::LOG_STREAMS_REOPENED, &[("reason", reason)])),
        }
    }

    fn connections(&self, purpose: Purpose) -> &(Counter, Counter) {
        match purpose {
            Purpose::Control => &self.connections[0],
            Purpose::Append => &self.connections[1],
            Purpose::Stream => &self.connections[2],
        }
    }
}

impl Observer for LogMeters {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Connected { purpose, .. } => self.connections(*purpose).0.increment(1),
            Event::Disconnected { purpose, endpoint, detail } => {
                tracing::debug!(endpoint, detail, "connection to fluvio ended");
                self.connections(*purpose).1.increment(1);
            }
            Event::Sent { bytes } => self.sent_bytes.increment(*bytes as u64),
            Event::Received { bytes } => self.received_bytes.increment(*bytes as u64),
            Event::Appended { records, elapsed, .. } => {
                self.records_appended.increment(*records as u64);
                self.append_latency.record(elapsed.as_secs_f64());
            }
            Event::AppendFailed { .. } => self.appends_failed.increment(1),
            Event::Fetched { records, .. } => self.records_fetched.increment(*records as u64),
            Event::StreamReopened { topic, partition, offset, reason } => {
                tracing::info!(topic, partition, offset, ?reason, "stream is opened anew");
                let reason = match reason {
                    Reopening::Hole => 0,
                    Reopening::Stall => 1,
                    Reopening::LargeBatch => 2,
                };
                self.reopened[reason].increment(1);
            }
            _ => {}
        }
    }
}
