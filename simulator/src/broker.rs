//! The simulated broker: partitions of records, of which readers see a prefix.
//!
//! What it promises is what Fluvio does: an append of a batch is atomic and in order, and what was acknowledged is seen by every reader from then on. What it may do beyond that is the
//! world's to decide: records that nobody was told of vanish when a leader changes, old ones go by retention, and (only where a run asks for it) an acknowledged tail is lost.

use bytes::Bytes;
use fluvio_streams::envelope::Provenance;
use fluvio_streams::record::{LogRecord, NewRecord};
use fluvio_streams::topology::{Routing, STUB};
use serde::Deserialize;

use crate::limits::PARTITIONS;

/// Every topic of the business; a place names one by its index.
pub(crate) const TOPICS: [&str; 9] =
    ["assignment", "commands", "transfers", "till-events", "audit-events", "rejections", "dead-letters", "till-journal", "audit-journal"];

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) topic: usize,
    pub(crate) partition: u32,
}

impl Place {
    /// # Panics
    /// If the business has no such topic.
    pub(crate) fn of(topic: &str, partition: u32) -> Self {
        let topic = TOPICS.iter().position(|name| *name == topic).unwrap_or_else(|| panic!("no topic `{topic}`"));
        Self { topic, partition }
    }

    pub(crate) fn is_journal(self) -> bool {
        TOPICS[self.topic].ends_with("-journal")
    }

    /// Returns every partition there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..TOPICS.len()).flat_map(|topic| (0..PARTITIONS).map(move |partition| Self { topic, partition }))
    }

    fn index(self) -> usize {
        self.topic * PARTITIONS as usize + self.partition as usize
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", TOPICS[self.topic], self.partition)
    }
}

/// A record in a partition.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Bytes,
    pub(crate) timestamp_ms: i64,
    /// What it says about itself; of a journal's records nothing.
    pub(crate) label: Label,
}

/// What a record of a topic says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Label {
    /// Its type, by which it is routed.
    pub(crate) kind: Option<String>,
    /// CloudEvents id.
    pub(crate) id: String,
    pub(crate) correlation: String,
    /// Which effect of which transaction it is.
    pub(crate) provenance: Option<Provenance>,
}

impl Label {
    pub(crate) fn of(value: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "type")]
            kind: Option<String>,
            #[serde(default)]
            id: String,
            #[serde(default)]
            correlationid: String,
            provenance: Option<String>,
        }
        let Ok(header) = serde_json::from_slice::<Header>(value) else { return Self::default() };
        let provenance = header.provenance.as_deref().and_then(Provenance::parse);
        Self { kind: header.kind, id: header.id, correlation: header.correlationid, provenance }
    }
}

#[derive(Debug, Clone, Default)]
struct Partition {
    /// All that was ever there: `start` says what retention has left.
    records: Vec<Stored>,
    start: i64,
    /// One past the last record that readers see.
    visible: i64,
}

/// The broker.
pub(crate) struct Broker {
    partitions: Vec<Partition>,
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self { partitions: Place::all().map(|_| Partition::default()).collect() }
    }

    fn at(&self, place: Place) -> &Partition {
        &self.partitions[place.index()]
    }

    fn at_mut(&mut self, place: Place) -> &mut Partition {
        &mut self.partitions[place.index()]
    }

    /// Appends a batch and returns the offset of its first record. Readers do not see it yet.
    pub(crate) fn append(&mut self, place: Place, timestamp_ms: i64, records: &[NewRecord]) -> i64 {
        let partition = self.at_mut(place);
        let first = partition.records.len() as i64;
        partition.records.extend(records.iter().map(|record| Stored {
            key: record.key.clone(),
            value: record.value.clone(),
            timestamp_ms,
            label: if place.is_journal() { Label::default() } else { Label::of(&record.value) },
        }));
        first
    }

    /// Lets readers see up to `end`, and returns what they see now that they did not see before.
    pub(crate) fn show(&mut self, place: Place, end: i64) -> std::ops::Range<i64> {
        let partition = self.at_mut(place);
        let before = partition.visible;
        partition.visible = before.max(end.min(partition.records.len() as i64));
        before..partition.visible
    }

    /// Returns the first offset that is held and one past the last that readers see.
    pub(crate) fn offsets(&self, place: Place) -> (i64, i64) {
        (self.at(place).start, self.at(place).visible)
    }

    /// Returns one past the last record, seen or not.
    pub(crate) fn end(&self, place: Place) -> i64 {
        self.at(place).records.len() as i64
    }

    /// Returns a record, also one that retention has removed: for those who check.
    pub(crate) fn archived(&self, place: Place, offset: i64) -> &Stored {
        &self.at(place).records[offset as usize]
    }

    /// Returns up to `limit` records from `from` on. `None`: that offset is gone, or not there (any more).
    pub(crate) fn fetch(&self, place: Place, from: i64, routing: Option<&Routing>, limit: u64) -> Option<Vec<LogRecord>> {
        let partition = self.at(place);
        if from < partition.start || from > partition.visible {
            return None;
        }
        let to = partition.visible.min(from.saturating_add_unsigned(limit));
        let thinned = |(offset, stored): (i64, &Stored)| match routing.is_none_or(|routing| routing.passes(stored.label.kind.as_deref())) {
            true => LogRecord { offset, timestamp_ms: stored.timestamp_ms, key: stored.key.clone(), value: stored.value.clone() },
            false => LogRecord { offset, timestamp_ms: stored.timestamp_ms, key: None, value: Bytes::from_static(STUB) },
        };
        Some((from..to).zip(&partition.records[from as usize..to as usize]).map(thinned).collect())
    }

    /// Another leader takes over: what readers did not see is gone. Returns where the partition ends now.
    pub(crate) fn change_leader(&mut self, place: Place) -> i64 {
        let partition = self.at_mut(place);
        partition.records.truncate(partition.visible as usize);
        partition.visible
    }

    /// Retention removes what is before `offset`.
    pub(crate) fn expire(&mut self, place: Place, offset: i64) {
        let partition = self.at_mut(place);
        partition.start = partition.start.max(offset.min(partition.visible));
    }

    /// Loses records that it had acknowledged, from `end` on.
    pub(crate) fn lose_tail(&mut self, place: Place, end: i64) {
        let partition = self.at_mut(place);
        partition.records.truncate(end as usize);
        partition.visible = partition.visible.min(end);
    }
}
