//! From records to documents: pure, no log and no store.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use fluvio_streams::envelope::{self, Format, Message, Provenance, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::topology::STUB;
use fluvio_streams::trace::TraceContext;

use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_ID_BYTES_MAX};
use crate::telemetry::EventViewed;
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
    /// Trace of the event, if it is one.
    pub(super) trace: Option<TraceContext>,
}

impl Refusal {
    fn new(record: LogRecord, error: impl Into<String>, message: Option<&Message>) -> Self {
        let trace = message.map(|message| message.trace);
        Self { offset: record.offset, key: record.key, value: record.value, error: error.into(), trace }
    }
}

/// What comes of a batch.
#[derive(Default)]
pub(super) struct Folded {
    /// Documents that have changed, in no order.
    pub(super) documents: Vec<Document>,
    /// Time of the last event that was folded in.
    pub(super) last_event_ms: Option<i64>,
    /// The events that were folded in, if anybody wants to know.
    pub(super) traced: Vec<EventViewed>,
}

/// Finds out which documents the records change. Records that routing left out change none.
pub(super) fn read(view: &View, projection: &dyn Projection, partition: u32, records: Vec<LogRecord>, refusals: &mut Vec<Refusal>) -> Vec<Change> {
    let mut changes = Vec::new();
    for record in records.into_iter().filter(|record| *record.value != *STUB) {
        let position = Position { topic: view.topic.clone(), partition, offset: record.offset };
        let message = envelope::read(Format::Event, position, record.key.as_deref(), &record.value, record.timestamp_ms);
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                refusals.push(Refusal::new(record, error.0, None));
                continue;
            }
        };
        match guarded(|| projection.document_id(&message)) {
            Ok(None) => {}
            Ok(Some(id)) if (1..=DOCUMENT_ID_BYTES_MAX).contains(&id.len()) => changes.push(Change { id, message, record }),
            Ok(Some(id)) => {
                let error = format!("document id has {} bytes: it must have 1 to {DOCUMENT_ID_BYTES_MAX}", id.len());
                refusals.push(Refusal::new(record, error, Some(&message)));
            }
            Err(error) => refusals.push(Refusal::new(record, error.0, Some(&message))),
        }
    }
    changes
}

/// Folds the changes, in order, into the documents as they are stored. Events that a document includes already are left out, so folding again changes nothing.
pub(super) fn fold(
    (view, projection): (&View, &dyn Projection),
    partition: u32,
    changes: Vec<Change>,
    stored: Vec<Document>,
    is_traced: bool,
    refusals: &mut Vec<Refusal>,
) -> Folded {
    let mut documents: HashMap<String, (Document, bool)> = stored.into_iter().map(|document| (document.id.clone(), (document, false))).collect();
    let mut last_event_ms = None;
    let mut traced = Vec::new();
    for Change { id, message, record } in changes {
        let current = documents.get(&id).map(|(document, _)| document);
        match current {
            Some(document) if document.partition != partition => {
                let error = format!("document `{id}` belongs to partition {}: all its events must have one key", document.partition);
                refusals.push(Refusal::new(record, error, Some(&message)));
                continue;
            }
            Some(document) if document.offset >= record.offset || is_repeated(document, &message) => continue,
            _ => {}
        }
        match next_value(projection, current, &message) {
            Ok(value) => {
                last_event_ms = Some(message.time_ms);
                if is_traced {
                    traced.push(EventViewed::of(view, partition, &message, &id));
                }
                let created_ms = current.map_or(message.time_ms, |document| document.created_ms);
                let mut taken = current.map(|document| document.taken.clone()).unwrap_or_default();
                taken.extend(message.provenance.as_ref().map(|from| (sender(from), (from.sequence, from.index))));
                let document = Document { id: id.clone(), partition, offset: record.offset, created_ms, taken, value };
                documents.insert(id, (document, true));
            }
            Err(error) => refusals.push(Refusal::new(record, error.0, Some(&message))),
        }
    }
    Folded { documents: documents.into_values().filter_map(|(document, is_changed)| is_changed.then_some(document)).collect(), last_event_ms, traced }
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
