//! From records to documents: pure, no log and no store.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use fluvio_streams::envelope::{self, Format, Message, Provenance, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::topology::STUB;

use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_ID_BYTES_MAX};
use crate::view::{Document, View, json_size};

/// An event and the document that it changes.
pub(super) struct Change {
    pub(super) id: String,
    message: Message,
    record: LogRecord,
}

/// A record that does not fold, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) offset: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
    pub(super) error: String,
}

impl Refusal {
    fn new(record: LogRecord, error: impl Into<String>) -> Self {
        Self { offset: record.offset, key: record.key, value: record.value, error: error.into() }
    }
}

/// What comes of a batch.
#[derive(Default)]
pub(super) struct Folded {
    /// Documents that have changed, in no order.
    pub(super) documents: Vec<Document>,
    /// Time of the last event that was folded in.
    pub(super) last_event_ms: Option<i64>,
}

/// Finds out which documents the records change. Records that routing left out change none.
pub(super) fn read(view: &View, projection: &dyn Projection, partition: u32, records: Vec<LogRecord>, refusals: &mut Vec<Refusal>) -> Vec<Change> {
    let mut changes = Vec::new();
    for record in records.into_iter().filter(|record| *record.value != *STUB) {
        let position = Position { topic: view.topic.clone(), partition, offset: record.offset };
        let message = envelope::read(Format::Event, position, record.key.as_deref(), &record.value, record.timestamp_ms);
        let addressed = message.and_then(|message| Ok((guarded(|| projection.document_id(&message))?, message)));
        match addressed {
            Ok((None, _)) => {}
            Ok((Some(id), message)) if (1..=DOCUMENT_ID_BYTES_MAX).contains(&id.len()) => changes.push(Change { id, message, record }),
            Ok((Some(id), _)) => {
                let error = format!("document id has {} bytes: it must have 1 to {DOCUMENT_ID_BYTES_MAX}", id.len());
                refusals.push(Refusal::new(record, error));
            }
            Err(error) => refusals.push(Refusal::new(record, error.0)),
        }
    }
    changes
}

/// Folds the changes, in order, into the documents as they are stored. Events that a document includes already are left out, so folding again changes nothing.
pub(super) fn fold(projection: &dyn Projection, partition: u32, changes: Vec<Change>, stored: Vec<Document>, refusals: &mut Vec<Refusal>) -> Folded {
    let mut documents: HashMap<String, (Document, bool)> = stored.into_iter().map(|document| (document.id.clone(), (document, false))).collect();
    let mut last_event_ms = None;
    for Change { id, message, record } in changes {
        let current = documents.get(&id).map(|(document, _)| document);
        match current {
            Some(document) if document.partition != partition => {
                let error = format!("document `{id}` belongs to partition {}: all its events must have one key", document.partition);
                refusals.push(Refusal::new(record, error));
                continue;
            }
            Some(document) if document.offset >= record.offset || is_repeated(document, &message) => continue,
            _ => {}
        }
        match next_value(projection, current, &message) {
            Ok(value) => {
                last_event_ms = Some(message.time_ms);
                let created_ms = current.map_or(message.time_ms, |document| document.created_ms);
                let mut taken = current.map(|document| document.taken.clone()).unwrap_or_default();
                taken.extend(message.provenance.as_ref().map(|from| (sender(from), (from.sequence, from.index))));
                let document = Document { id: id.clone(), partition, offset: record.offset, created_ms, taken, value };
                documents.insert(id, (document, true));
            }
            Err(error) => refusals.push(Refusal::new(record, error.0)),
        }
    }
    Folded { documents: documents.into_values().filter_map(|(document, is_changed)| is_changed.then_some(document)).collect(), last_event_ms }
}

/// Returns true if the document includes the event already, from another place in the topic.
fn is_repeated(document: &Document, message: &Message) -> bool {
    let taken = message.provenance.as_ref().and_then(|from| Some((document.taken.get(&sender(from))?, from)));
    taken.is_some_and(|(taken, from)| (from.sequence, from.index) <= *taken)
}

fn sender(from: &Provenance) -> String {
    format!("{}/{}", from.journal, from.partition)
}

fn next_value(projection: &dyn Projection, current: Option<&Document>, message: &Message) -> Result<serde_json::Value, Unreadable> {
    let value = guarded(|| projection.fold(current.map(|document| document.value.clone()), message))?;
    let bytes = json_size(&value);
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(Unreadable(format!("{}: document would have {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are allowed", message.kind)));
    }
    Ok(value)
}

/// Runs code of a business: a panic in it concerns one record, not the view.
fn guarded<T>(act: impl FnOnce() -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Unreadable(format!("projection panicked: {}", text.unwrap_or("without a message"))))
    })
}
