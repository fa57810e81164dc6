//! Metrics of the embedded broker.

use std::path::PathBuf;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram};
use orderflow_broker::{DiskProblem, Event, Observer, Plane};
use tokio::sync::watch;

use super::catalog;
use super::registry::{Family, Registry};

/// Counts what the embedded broker does.
pub(crate) struct BrokerMeters {
    control: PlaneMeters,
    data: PlaneMeters,
    topics: Family<TopicMeters>,
    /// By plane and reason.
    closed: Family<Counter>,
    /// By topic and partition.
    log_sizes: Family<Gauge>,
    append_latency: Histogram,
    streams: Gauge,
    sync_latency: Histogram,
    logs_synced: Counter,
    smartmodule_records_in: Counter,
    smartmodule_records_out: Counter,
    smartmodule_latency: Histogram,
    smartmodule_failures: Counter,
}

struct PlaneMeters {
    connections: Gauge,
    refused: Counter,
    received_bytes: Counter,
    sent_bytes: Counter,
}

struct TopicMeters {
    records_appended: Counter,
    appended_bytes: Counter,
    records_sent: Counter,
    sent_bytes: Counter,
    produce_refused: Counter,
}

/// Tells of the disk on which the embedded broker writes.
pub(super) struct DiskMeters {
    directory: PathBuf,
    problem: watch::Receiver<Option<DiskProblem>>,
    free: Gauge,
    size: Gauge,
    refuses: Gauge,
}

impl DiskMeters {
    pub(super) fn new(registry: &Registry, directory: PathBuf, problem: watch::Receiver<Option<DiskProblem>>) -> Self {
        let gauge = |metric| registry.gauge(metric, &[]);
        Self {
            directory,
            problem,
            free: gauge(&catalog::BROKER_DISK_FREE),
            size: gauge(&catalog::BROKER_DISK_SIZE),
            refuses: gauge(&catalog::BROKER_DISK_REFUSES),
        }
    }

    /// Looks how it is now.
    pub(super) fn look(&self) {
        self.refuses.set(if self.problem.borrow().is_some() { 1.0 } else { 0.0 });
        // A disk that does not say how full it is keeps what it said last.
        if let Ok(disk) = rustix::fs::statvfs(&self.directory) {
            self.free.set((disk.f_bavail * disk.f_frsize) as f64);
            self.size.set((disk.f_blocks * disk.f_frsize) as f64);
        }
    }
}

impl BrokerMeters {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let plane = |plane: Plane| {
            let labels = [("plane", plane.as_str())];
            PlaneMeters {
                connections: registry.gauge(&catalog::BROKER_CONNECTIONS, &labels),
                refused: registry.counter(&catalog::BROKER_CONNECTIONS_REFUSED, &labels),
                received_bytes: registry.counter(&catalog::BROKER_RECEIVED_BYTES, &labels),
                sent_bytes: registry.counter(&catalog::BROKER_SENT_BYTES, &labels),
            }
        };
        let [for_topics, for_closed, for_sizes] = [(); 3].map(|()| Arc::clone(registry));
        Self {
            control: plane(Plane::Control),
            data: plane(Plane::Data),
            topics: Family::new(move |values| TopicMeters::new(&for_topics, values[0])),
            closed: Family::new(move |values| for_closed.counter(&catalog::BROKER_CONNECTIONS_CLOSED, &[("plane", values[0]), ("reason", values[1])])),
            log_sizes: Family::new(move |values| for_sizes.gauge(&catalog::BROKER_LOG_SIZE, &[("topic", values[0]), ("partition", values[1])])),
            append_latency: registry.histogram(&catalog::BROKER_APPEND_LATENCY, &[]),
            streams: registry.gauge(&catalog::BROKER_STREAMS, &[]),
            sync_latency: registry.histogram(&catalog::BROKER_SYNC_LATENCY, &[]),
            logs_synced: registry.counter(&catalog::BROKER_LOGS_SYNCED, &[]),
            smartmodule_records_in: registry.counter(&catalog::BROKER_SMARTMODULE_RECORDS_IN, &[]),
            smartmodule_records_out: registry.counter(&catalog::BROKER_SMARTMODULE_RECORDS_OUT, &[]),
            smartmodule_latency: registry.histogram(&catalog::BROKER_SMARTMODULE_LATENCY, &[]),
            smartmodule_failures: registry.counter(&catalog::BROKER_SMARTMODULE_FAILURES, &[]),
        }
    }

    fn plane(&self, plane: Plane) -> &PlaneMeters {
        match plane {
            Plane::Control => &self.control,
            Plane::Data => &self.data,
        }
    }
}

impl TopicMeters {
    fn new(registry: &Registry, topic: &str) -> Self {
        let labels = [("topic", topic)];
        Self {
            records_appended: registry.counter(&catalog::BROKER_RECORDS_APPENDED, &labels),
            appended_bytes: registry.counter(&catalog::BROKER_APPENDED_BYTES, &labels),
            records_sent: registry.counter(&catalog::BROKER_RECORDS_SENT, &labels),
            sent_bytes: registry.counter(&catalog::BROKER_TOPIC_SENT_BYTES, &labels),
            produce_refused: registry.counter(&catalog::BROKER_PRODUCE_REFUSED, &labels),
        }
    }
}

impl Observer for BrokerMeters {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::ConnectionOpened { plane } => self.plane(plane).connections.increment(1),
            Event::ConnectionClosed { plane, reason } => {
                self.plane(plane).connections.decrement(1);
                self.closed.of(&[plane.as_str(), reason.as_str()]).increment(1);
            }
            Event::ConnectionRefused { plane } => self.plane(plane).refused.increment(1),
            Event::BytesReceived { plane, bytes } => self.plane(plane).received_bytes.increment(bytes),
            Event::BytesSent { plane, bytes } => self.plane(plane).sent_bytes.increment(bytes),
            Event::RecordsAppended { topic, records, bytes } => {
                let meters = self.topics.of(&[topic]);
                meters.records_appended.increment(records);
                meters.appended_bytes.increment(bytes);
            }
            Event::RecordsSent { topic, records, bytes } => {
                let meters = self.topics.of(&[topic]);
                meters.records_sent.increment(records);
                meters.sent_bytes.increment(bytes);
            }
            Event::ProduceRefused { topic } => self.topics.of(&[topic]).produce_refused.increment(1),
            Event::AppendDurable { latency } => self.append_latency.record(latency.as_secs_f64()),
            Event::StreamOpened => self.streams.increment(1),
            Event::StreamClosed => self.streams.decrement(1),
            Event::SmartModuleRun { records_in, records_out, latency } => {
                self.smartmodule_records_in.increment(records_in);
                self.smartmodule_records_out.increment(records_out);
                self.smartmodule_latency.record(latency.as_secs_f64());
            }
            Event::SmartModuleFailed => self.smartmodule_failures.increment(1),
            Event::LogSize { topic, partition, bytes } => self.log_sizes.of(&[topic, &partition.to_string()]).set(bytes as f64),
            Event::Synced { partitions, latency } => {
                self.logs_synced.increment(partitions);
                self.sync_latency.record(latency.as_secs_f64());
            }
            _ => {}
        }
    }
}
