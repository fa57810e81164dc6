//! A tiny business of counters, and a decider that plays its processors on an in-memory log.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluvio_streams::envelope::{Format, Message, Unreadable};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, Reader};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::Position;
use fluvio_streams::system::{CommandSpec, FieldError, Outcome, System, ViewSpec};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology, names};
use orderflow_views::view::View;
use serde_json::{Value, json};

use super::event;

pub(crate) const COMMANDS: &str = "counters-commands";
pub(crate) const EVENTS: &str = "counters-counting-events";
pub(crate) const REJECTIONS: &str = "counters-rejections";
pub(crate) const DEAD_LETTERS: &str = "counters-dead-letters";
pub(crate) const PARTITIONS: u32 = 3;

/// Folds `CounterCreated {owner, value}` and `CounterChanged {by}`.
pub(crate) struct Counters;

impl Projection for Counters {
    fn collection(&self) -> &'static str {
        "counters"
    }

    fn topic(&self) -> String {
        EVENTS.to_owned()
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&["CounterCreated", "CounterDeferred", "CounterDeclined", "CounterChanged", "Panic"]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["owner", "value"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        assert!(event.kind != "Panic", "asked to");
        Ok(event.subject.clone())
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let data: Value = event.decode()?;
        let Some(mut document) = current else {
            let mut document = data;
            document["counterId"] = event.subject.clone().into();
            document["status"] = event.kind.clone().into();
            return Ok(document);
        };
        let by = data["by"].as_i64().ok_or_else(|| Unreadable("field `by` is missing".to_owned()))?;
        document["value"] = (document["value"].as_i64().unwrap_or(0) + by).into();
        let history = document["history"].as_str().unwrap_or("").to_owned();
        document["history"] = format!("{history}{by},").into();
        Ok(document)
    }
}

struct Nothing;

impl Processor for Nothing {
    fn process(&self, _input: Input<'_>, _context: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

pub(crate) fn view() -> View {
    View::of("counters", &Counters)
}

fn check_create(command: &Value) -> Result<(), FieldError> {
    match &command["value"] {
        Value::Null => Ok(()),
        value if value.is_i64() => Ok(()),
        _ => Err(FieldError { field: "value".into(), detail: "it must be an integer".into() }),
    }
}

fn check_change(command: &Value) -> Result<(), FieldError> {
    assert!(command["by"] != "panic", "asked to");
    match command["by"].is_i64() {
        true => Ok(()),
        false => Err(FieldError { field: "by".into(), detail: "it must be an integer".into() }),
    }
}

fn outcome(_command: &str, event: &str, data: &Value) -> Option<(Outcome, Option<String>)> {
    let reason = data["reason"].as_str().map(str::to_owned);
    let outcome = match (event, reason.as_deref()) {
        ("CounterCreated" | "CounterChanged", _) => Outcome::Done,
        ("CounterDeferred", _) => Outcome::Deferred,
        ("CounterDeclined", _) => Outcome::Declined,
        ("CommandRejected", Some("CounterUnknown")) => Outcome::Unknown,
        ("CommandRejected", Some("CountersOverloaded")) => Outcome::Overloaded,
        ("CommandRejected", Some("DuplicateCommand")) => Outcome::Repeated,
        ("CommandRejected", _) => Outcome::Refused,
        ("DeadLetter", _) => return Some((Outcome::Refused, Some("Unreadable".to_owned()))),
        _ => return None,
    };
    Some((outcome, reason))
}

pub(crate) fn system() -> System {
    let processor = ProcessorSpec {
        name: "counting".into(),
        sources: vec![Source::commands(COMMANDS, "counterId", Routing::Except(vec![]))],
        sinks: vec![EVENTS.into()],
        journal: "counters-counting-journal".into(),
        stores: vec![],
        calls: vec![],
        rejections: REJECTIONS.into(),
        dead_letters: DEAD_LETTERS.into(),
        logic: Arc::new(Nothing),
    };
    let command =
        |kind, verb, check| CommandSpec { kind, collection: "counters", verb, subject_field: "counterId", id_prefix: "c", check, schema: |_| json!({}) };
    System {
        name: "counters",
        topology: Topology { application: "counters".into(), processors: vec![processor] },
        commands_topic: COMMANDS.into(),
        commands: vec![command("CreateCounter", None, check_create), command("ChangeCounter", Some("change"), check_change)],
        outcome_topics: vec![EVENTS.into(), REJECTIONS.into(), DEAD_LETTERS.into()],
        outcome,
        projections: vec![Arc::new(Counters)],
        views: vec![ViewSpec { collection: "counters", filters: &["owner"], by_id: true, owned_by: &[("owners", "owner")] }],
        follower_topics: Vec::new(),
        records: Vec::new(),
    }
}

pub(crate) fn topics(log: &MemoryLog) {
    for topic in [COMMANDS, EVENTS, REJECTIONS, DEAD_LETTERS] {
        log.create(topic, PARTITIONS);
    }
}

/// Plays the processors: reads commands, writes what is to be known of them. The owners `deferred`, `declined`, `overloaded`, `silent` and `unreadable` say what happens.
pub(crate) fn start_decider(log: MemoryLog) {
    for partition in 0..PARTITIONS {
        let log = log.clone();
        tokio::spawn(async move {
            let mut reader = log.read(COMMANDS, partition, 0, None).await.unwrap();
            let mut counters: BTreeMap<String, Vec<String>> = BTreeMap::new();
            loop {
                decide_all(&log, partition, &mut reader, &mut counters).await;
            }
        });
    }
}

async fn decide_all(log: &MemoryLog, partition: u32, reader: &mut Box<dyn Reader>, counters: &mut BTreeMap<String, Vec<String>>) {
    for record in reader.next().await.unwrap().records {
        let position = Position { topic: COMMANDS.into(), partition, offset: record.offset };
        let command =
            fluvio_streams::envelope::read(Format::Command { subject_field: "counterId" }, position, record.key.as_deref(), &record.value, 0).unwrap();
        let id = command.subject.clone().unwrap();
        assert_eq!(partition_for(id.as_bytes(), PARTITIONS), partition, "the record has the partition of its key");
        let data: Value = command.decode().unwrap();
        let (topic, kind, data) = decide(&command, &data, counters.get(&id));
        if topic.is_empty() {
            continue;
        }
        counters.entry(id.clone()).or_default().push(command.id.clone());
        let subject = if topic == DEAD_LETTERS { command.position.to_string() } else { id };
        log.append(topic, partition, 0, event(kind, &subject, &command.correlation, 1_000 + record.offset, data)).unwrap();
    }
}

fn decide(command: &Message, data: &Value, taken: Option<&Vec<String>>) -> (&'static str, &'static str, Value) {
    let rejected = |reason: &str| (REJECTIONS, "CommandRejected", json!({"reason": reason, "detail": format!("no: {reason}")}));
    match (command.kind.as_str(), data["owner"].as_str()) {
        (_, _) if taken.is_some_and(|taken| taken.contains(&command.id)) => rejected("DuplicateCommand"),
        (_, Some("silent")) => ("", "", Value::Null),
        (_, Some("overloaded")) => rejected("CountersOverloaded"),
        (_, Some("unreadable")) => (DEAD_LETTERS, "DeadLetter", json!({"error": "nobody could read it"})),
        ("CreateCounter", _) if taken.is_some() => rejected("CounterExists"),
        ("CreateCounter", Some("deferred")) => (EVENTS, "CounterDeferred", json!({"owner": "deferred", "value": 0})),
        ("CreateCounter", Some("declined")) => (EVENTS, "CounterDeclined", json!({"owner": "declined", "value": 0, "reason": "TooPoor"})),
        ("CreateCounter", owner) => (EVENTS, "CounterCreated", json!({"owner": owner, "value": data["value"].as_i64().unwrap_or(0)})),
        (_, _) if taken.is_none() => rejected("CounterUnknown"),
        (_, _) => (EVENTS, "CounterChanged", json!({"by": data["by"]})),
    }
}
