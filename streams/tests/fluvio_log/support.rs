//! Brokers, logs and records for the tests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fluvio_streams::fluvio::limits::Timeouts;
use fluvio_streams::fluvio::telemetry::{Event, Observer, Purpose};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions, THIN_MAP};
use fluvio_streams::log::{Log, LogError, NewTopic, Reader};
use fluvio_streams::record::{LogRecord, NewRecord};
use orderflow_broker::{Broker, Options};

use crate::site::SiteLog;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn start_broker() -> Broker {
    Broker::start(Options::default()).await.expect("the broker starts")
}

pub(crate) fn options(broker: &Broker) -> FluvioLogOptions {
    FluvioLogOptions::new(broker.sc_addr().to_string())
}

/// Timeouts for tests in which something does not come.
pub(crate) fn hasty() -> Timeouts {
    Timeouts {
        request: Duration::from_millis(1_500),
        append: Duration::from_millis(1_500),
        probe: Duration::from_millis(100),
        stall: Duration::from_millis(300),
        ..Timeouts::default()
    }
}

pub(crate) async fn connect(broker: &Broker) -> Arc<FluvioLog> {
    FluvioLog::connect(options(broker)).await.expect("the log connects")
}

pub(crate) async fn create<L: Log>(log: &Arc<L>, name: &str, partitions: u32) {
    let topic = NewTopic { name: name.to_owned(), partitions, retention_seconds: None, segment_bytes: None };
    log.ensure_topic(&topic).await.expect("the topic is created");
}

pub(crate) async fn upload_thin_map(log: &SiteLog) {
    log.ensure_smartmodule(THIN_MAP, &artifact("thin-map")).await.expect("the SmartModule is uploaded");
}

pub(crate) fn artifact(name: &str) -> Vec<u8> {
    let path = format!("{}/../smartmodules/artifacts/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An event whose type goes round A, B, C, ... and which says its number.
pub(crate) fn event(number: usize) -> NewRecord {
    let kind = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"][number % 10];
    NewRecord::keyed(&format!("k-{number}"), format!(r#"{{"type":"{kind}","number":{number},"padding":"{}"}}"#, "x".repeat(number % 97)))
}

/// Appends events 0 to `count`, pipelined.
pub(crate) async fn fill<L: Log>(log: &Arc<L>, topic: &str, partition: u32, count: usize, batch: usize) {
    let writer = log.writer(topic, partition).await.expect("the writer opens");
    let mut appends = tokio::task::JoinSet::new();
    let mut batches = (0..count).step_by(batch).map(|from| (from..count.min(from + batch)).map(event).collect::<Vec<_>>());
    loop {
        // Spawned tasks start in order on the one thread of a test, so the appends do too.
        for records in batches.by_ref().take(32) {
            let writer = Arc::clone(&writer);
            appends.spawn(async move { writer.append(records).await });
        }
        let Some(appended) = appends.join_next().await else { return };
        appended.expect("the task ends").expect("the append is acknowledged");
    }
}

/// Reads up to `until` (exclusive).
pub(crate) async fn read_to(reader: &mut dyn Reader, until: i64) -> Result<Vec<LogRecord>, LogError> {
    let reading = async {
        let mut records = Vec::new();
        loop {
            let fetched = reader.next().await?;
            assert!(fetched.end_offset >= fetched.next_offset);
            records.extend(fetched.records);
            if fetched.next_offset >= until {
                return Ok(records);
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the records arrive")
}

/// Checks that the records are the events `from`, `from + 1`, ...
#[track_caller]
pub(crate) fn assert_events(records: &[LogRecord], from: usize, to: usize) {
    assert_eq!(records.len(), to - from);
    for (number, record) in (from..to).zip(records) {
        let NewRecord { key, value } = event(number);
        assert_eq!((record.offset, &record.key, &record.value), (number as i64, &key, &value));
    }
}

pub(crate) fn values(records: &[LogRecord]) -> Vec<Bytes> {
    records.iter().map(|record| record.value.clone()).collect()
}

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Vec<(Purpose, i64)>>);

impl Connections {
    /// Connections of this kind that are open now.
    pub(crate) fn open(&self, purpose: Purpose) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|(kind, _)| *kind == purpose).map(|(_, change)| change).sum()
    }

    /// Connections of this kind that were ever opened.
    pub(crate) fn opened(&self, purpose: Purpose) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|entry| **entry == (purpose, 1)).count()
    }
}

impl Observer for Connections {
    fn observe(&self, event: &Event<'_>) {
        let change = match event {
            Event::Connected { purpose, .. } => (*purpose, 1),
            Event::Disconnected { purpose, .. } => (*purpose, -1),
            _ => return,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}
