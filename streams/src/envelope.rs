//! What a record says about itself: CloudEvents 1.0 in JSON, and plain commands.
//!
//! Fluvio has no record headers, and behind a filter its offsets and timestamps cannot be trusted, so everything that the runtime needs to know about a record travels
//! inside it: its identity, its cause, its time, and its *provenance* (which transaction of which journal sent it), by which receivers drop what they have already taken.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::Position;
use crate::time::{format_rfc3339, parse_rfc3339};
use crate::trace::{Origin, Trace, TraceContext, span_of_input};

/// Member of commands and events that says to which trace they belong.
pub const TRACEPARENT: &str = "traceparent";

/// Which effect of which transaction a record is. Totally ordered within one journal partition by (sequence, index).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// Journal topic of the sending processor.
    pub journal: String,
    /// Partition of that journal.
    pub partition: u32,
    /// Epoch of the fence under which the transaction was committed.
    pub epoch: u64,
    /// Sequence number of the transaction.
    pub sequence: u64,
    /// Index of the effect within the transaction.
    pub index: u32,
}

impl Provenance {
    /// Returns the wire form `journal/partition/epoch/sequence/index`.
    pub fn render(&self) -> String {
        format!("{}/{}/{}/{}/{}", self.journal, self.partition, self.epoch, self.sequence, self.index)
    }

    /// Reads the wire form; `None` if it is anything else. Further parts, which a newer program may add, are ignored: whoever took the record for one from outside would take it twice.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        Some(Self {
            journal: parts.next().filter(|name| !name.is_empty())?.to_owned(),
            partition: parts.next()?.parse().ok()?,
            epoch: parts.next()?.parse().ok()?,
            sequence: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
        })
    }
}

/// A readable record: an event (CloudEvents) or a command (a plain JSON object, or one wrapped by a forwarding task).
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it was read.
    pub position: Position,
    /// Event or command type, for example `PlaceOrder`.
    pub kind: String,
    /// Aggregate id that the record is about, where it is known.
    pub subject: Option<String>,
    /// Identity of the record: the CloudEvents id; for a command its `commandId`, else its position. At most [`crate::limits::ID_BYTES_MAX`] bytes.
    pub id: String,
    /// True if the sender chose the id (`commandId`), so that two commands with one id are one command.
    pub id_is_explicit: bool,
    /// Id of the command at the root of the chain that led here.
    pub correlation: String,
    /// Which transaction sent it; `None` for records from outside.
    pub provenance: Option<Provenance>,
    /// Its trace, and the span that wrote it: as its `traceparent` says, or as follows from its correlation id.
    pub trace: TraceContext,
    /// When it happened, ms since the Unix epoch: the event's own `time`, else the record's timestamp, else -1.
    pub time_ms: i64,
    /// JSON text of the payload: an event's `data`, or the whole command object.
    pub data: String,
}

/// A record that is not a message, and why. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Message {
    /// Decodes the payload.
    ///
    /// # Errors
    /// [`Unreadable`] naming the message type and the field.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Unreadable> {
        serde_json::from_str(&self.data).map_err(|error| Unreadable(format!("{}: {error}", self.kind)))
    }

    /// Returns which command it goes back to.
    pub fn origin(&self) -> Origin {
        Origin { correlation: self.correlation.clone(), trace: self.trace.trace }
    }
}

/// How the records of a source are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents with `type`, `id`, `subject` and `data`.
    Event,
    /// `{"type": "...", ...}` with the aggregate id in the named field; if that is absent, the record key is the id, if there is one.
    Command {
        /// Name of the field that holds the aggregate id, for example `orderId`.
        subject_field: &'static str,
    },
}

/// What is read from a record's top level. Unknown members are skipped without being built.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    correlationid: Option<String>,
    provenance: Option<String>,
    traceparent: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads a record.
///
/// # Errors
/// [`Unreadable`] if the value is not UTF-8, not a JSON object, has no `type`, or a member that the envelope needs has the wrong shape.
pub fn read(format: Format, position: Position, key: Option<&[u8]>, value: &[u8], timestamp_ms: i64) -> Result<Message, Unreadable> {
    let text = std::str::from_utf8(value).map_err(|error| Unreadable(format!("value is not UTF-8: {error}")))?;
    match format {
        Format::Event => read_event(position, text, timestamp_ms),
        Format::Command { subject_field } => read_command(subject_field, position, key, text, timestamp_ms),
    }
}

fn read_event(position: Position, text: &str, timestamp_ms: i64) -> Result<Message, Unreadable> {
    let header: Header<'_> = serde_json::from_str(text).map_err(|error| Unreadable(format!("value is not a CloudEvents object: {error}")))?;
    let kind = header.kind.filter(|kind| !kind.is_empty()).ok_or_else(|| Unreadable("field `type` is missing".to_owned()))?;
    let data = header.data.ok_or_else(|| Unreadable(format!("{kind}: field `data` is missing")))?;
    let id_is_explicit = header.id.is_some();
    let id = bounded("id", header.id.unwrap_or_else(|| position.to_string()))?;
    let correlation = bounded("correlationid", header.correlationid.unwrap_or_else(|| id.clone()))?;
    Ok(Message {
        subject: header.subject.map(|subject| bounded("subject", subject)).transpose()?,
        trace: trace(header.traceparent.as_deref(), &correlation),
        correlation,
        provenance: header.provenance.as_deref().and_then(Provenance::parse),
        time_ms: header.time.as_deref().and_then(parse_rfc3339).unwrap_or(timestamp_ms),
        data: data.get().to_owned(),
        position,
        kind,
        id,
        id_is_explicit,
    })
}

fn read_command(subject_field: &str, position: Position, key: Option<&[u8]>, text: &str, timestamp_ms: i64) -> Result<Message, Unreadable> {
    let members: std::collections::BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| Unreadable(format!("value is not a JSON object: {error}")))?;
    // A command that reached the wrong partition comes wrapped by the task that forwarded it.
    if members.contains_key("specversion") && members.contains_key("data") {
        return read_event(position, text, timestamp_ms);
    }
    let kind = text_member(&members, "type")?.filter(|kind| !kind.is_empty()).ok_or_else(|| Unreadable("field `type` is missing".to_owned()))?;
    let explicit = text_member(&members, "commandId")?;
    let id_is_explicit = explicit.is_some();
    let id = bounded("commandId", explicit.unwrap_or_else(|| position.to_string()))?;
    let subject = match text_member(&members, subject_field)? {
        Some(subject) => Some(bounded(subject_field, subject)?),
        None => key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| is_identifier(key)).map(str::to_owned),
    };
    // What cannot be read of it is as if it were not there: nobody's order fails because of how it is traced.
    let given = text_member(&members, TRACEPARENT).unwrap_or_default();
    Ok(Message {
        trace: trace(given.as_deref(), &id),
        correlation: id.clone(),
        provenance: None,
        time_ms: timestamp_ms,
        data: text.to_owned(),
        position,
        kind,
        subject,
        id,
        id_is_explicit,
    })
}

fn trace(traceparent: Option<&str>, correlation: &str) -> TraceContext {
    traceparent.and_then(TraceContext::parse).unwrap_or_else(|| TraceContext::of(correlation))
}

fn text_member(members: &std::collections::BTreeMap<String, &RawValue>, name: &str) -> Result<Option<String>, Unreadable> {
    match members.get(name).map(|raw| raw.get()) {
        None | Some("null") => Ok(None),
        Some(raw) => serde_json::from_str(raw).map(Some).map_err(|_| Unreadable(format!("field `{name}` is not a string"))),
    }
}

/// Returns true for text that may be an aggregate or command id: not empty, bounded, without control characters.
pub fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= crate::limits::ID_BYTES_MAX && !text.chars().any(char::is_control)
}

fn bounded(field: &str, text: String) -> Result<String, Unreadable> {
    if is_identifier(&text) {
        return Ok(text);
    }
    let max = crate::limits::ID_BYTES_MAX;
    Err(Unreadable(format!("field `{field}` is not an id: it must have 1 to {max} bytes and no control characters")))
}

/// An event to be written; the runtime adds identity, time, cause and provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Event type.
    pub kind: String,
    /// Aggregate id: also the record's key.
    pub subject: String,
    /// Id of the record that caused it.
    pub causation: String,
    /// Id of the command at the root of the chain.
    pub correlation: String,
    /// JSON text of the payload.
    pub data: String,
    /// Its trace, if that does not follow from the correlation id. A transaction carries it beside the event.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

/// The members of the wire form, in the order in which they are written: `type` early, so that routing in the broker finds it soon.
#[derive(Serialize)]
struct Wire<'a> {
    specversion: &'static str,
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    source: &'a str,
    subject: &'a str,
    time: &'a str,
    datacontenttype: &'static str,
    causationid: &'a str,
    correlationid: &'a str,
    provenance: &'a str,
    traceparent: &'a str,
    data: &'a RawValue,
}

/// Returns the id of the event that is effect `index` of transaction `sequence`. The epoch is not in it, so a repeat after a takeover has the same id.
pub(crate) fn event_id(journal: &str, partition: u32, sequence: u64, index: u32) -> String {
    format!("{}/{partition}/{sequence}/{index}", journal.trim_end_matches("-journal"))
}

/// Renders the wire form of an event.
///
/// `source` is the CloudEvents source, for example `/food-delivery-orders/2`. The id is that of [`crate::processor::Context::next_event_id`].
///
/// # Errors
/// [`Unreadable`] if `event.data` is not JSON.
pub fn render(event: &Event, provenance: &Provenance, source: &str, time_ms: i64) -> Result<Vec<u8>, Unreadable> {
    let data: &RawValue = serde_json::from_str(&event.data).map_err(|error| Unreadable(format!("{}: payload is not JSON: {error}", event.kind)))?;
    let id = event_id(&provenance.journal, provenance.partition, provenance.sequence, provenance.index);
    let trace = event.trace.unwrap_or_else(|| Trace::of(&event.correlation));
    let span = span_of_input(trace, &provenance.journal, provenance.partition, &event.causation);
    let wire = Wire {
        specversion: "1.0",
        kind: &event.kind,
        id: &id,
        source,
        subject: &event.subject,
        time: &format_rfc3339(time_ms),
        datacontenttype: "application/json",
        causationid: &event.causation,
        correlationid: &event.correlation,
        provenance: &provenance.render(),
        traceparent: &trace.at(span).to_string(),
        data,
    };
    serde_json::to_vec(&wire).map_err(|error| Unreadable(format!("{}: {error}", event.kind)))
}
