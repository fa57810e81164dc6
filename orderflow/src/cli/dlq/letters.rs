//! The dead letters of a system, and what became of them, as its dead-letters topic says.
//!
//! A redrive writes two records beside the letters: `RedriveStarted` before it appends, `Redriven` with the new place after. Each names what it follows (`after`: the letter itself, or the record about
//! it before this one), and counts only if that is the last word about the letter where it stands. So of two operators who take the same letter at the same time one is second, and both see it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use business::schema::records::{REDRIVE_STARTED, REDRIVEN};
use fluvio_streams::log::{Log, LogError};
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::system::System;
use fluvio_streams::time::parse_rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::scan::scan;
use crate::limits::{DLQ_ERROR_KEPT_CHARACTERS_MAX, DLQ_LETTERS_MAX};

/// The name of a dead letter: where it stands. `food-delivery/2/17` is the letter at offset 17 of partition 2 of the dead letters of food delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LetterId {
    pub(super) system: String,
    pub(super) partition: u32,
    pub(super) offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.system, self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = |text: &str| {
            let mut parts = text.split('/');
            let id = Self { system: parts.next()?.to_owned(), partition: parts.next()?.parse().ok()?, offset: parts.next()?.parse().ok()? };
            (parts.next().is_none() && id.offset >= 0).then_some(id)
        };
        read(text).ok_or_else(|| "a dead letter is named `SYSTEM/PARTITION/OFFSET`, as `orderflow dlq list` shows it: `food-delivery/2/17`".to_owned())
    }
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a redrive writes into the dead letters, beside its type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Note {
    /// A record is about to be appended again.
    #[serde(rename_all = "camelCase")]
    RedriveStarted {
        letter: String,
        after: i64,
        topic: String,
        partition: u32,
        /// The record will stand at this offset or later.
        from: i64,
        redrives: u32,
        at: String,
    },
    /// It was appended.
    #[serde(rename_all = "camelCase")]
    Redriven { letter: String, after: i64, topic: String, partition: u32, offset: i64, redrives: u32, at: String },
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub(super) enum State {
    /// Nothing.
    Open,
    /// Somebody began to redrive it, and did not say how it went: it is under way, or was interrupted.
    #[serde(rename_all = "camelCase")]
    Started { at: String, from: i64 },
    /// Its record was appended again.
    #[serde(rename_all = "camelCase")]
    Redriven { at: String, to: String },
}

/// A dead letter, without what it quotes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Letter {
    pub(super) id: LetterId,
    /// When it was written.
    pub(super) at: String,
    #[serde(skip)]
    pub(super) at_ms: i64,
    /// Where the record stands that it is about.
    pub(super) topic: String,
    pub(super) partition: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<i64>,
    /// Which timer or answer it is about, if it is about no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    /// Who could not take it; `None`: a view, before views said which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) processor: Option<String>,
    pub(super) error: String,
    /// How often its record was redriven, also before it came back as this letter.
    pub(super) redrives: u32,
    #[serde(flatten)]
    pub(super) state: State,
    #[serde(skip)]
    correlation: String,
    /// Offset of the last record about it that counts.
    #[serde(skip)]
    pub(super) latest: i64,
}

impl Letter {
    /// Returns true if it is a view that could not take the record.
    pub(super) fn is_of_view(&self) -> bool {
        self.processor.as_deref().is_none_or(|processor| processor.ends_with("-view"))
    }

    /// Returns the place of the record that it is about, if it is about one.
    pub(super) fn about(&self) -> Option<Position> {
        self.offset.map(|offset| Position { topic: self.topic.clone(), partition: self.partition, offset })
    }
}

/// Which letters are of interest.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) topic: Option<String>,
    pub(super) since_ms: Option<i64>,
}

/// The dead letters of a system, read up to some place and readable further.
#[derive(Debug)]
pub(super) struct Letters {
    pub(super) system: &'static str,
    pub(super) topic: String,
    wanted: Wanted,
    /// Up to where each partition was read.
    next: Vec<i64>,
    by_id: BTreeMap<LetterId, Letter>,
    /// Where redriven records stand, and which time it was.
    redriven: HashMap<Position, u32>,
}

/// What is read of a letter.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    time: String,
    #[serde(rename = "correlationid", default)]
    correlation: String,
    data: Quoted,
}

#[derive(Deserialize)]
struct Quoted {
    topic: String,
    partition: u32,
    offset: Option<i64>,
    cause: Option<String>,
    processor: Option<String>,
    #[serde(default)]
    error: String,
}

impl Letters {
    /// Reads the dead letters of a system up to now.
    ///
    /// # Errors
    /// If they cannot be read, or are too many.
    pub(super) async fn read(log: &dyn Log, system: &System, wanted: Wanted) -> anyhow::Result<Self> {
        let topic = system.topology.processors.first().map(|processor| processor.dead_letters.clone());
        let topic = topic.with_context(|| format!("{} has no dead letters", system.name))?;
        let partitions = match log.partitions(&topic).await {
            Ok(partitions) => partitions,
            Err(LogError::NoTopic { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        let next = vec![0; partitions as usize];
        let mut letters = Self { system: system.name, topic, wanted, next, by_id: BTreeMap::new(), redriven: HashMap::new() };
        for partition in 0..partitions {
            letters.read_on(log, partition).await?;
        }
        Ok(letters)
    }

    /// Reads a partition on to where it ends now.
    ///
    /// # Errors
    /// As [`Letters::read`].
    pub(super) async fn read_on(&mut self, log: &dyn Log, partition: u32) -> anyhow::Result<()> {
        let (topic, from) = (self.topic.clone(), self.next[partition as usize]);
        let scanned = scan(log, &topic, partition, from, None, |record| self.take(partition, record)).await?;
        self.next[partition as usize] = scanned.next;
        Ok(())
    }

    /// Returns a letter.
    pub(super) fn get(&self, id: &LetterId) -> Option<Letter> {
        self.by_id.get(id).map(|letter| self.counted(letter))
    }

    /// Returns all letters, the oldest of each partition first.
    pub(super) fn all(&self) -> Vec<Letter> {
        self.by_id.values().map(|letter| self.counted(letter)).collect()
    }

    /// Returns true if a redriven record is known to stand there.
    pub(super) fn is_redriven(&self, place: &Position) -> bool {
        self.redriven.contains_key(place)
    }

    /// A letter may come before the note that says that its record was a redriven one, so this is asked last.
    fn counted(&self, letter: &Letter) -> Letter {
        let by_place = letter.about().and_then(|place| self.redriven.get(&place));
        // A command that its reader forwarded comes back under the place where it stood first.
        let by_root = parse_position(&letter.correlation).and_then(|place| self.redriven.get(&place));
        let before = by_place.into_iter().chain(by_root).copied().max().unwrap_or_default();
        Letter { redrives: letter.redrives.max(before), ..letter.clone() }
    }

    fn take(&mut self, partition: u32, record: &LogRecord) -> anyhow::Result<()> {
        let Ok(value) = serde_json::from_slice::<Value>(&record.value) else { return Ok(()) };
        match value["type"].as_str() {
            Some("DeadLetter") => self.take_letter(partition, record, value),
            Some(REDRIVE_STARTED | REDRIVEN) => {
                if let Ok(note) = serde_json::from_value(value) {
                    self.take_note(partition, record.offset, note);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_letter(&mut self, partition: u32, record: &LogRecord, value: Value) -> anyhow::Result<()> {
        let Ok(Wire { time, correlation, data }) = serde_json::from_value(value) else { return Ok(()) };
        let at_ms = parse_rfc3339(&time).unwrap_or(record.timestamp_ms);
        let is_wanted = self.wanted.topic.as_ref().is_none_or(|topic| *topic == data.topic) && self.wanted.since_ms.is_none_or(|since_ms| at_ms >= since_ms);
        if !is_wanted {
            return Ok(());
        }
        ensure!(self.by_id.len() < DLQ_LETTERS_MAX, "{} holds more than {DLQ_LETTERS_MAX} dead letters; ask for fewer with --since or --topic", self.topic);
        let id = LetterId { system: self.system.to_owned(), partition, offset: record.offset };
        let Quoted { topic, partition, offset, cause, processor, error } = data;
        let error = error.chars().take(DLQ_ERROR_KEPT_CHARACTERS_MAX).collect();
        let at = fluvio_streams::time::format_rfc3339(at_ms);
        let letter = Letter {
            id: id.clone(),
            at,
            at_ms,
            topic,
            partition,
            offset,
            cause,
            processor,
            error,
            redrives: 0,
            state: State::Open,
            correlation,
            latest: record.offset,
        };
        self.by_id.insert(id, letter);
        Ok(())
    }

    fn take_note(&mut self, partition: u32, offset: i64, note: Note) {
        let (Note::RedriveStarted { letter, after, redrives, .. } | Note::Redriven { letter, after, redrives, .. }) = &note;
        let (after, redrives, id) = (*after, *redrives, letter.parse::<LetterId>());
        if let Note::Redriven { topic, partition, offset, .. } = &note {
            self.redriven.insert(Position { topic: topic.clone(), partition: *partition, offset: *offset }, redrives);
        }
        let Some(letter) = id.ok().filter(|id| id.partition == partition).and_then(|id| self.by_id.get_mut(&id)) else { return };
        if letter.latest != after {
            return;
        }
        letter.latest = offset;
        letter.state = match note {
            Note::RedriveStarted { at, from, .. } => State::Started { at, from },
            Note::Redriven { at, topic, partition, offset, .. } => {
                letter.redrives = letter.redrives.max(redrives);
                State::Redriven { at, to: Position { topic, partition, offset }.to_string() }
            }
        };
    }
}

/// Reads a place in the form in which it is written.
fn parse_position(text: &str) -> Option<Position> {
    let mut parts = text.rsplitn(3, '/');
    let (offset, partition, topic) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    Some(Position { topic: topic.to_owned(), partition, offset })
}
