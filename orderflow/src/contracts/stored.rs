//! Golden records of state: of every store, timer and call of every processor, what some program once wrote, in every version that there has been. They are no contract with anybody outside,
//! but one with what is on disks and in journals.
//!
//! `golden/state/<processor>.jsonl` has one record a line: `{"store": ..., "version": ..., "key": ..., "value": ...}`, `{"timer": ..., "value": ...}` or `{"call": ..., "value": ...}`. A line is
//! never changed. What is missing is said by a test, with a line that it has seen written.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use fluvio_streams::journal::{Fence, JournalRecord, Transaction};
use fluvio_streams::processor::{Call, CallResult, Timer};
use fluvio_streams::state::keys;
use fluvio_streams::state::store::MemoryStore;
use fluvio_streams::task::{Task, Work};
use fluvio_streams::testing::{Answer, START_MS, TestDriver};
use fluvio_streams::topology::ProcessorSpec;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::config::{Config, WebhookConfig};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the binary is in the workspace")
}

/// Returns the systems, with a webhook: otherwise nothing is ever delivered.
fn systems() -> Vec<System> {
    let url = "http://127.0.0.1:9/".parse().expect("it is an address");
    let webhook = WebhookConfig { url, ca_pem: None, tries_max: None, timeout: Duration::from_secs(1) };
    crate::systems::configured(&Config { webhook: Some(webhook), ..Config::ephemeral() }).expect("the settings work")
}

/// A line of a golden file.
enum Line {
    Entry { store: String, version: u32, key: String, value: Box<RawValue> },
    Timer { timer: String, value: Timer },
    Call { call: String, value: Call },
}

impl Line {
    fn read(line: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Members {
            store: Option<String>,
            timer: Option<String>,
            call: Option<String>,
            #[serde(default)]
            version: u32,
            #[serde(default)]
            key: String,
            value: Box<RawValue>,
        }
        let Members { store, timer, call, version, key, value } = serde_json::from_str(line)?;
        match (store, timer, call) {
            (Some(store), None, None) if version > 0 => Ok(Self::Entry { store, version, key, value }),
            (None, Some(timer), None) => Ok(Self::Timer { timer, value: serde_json::from_str(value.get())? }),
            (None, None, Some(call)) => Ok(Self::Call { call, value: serde_json::from_str(value.get())? }),
            _ => Err(serde::de::Error::custom("it is of no store, timer or call")),
        }
    }
}

/// Returns the bytes of a value as a store of this version has them.
fn stored(version: u32, value: &str) -> Vec<u8> {
    if version == 1 { value.as_bytes().to_vec() } else { format!("v{version}:{value}").into_bytes() }
}

/// Returns the file about a processor: with the follower that brings it, if one does.
fn file(system: &System, processor: &ProcessorSpec) -> PathBuf {
    let contract = system.contract();
    let follower = contract.iter().find(|record| record.follower.is_some() && processor.sinks.contains(&record.topic)).and_then(|record| record.follower);
    let parent = follower.map(|follower| PathBuf::from("processors").join(follower)).unwrap_or_default();
    parent.join("topics").join(system.name).join("golden/state").join(format!("{}.jsonl", processor.name))
}

fn golden(system: &System, processor: &ProcessorSpec) -> Vec<Line> {
    let path = root().join(file(system, processor));
    let text = fs::read_to_string(&path).unwrap_or_default();
    text.lines().map(|line| Line::read(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))).collect()
}

/// `U4`: what was written in any version is read, and what is written now is what was written when it was recorded.
#[test]
fn golden_values_of_every_version_are_read() {
    for system in systems() {
        for processor in &system.topology.processors {
            for line in golden(&system, processor) {
                let Line::Entry { store: name, version, key, value } = line else { continue };
                // A store that is gone may have been left behind by nobody: the runtime refuses to start then.
                let Some(store) = processor.stores.iter().find(|store| store.name() == name) else { continue };
                let place = format!("{} {name} {key}, version {version}", processor.journal);
                let written = store.rewrite(&stored(version, value.get())).unwrap_or_else(|error| panic!("{place}: {error}"));
                if version == store.version() {
                    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&stored(version, value.get())), "{place}: begin a new version");
                }
            }
        }
    }
}

/// Goal: there is a golden record of whatever a processor may find when it is started. Here is played what fills all stores, so whatever is missing is there to be added.
#[test]
fn everything_that_is_stored_has_a_golden_record_of_every_version() {
    let mut missing = Vec::new();
    for system in systems() {
        let played = play(&system);
        for processor in &system.topology.processors {
            let lines = golden(&system, processor);
            let written = &played[&processor.journal];
            let mut lack = |what: String, examples: Vec<&String>| {
                let examples = examples.into_iter().take(6).map(|example| format!("\n  {example}")).collect::<String>();
                missing.push(format!("{}: {what}{examples}", file(&system, processor).display()));
            };
            for store in &processor.stores {
                let of_store = |line: &&String| line.starts_with(&format!("{{\"store\":\"{}\"", store.name()));
                for wanted in 1..=store.version() {
                    if !lines.iter().any(|line| matches!(line, Line::Entry { store: name, version, .. } if (name.as_str(), *version) == (store.name(), wanted)))
                    {
                        lack(format!("store `{}`, version {wanted}", store.name()), written.iter().filter(of_store).collect());
                    }
                }
            }
            for name in processor.logic.timers().unwrap_or_default() {
                // All timers are alike, so one that nobody sets here is not missed.
                let set: Vec<&String> = written.iter().filter(|line| line.starts_with(&format!("{{\"timer\":\"{name}\""))).collect();
                if !set.is_empty() && !lines.iter().any(|line| matches!(line, Line::Timer { timer, .. } if *timer == name)) {
                    lack(format!("timer `{name}`"), set);
                }
            }
            for name in &processor.calls {
                if !lines.iter().any(|line| matches!(line, Line::Call { call, .. } if call == name)) {
                    lack(format!("call `{name}`"), written.iter().filter(|line| line.starts_with(&format!("{{\"call\":\"{name}\""))).collect());
                }
            }
        }
    }
    assert!(missing.is_empty(), "add golden records:\n{}", missing.join("\n"));
}

/// `U4`: a task that finds all of this takes it over, and whatever fires or is answered is understood.
#[test]
fn a_task_goes_on_with_what_was_stored() {
    for system in systems() {
        for processor in &system.topology.processors {
            let lines = golden(&system, processor);
            let entry = |line: &Line| match line {
                Line::Entry { store, version, key, value } => vec![(keys::user(store, key), stored(*version, value.get()))],
                Line::Timer { value: timer, .. } => vec![
                    (keys::timer(timer.due_ms, &timer.name, &timer.key), serde_json::to_vec(timer).expect("a timer is JSON")),
                    (keys::timer_index(&timer.name, &timer.key), timer.due_ms.to_be_bytes().to_vec()),
                ],
                Line::Call { value: call, .. } => vec![(keys::call(&call.id), serde_json::to_vec(call).expect("a call is JSON"))],
            };
            let changes: BTreeMap<Vec<u8>, Vec<u8>> = lines.iter().flat_map(entry).collect();
            let mut task =
                Task::open(&system.topology.application, processor.clone(), 0, 1, "a#1".to_owned(), Box::new(MemoryStore::default())).expect("it opens");
            let fence = JournalRecord::Fence(Fence { owner: "a#1".to_owned(), epoch: 1, restore_point: None });
            let transaction = JournalRecord::Transaction(Transaction {
                owner: "a#1".to_owned(),
                epoch: 1,
                sequence: 1,
                time_ms: START_MS,
                sent: 1,
                causes: Vec::new(),
                changes: changes.into_iter().map(|(key, value)| (key, Some(value))).collect(),
                effects: Vec::new(),
                restore_point: None,
                kept: None,
            });
            for (offset, record) in (0..).zip([fence, transaction]) {
                task.replay(offset, &record.encode().into()).expect("it replays");
            }
            let calls = task.own().unwrap_or_else(|stop| panic!("{}: {stop}", processor.journal)).calls;
            let answers = calls.into_iter().map(|call| Work::CallResult(CallResult { response: answer(&call, Mode::Accepts), call }));
            let mut work = task.due_timers(i64::MAX).into_iter().chain(answers).collect();
            let (record, report) = task.step(&mut work, START_MS).unwrap_or_else(|stop| panic!("{}: {stop}", processor.journal));
            let effects = record.map(|record| JournalRecord::decode(&record).expect("it decodes")).map_or_else(Vec::new, |record| match record {
                JournalRecord::Transaction(transaction) => transaction.effects,
                JournalRecord::Fence(_) => Vec::new(),
            });
            let letters: Vec<&str> = effects.iter().filter(|effect| effect.topic == processor.dead_letters).map(|effect| effect.event.data.as_str()).collect();
            assert_eq!(letters, [""; 0], "{}: {report:?}", processor.journal);
        }
    }
}

/// What outside systems say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Accepts,
    Declines,
    /// Fails, and does not undo.
    Fails,
    Silent,
}

/// Returns what the outside system of a call answers: the webhook, or whoever is asked to accept and to undo.
fn answer(call: &Call, mode: Mode) -> String {
    let request: Value = serde_json::from_str(&call.request).expect("a request is JSON");
    let is_webhook = request.get("notificationId").is_some();
    let answer = match (mode, is_webhook) {
        (Mode::Accepts, true) => json!({"outcome": "delivered"}),
        (_, true) => json!({"outcome": "retry", "reason": "busy"}),
        (Mode::Accepts, false) if request["operation"] == "undo" => json!({"outcome": "undone"}),
        (Mode::Accepts, false) => json!({"outcome": "accepted"}),
        (Mode::Declines, false) => json!({"outcome": "declined"}),
        (_, false) => json!({"outcome": "failed"}),
    };
    answer.to_string()
}

/// Plays what fills all stores of a system, and returns what was written, as golden lines by journal: one of each shape. All that was written reads as the type that its store names.
fn play(system: &System) -> BTreeMap<String, Vec<String>> {
    let mode = Rc::new(Cell::new(Mode::Accepts));
    let said = mode.clone();
    let answered = move |call: &Call| (said.get() != Mode::Silent).then(|| Answer { after_ms: 20, response: answer(call, said.get()) });
    let mut driver = TestDriver::new(system.topology.clone(), 1).with_calls(answered);
    let templates: Vec<(Value, Option<&str>, bool)> = system
        .contract()
        .iter()
        .filter(|record| record.topic == system.commands_topic)
        .filter_map(|record| {
            let path = directory(Path::new(""), system.name, "golden", &system.commands_topic).join(format!("{}.json", record.kind));
            let command = system.commands.iter().find(|command| command.kind == record.kind);
            let value = read(&root().join(path)).expect("it is JSON")?["value"].take();
            Some((value, command.map(|command| command.subject_field), command.is_some_and(|command| command.verb.is_none())))
        })
        .collect();
    let send = |driver: &mut TestDriver, wanted: &dyn Fn(&Value, bool) -> bool, id: &str| {
        for (template, field, _) in templates.iter().filter(|(template, _, creates)| wanted(template, *creates)) {
            let mut command = template.clone();
            if let Some(field) = field.filter(|field| command.get(field).is_some()) {
                command[field] = json!(id);
            }
            // Nobody gets another's seats.
            if let Some(seats) = command.get_mut("seats") {
                *seats = json!([format!("{}A", id.len()), format!("{}B", id.len())]);
            }
            command["commandId"] = json!(format!("{id}/{}", command["type"].as_str().unwrap_or_default()));
            driver.pipe(&system.commands_topic, id, &command.to_string());
        }
    };
    let creates = |_: &Value, creates: bool| creates;
    let changes = |command: &Value, creates: bool| !creates && !command["type"].as_str().is_some_and(|kind| kind.ends_with("Breaker"));
    let of_kind = |kind: &'static str| move |command: &Value, _: bool| command["type"] == kind;
    // Commands that are there before what they are about.
    send(&mut driver, &changes, "early");
    driver.advance(100);
    for (id, says) in [("accepted", Mode::Accepts), ("declined", Mode::Declines), ("failed", Mode::Fails), ("unheard", Mode::Silent)] {
        mode.set(says);
        send(&mut driver, &creates, id);
        driver.advance(900);
    }
    send(&mut driver, &of_kind("ForceBreaker"), "operator");
    send(&mut driver, &creates, "deferred");
    driver.advance(900);
    send(&mut driver, &of_kind("ResetBreaker"), "operator");
    driver.advance(40_000);
    mode.set(Mode::Fails);
    send(&mut driver, &changes, "accepted");
    driver.advance(10_000);
    mode.set(Mode::Accepts);
    send(&mut driver, &creates, "again");
    driver.advance(1_000);
    send(&mut driver, &changes, "again");
    driver.advance(100_000);
    // Whatever was ever said in a topic that somebody reads, also about what nobody knows.
    for record in system.contract() {
        let parent = record.follower.map(|follower| PathBuf::from("processors").join(follower)).unwrap_or_default();
        let path = root().join(directory(&parent, system.name, "golden", &record.topic).join(format!("{}.json", record.kind)));
        let is_read = system.topology.processors.iter().any(|processor| processor.sources.iter().any(|source| source.topic == record.topic));
        if let Some(mut record_of) = read(&path).expect("it is JSON").filter(|_| is_read) {
            if let Some(event) = record_of["value"].as_object_mut() {
                // Of a sender that nobody has heard of.
                event.remove("provenance");
            }
            driver.pipe(&record.topic, record_of["key"].as_str().unwrap_or("k"), &record_of["value"].to_string());
        }
    }
    driver.advance(100_000);
    driver.advance(8 * 24 * 3_600_000);
    system.topology.processors.iter().map(|processor| (processor.journal.clone(), written(&driver, processor))).collect()
}

fn written(driver: &TestDriver, processor: &ProcessorSpec) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for record in driver.log().fetch(&processor.journal, 0, 0, None, usize::MAX).expect("it can be read").records {
        let Ok(JournalRecord::Transaction(transaction)) = JournalRecord::decode(&record.value) else { continue };
        for (key, value) in transaction.changes.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let (line, shape) = match key.first() {
                Some(b'u') => {
                    let name = String::from_utf8_lossy(&key[1..]).split('\0').next().unwrap_or_default().to_owned();
                    let store = processor.stores.iter().find(|store| store.name() == name).expect("the topology names it");
                    let again = store.rewrite(&value).unwrap_or_else(|error| panic!("{}: {error}", processor.journal));
                    assert_eq!(
                        String::from_utf8_lossy(&again),
                        String::from_utf8_lossy(&value),
                        "{} {name}: the type that it names is the one that is written",
                        processor.journal
                    );
                    let text = String::from_utf8_lossy(&value).into_owned();
                    let json = if store.version() == 1 { text.as_str() } else { text.split_once(':').map_or("", |(_, json)| json) };
                    let (name, key) = (json!(name), json!(keys::user_key(store.name(), &key)));
                    (format!("{{\"store\":{name},\"version\":{},\"key\":{key},\"value\":{json}}}", store.version()), shape(json))
                }
                Some(b't') => {
                    let timer: Timer = serde_json::from_slice(&value).expect("it is a timer");
                    (format!("{{\"timer\":{},\"value\":{}}}", json!(timer.name), String::from_utf8_lossy(&value)), String::new())
                }
                Some(b'c') => {
                    let call: Call = serde_json::from_slice(&value).expect("it is a call");
                    (format!("{{\"call\":{},\"value\":{}}}", json!(call.target), String::from_utf8_lossy(&value)), shape(&call.request))
                }
                _ => continue,
            };
            let head = line.split(",\"v").next().unwrap_or_default().to_owned();
            if seen.insert((head, shape)) {
                lines.push(line);
            }
        }
    }
    lines
}

/// Returns which members a value has, and which names stand in it: numbers and other texts are all alike.
fn shape(json: &str) -> String {
    fn walk(value: &Value, out: &mut String) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                out.push_str(name);
                walk(value, out);
            }),
            Value::Array(items) => items.iter().take(1).for_each(|item| walk(item, out)),
            Value::String(text) if text.chars().all(char::is_alphabetic) && text.len() < 24 => out.push_str(text),
            Value::Number(_) => out.push('0'),
            other => out.push_str(if other.is_string() { "s" } else { "n" }),
        }
    }
    let mut out = String::new();
    walk(&serde_json::from_str(json).unwrap_or_default(), &mut out);
    out
}
