//! What belongs to the story of an aggregate: every record that names it, the commands that stand where its records say, and what the breaker of its partition did during its life.

use std::collections::{BTreeMap, BTreeSet};

use business::front::commands::BREAKER_FORCED;
use fluvio_streams::envelope::TRACEPARENT;
use fluvio_streams::log::Log;
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::system::{Outcome, System};
use fluvio_streams::time::parse_rfc3339;
use fluvio_streams::topology::Routing;
use fluvio_streams::trace::{Trace, TraceContext};
use serde_json::{Map, Value};

use super::super::scan::{Event, scan};
use super::pending::{Pending, Whose, pending};
use crate::limits::{WHY_BYTES_MAX, WHY_PASSES_MAX, WHY_TRANSITIONS_MAX};

const TRANSITIONED: &str = "BreakerTransitioned";

/// Something that happened.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) at_ms: i64,
    pub(super) position: Position,
    pub(super) kind: String,
    /// By which others name it as their cause.
    pub(super) id: String,
    pub(super) causation: String,
    pub(super) correlation: String,
    pub(super) trace: Trace,
    pub(super) data: Value,
}

/// What was found of an aggregate, topic by topic.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) system: &'static str,
    pub(super) id: String,
    pub(super) id_field: &'static str,
    /// The partition that owns it.
    pub(super) partition: u32,
    pub(super) happened: Vec<Happened>,
    /// What it still waits for.
    pub(super) pending: Vec<Pending>,
    /// True if there was more than could be told.
    pub(super) is_cut: bool,
}

/// Reads everything about an aggregate; `None` if there is nothing.
///
/// Topics are read one after the other while things go on, so what is read later may know of more. They are therefore read on until nothing new is found: what was found then is what stood in
/// all of them at one time.
///
/// # Errors
/// If the topics cannot be read.
pub(super) async fn collect(log: &dyn Log, system: &System, partitions: u32, id: &str) -> anyhow::Result<Option<Found>> {
    let owner = partition_for(id.as_bytes(), partitions);
    let front = front(system);
    let mut collector = Collector { id, quoted: quoted(id), ..Collector::default() };
    // The events of the front say where the command stands that opened it: they come before the commands.
    let events = format!("{}-{}-events", system.name, front.map_or("", |front| front.name.as_str()));
    let is_keyed = |topic: &String| front.is_some_and(|front| front.sources.iter().any(|source| source.topic == *topic));
    let mut topics = system.topology.topics();
    topics.extend(system.outcome_topics.iter().cloned());
    topics.retain(|topic| *topic != events && !system.topology.processors.iter().any(|processor| processor.journal == *topic));
    for _ in 0..WHY_PASSES_MAX {
        let known = collector.happened.len();
        for topic in std::iter::once(&events).chain(&topics) {
            collector.read(log, topic, owner).await?;
            // Where records are keyed by its id, there is nothing in other partitions.
            if collector.keyed.contains(topic) || is_keyed(topic) || *topic == events {
                continue;
            }
            for partition in (0..partitions).filter(|partition| *partition != owner) {
                collector.read(log, topic, partition).await?;
            }
        }
        if collector.happened.len() == known {
            break;
        }
    }
    let Collector { happened, is_cut, .. } = collector;
    let happened: Vec<Happened> = happened.into_values().collect();
    if happened.is_empty() {
        return Ok(None);
    }
    let id_field = system.commands.first().map_or("id", |command| command.subject_field);
    let correlations: BTreeSet<&str> = happened.iter().map(|happened| happened.correlation.as_str()).collect();
    let pending = pending(log, system, owner, &Whose { id, correlations: &correlations }).await?;
    let mut found = Found { system: system.name, id: id.to_owned(), id_field, partition: owner, happened, pending, is_cut };
    let transitions = transitions(log, system, &found, &events).await?;
    found.happened.extend(transitions);
    Ok(Some(found))
}

/// Returns the processor that owns the commands of a system.
fn front(system: &System) -> Option<&fluvio_streams::topology::ProcessorSpec> {
    let owns = |source: &fluvio_streams::topology::Source| source.topic == system.commands_topic && matches!(source.routing, Routing::Except(_));
    system.topology.processors.iter().find(|processor| processor.sources.iter().any(owns))
}

/// Returns the id as every writer of JSON writes it; `None` if they may differ.
fn quoted(id: &str) -> Option<String> {
    let is_plain = id.chars().all(|character| character.is_ascii_alphanumeric() || "-_.:@".contains(character));
    is_plain.then(|| id.to_owned())
}

#[derive(Default)]
struct Collector<'a> {
    id: &'a str,
    quoted: Option<String>,
    /// Where its opening commands stand: (partition, offset).
    places: BTreeSet<(u32, i64)>,
    /// Topics in which its id is a record's key.
    keyed: BTreeSet<String>,
    /// Up to where was read, by topic and partition.
    next: BTreeMap<(String, u32), i64>,
    happened: BTreeMap<Position, Happened>,
    bytes: usize,
    is_cut: bool,
}

impl Collector<'_> {
    /// Takes what a partition holds of it, from where it was read last.
    async fn read(&mut self, log: &dyn Log, topic: &str, partition: u32) -> anyhow::Result<()> {
        let is_of_commands = topic.ends_with("-commands");
        let place = (topic.to_owned(), partition);
        let from = self.next.get(&place).copied().unwrap_or_default();
        let places = self.places.len();
        let scanned = scan(log, topic, partition, from, None, |record| {
            let is_key = record.key.as_deref() == Some(self.id.as_bytes());
            if is_key {
                self.keyed.insert(topic.to_owned());
            }
            let is_its_place = is_of_commands && self.places.contains(&(partition, record.offset));
            if is_key || is_its_place || self.may_name_it(record) {
                self.take(topic, partition, record, is_key || is_its_place);
            }
            Ok(())
        })
        .await?;
        self.next.insert(place, scanned.next);
        if self.places.len() > places {
            // An opening command that was passed over, because its id is not in it, is known now.
            self.next.retain(|(topic, _), _| !topic.ends_with("-commands"));
        }
        Ok(())
    }

    /// Most records are passed over without being read.
    fn may_name_it(&self, record: &LogRecord) -> bool {
        let Some(quoted) = &self.quoted else { return true };
        std::str::from_utf8(&record.value).is_ok_and(|text| text.contains(quoted.as_str()))
    }

    fn take(&mut self, topic: &str, partition: u32, record: &LogRecord, is_certain: bool) {
        let position = Position { topic: topic.to_owned(), partition, offset: record.offset };
        if self.happened.contains_key(&position) {
            return;
        }
        let happened = happened(position.clone(), record);
        if !is_certain && !names(&happened.data, self.id) {
            return;
        }
        if self.bytes + record.value.len() > WHY_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        self.bytes += record.value.len();
        let place = happened.data["incarnation"].as_str().and_then(|place| place.split_once('-'));
        self.places.extend(place.and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?))));
        self.happened.insert(position, happened);
    }
}

/// Reads a record: an event in its envelope, a plain object, or what nobody can read.
fn happened(position: Position, record: &LogRecord) -> Happened {
    if let Ok(Event { kind, id, time, causation, correlation, traceparent, data }) = serde_json::from_slice(&record.value) {
        let trace = trace(traceparent.as_deref(), &correlation);
        return Happened { at_ms: parse_rfc3339(&time).unwrap_or(record.timestamp_ms), position, kind, id, causation, correlation, trace, data };
    }
    let data = serde_json::from_slice(&record.value).ok().filter(Value::is_object);
    let data = data.unwrap_or_else(|| Map::from_iter([("unreadable".to_owned(), String::from_utf8_lossy(&record.value).into())]).into());
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let id = Some(text("commandId")).filter(|id| !id.is_empty()).unwrap_or_else(|| position.to_string());
    Happened {
        at_ms: record.timestamp_ms,
        position,
        kind: text("type"),
        correlation: id.clone(),
        trace: trace(data[TRACEPARENT].as_str(), &id),
        id,
        causation: String::new(),
        data,
    }
}

/// Returns the trace of a record, as the runtime does.
fn trace(traceparent: Option<&str>, correlation: &str) -> Trace {
    traceparent.and_then(TraceContext::parse).map_or_else(|| Trace::of(correlation), |context| context.trace)
}

/// Returns true if the id stands in a payload, also in one that is quoted in it.
fn names(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) if text == id => true,
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|quoted| quoted.values().any(|value| !is_object_text(value) && names(value, id)))
        }
        Value::Array(values) => values.iter().any(|value| names(value, id)),
        Value::Object(members) => members.values().any(|value| names(value, id)),
        _ => false,
    }
}

/// A quotation within a quotation is not followed.
fn is_object_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with('{'))
}

/// Returns what the breaker of the owner did while the aggregate lived, and how it stood when it began.
async fn transitions(log: &dyn Log, system: &System, found: &Found, events: &str) -> anyhow::Result<Vec<Happened>> {
    let Some(record) = system.records.iter().find(|record| record.kind == BREAKER_FORCED) else { return Ok(Vec::new()) };
    let times = || found.happened.iter().map(|happened| happened.at_ms);
    let from_ms = times().min().unwrap_or_default();
    // What still waits lives until now.
    let opening = system.commands.first().map_or("", |command| command.kind);
    let last = found.happened.iter().filter(|happened| happened.position.topic == *events).max_by_key(|happened| happened.position.offset);
    let waits = last.is_some_and(|last| matches!((system.outcome)(opening, &last.kind, &last.data), Some((Outcome::Deferred, _))));
    let to_ms = if waits { i64::MAX } else { times().max().unwrap_or_default() };
    let mut before = None;
    let mut during = Vec::new();
    let routing = Routing::Types(vec![TRANSITIONED.to_owned(), BREAKER_FORCED.to_owned()]);
    scan(log, &record.topic, found.partition, 0, Some(&routing), |record_read| {
        let position = Position { topic: record.topic.clone(), partition: found.partition, offset: record_read.offset };
        if !serde_json::from_slice::<Event>(&record_read.value).is_ok_and(|event| [TRANSITIONED, BREAKER_FORCED].contains(&event.kind.as_str())) {
            return Ok(());
        }
        let happened = happened(position, record_read);
        if happened.at_ms < from_ms {
            before = Some(happened).filter(|happened| happened.data["to"] != "closed");
        } else if happened.at_ms <= to_ms && during.len() < WHY_TRANSITIONS_MAX {
            during.push(happened);
        }
        Ok(())
    })
    .await?;
    Ok(before.into_iter().chain(during).collect())
}
