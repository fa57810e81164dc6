//! An in-memory log: for tests and the test driver. It routes as the broker's `thin-map` does, and redacts by the very code of `redact-map`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use routing::{Redacted, Redaction};
use tokio::sync::watch;

use super::{Fetched, Log, LogError, NewTopic, Offsets, Reader, Writer};
use crate::record::{LogRecord, NewRecord};
use crate::topology::{Routing, STUB};

/// Most records that one fetch returns.
const FETCH_RECORDS_MAX: usize = 500;

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Vec<Partition>>,
}

#[derive(Debug, Clone, Default)]
struct Partition {
    /// Offset of the first record held.
    start: i64,
    records: Vec<(i64, NewRecord)>,
}

impl Partition {
    fn end(&self) -> i64 {
        self.start + self.records.len() as i64
    }
}

/// Topics in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl MemoryLog {
    /// Creates a topic, unless it is there.
    pub fn create(&self, topic: &str, partitions: u32) {
        self.lock().topics.entry(topic.to_owned()).or_insert_with(|| vec![Partition::default(); partitions as usize]);
    }

    /// Appends a record and returns its offset.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] if there is no such partition.
    pub fn append(&self, topic: &str, partition: u32, timestamp_ms: i64, record: NewRecord) -> Result<i64, LogError> {
        let mut state = self.lock();
        let held = partition_of(&mut state, topic, partition)?;
        held.records.push((timestamp_ms, record));
        let offset = held.end() - 1;
        drop(state);
        self.changed.send_modify(|version| *version += 1);
        Ok(offset)
    }

    /// Returns up to `limit` records from `from` on, thinned by `routing`.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] or [`LogError::OffsetOutOfRange`].
    pub fn fetch(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>, limit: usize) -> Result<Fetched, LogError> {
        let mut state = self.lock();
        let held = partition_of(&mut state, topic, partition)?;
        let (start, end) = (held.start, held.end());
        if from < start || from > end {
            return Err(LogError::OffsetOutOfRange { topic: topic.to_owned(), partition, offset: from, start, end });
        }
        let redaction = routing.map(redaction).transpose()?.flatten();
        let taken = (from..).zip(&held.records[(from - start) as usize..]).take(limit);
        let records: Vec<LogRecord> = taken
            .map(|(offset, (timestamp_ms, record))| match &redaction {
                Some(redaction) => redact(offset, *timestamp_ms, record, redaction),
                None => thin(offset, *timestamp_ms, record, routing),
            })
            .collect();
        let next_offset = from + records.len() as i64;
        Ok(Fetched { records, next_offset, end_offset: end })
    }

    /// Removes the records before `offset`, as retention does.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn expire(&self, topic: &str, partition: u32, offset: i64) -> Result<(), LogError> {
        let mut state = self.lock();
        let held = partition_of(&mut state, topic, partition)?;
        let gone = (offset - held.start).clamp(0, held.records.len() as i64);
        held.records.drain(..gone as usize);
        held.start += gone;
        Ok(())
    }

    /// Returns the first offset held and one past the last.
    ///
    /// # Errors
    /// [`LogError::NoTopic`].
    pub fn bounds(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        let mut state = self.lock();
        let held = partition_of(&mut state, topic, partition)?;
        Ok(Offsets { start: held.start, end: held.end() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn partition_of<'a>(state: &'a mut State, topic: &str, partition: u32) -> Result<&'a mut Partition, LogError> {
    state.topics.get_mut(topic).and_then(|partitions| partitions.get_mut(partition as usize)).ok_or_else(|| LogError::NoTopic { topic: topic.to_owned() })
}

/// What `redact-map` makes of a routing that redacts, or why it refuses the stream.
fn redaction(routing: &Routing) -> Result<Option<Redaction>, LogError> {
    let Routing::Redacted { types, fields } = routing else { return Ok(None) };
    let redaction = Redaction::from_params(Some(&types.join(",")), None, Some(&fields.join(",")));
    redaction.map(Some).map_err(|error| LogError::Refused { action: "to redact".to_owned(), detail: error.to_string() })
}

fn redact(offset: i64, timestamp_ms: i64, record: &NewRecord, redaction: &Redaction) -> LogRecord {
    match redaction.apply(&record.value) {
        Redacted::Nothing => LogRecord { offset, timestamp_ms, key: record.key.clone(), value: record.value.clone() },
        Redacted::Rest(value) => LogRecord { offset, timestamp_ms, key: record.key.clone(), value: value.into() },
        Redacted::Stub => LogRecord { offset, timestamp_ms, key: None, value: Bytes::from_static(STUB) },
    }
}

fn thin(offset: i64, timestamp_ms: i64, record: &NewRecord, routing: Option<&Routing>) -> LogRecord {
    let passes = routing.is_none_or(|routing| routing.passes(kind_of(&record.value).as_deref()));
    match passes {
        true => LogRecord { offset, timestamp_ms, key: record.key.clone(), value: record.value.clone() },
        false => LogRecord { offset, timestamp_ms, key: None, value: Bytes::from_static(STUB) },
    }
}

fn kind_of(value: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice::<Kind>(value).ok().map(|kind| kind.kind)
}

#[async_trait]
impl Log for MemoryLog {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.create(&topic.name, topic.partitions);
        Ok(())
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let state = self.lock();
        state.topics.get(topic).map(|partitions| partitions.len() as u32).ok_or_else(|| LogError::NoTopic { topic: topic.to_owned() })
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        self.bounds(topic, partition)
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        self.fetch(topic, partition, from, routing, 0)?;
        Ok(Box::new(MemoryReader {
            log: self.clone(),
            topic: topic.to_owned(),
            partition,
            next_offset: from,
            routing: routing.cloned(),
            changed: self.changed.subscribe(),
        }))
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        partition_of(&mut self.lock(), topic, partition)?;
        Ok(Arc::new(MemoryWriter { log: self.clone(), topic: topic.to_owned(), partition }))
    }
}

struct MemoryReader {
    log: MemoryLog,
    topic: String,
    partition: u32,
    next_offset: i64,
    routing: Option<Routing>,
    changed: watch::Receiver<u64>,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<Fetched, LogError> {
        loop {
            // Marked as seen before the read, so that an append in between wakes the wait below.
            self.changed.mark_unchanged();
            let fetched = self.log.fetch(&self.topic, self.partition, self.next_offset, self.routing.as_ref(), FETCH_RECORDS_MAX)?;
            if !fetched.records.is_empty() {
                self.next_offset = fetched.next_offset;
                return Ok(fetched);
            }
            if self.changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

struct MemoryWriter {
    log: MemoryLog,
    topic: String,
    partition: u32,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        use crate::time::{Clock, SystemClock};
        let now_ms = SystemClock.now_ms();
        let mut first = None;
        for record in records {
            let offset = self.log.append(&self.topic, self.partition, now_ms, record)?;
            first.get_or_insert(offset);
        }
        first.ok_or_else(|| LogError::Refused { action: format!("append to {}", self.topic), detail: "no records".to_owned() })
    }
}
