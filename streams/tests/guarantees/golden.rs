//! `U4`: golden records of everything that the runtime itself stores. Each line of `tests/golden/runtime.jsonl` was written by some program, of the past or of the present, and is never changed.
//!
//! A name without a version is what the present program writes: the same bytes. One with a version is of the past, and is only read. Who changes a layout finds here what that does to journals that
//! are there: see `docs/upgrading.md`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fluvio_streams::assignment::Announcement;
use fluvio_streams::breaker::State;
use fluvio_streams::envelope::{self, Event, Format, Message, Provenance};
use fluvio_streams::guard::{Guard, GuardConfig};
use fluvio_streams::journal::{Fence, JournalRecord, Kept, RestorePoint, Transaction};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::processor::{Call, Context, Effect, Failure, Input, Processor, Timer};
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::state::keys;
use fluvio_streams::state::store::MemoryStore;
use fluvio_streams::task::{Task, Work};
use fluvio_streams::testing::{START_MS, TestDriver};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, Topology};
use fluvio_streams::window::{WindowedAggregate, Windows};
use serde_json::{Value, json};

const GOLDEN: &str = include_str!("../golden/runtime.jsonl");

/// Returns the golden records: bytes by name. JSON stands as it is, anything else in hexadecimal digits.
fn golden() -> BTreeMap<String, Vec<u8>> {
    let bytes = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let name = line["name"].as_str().expect("it has a name").to_owned();
        let bytes = match (line["text"].as_str(), line["hex"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(hex)) => (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits")).collect(),
            _ => panic!("{name} is neither text nor hexadecimal digits"),
        };
        (name, bytes)
    };
    let lines: Vec<_> = GOLDEN.lines().map(bytes).collect();
    let golden: BTreeMap<_, _> = lines.iter().cloned().collect();
    assert_eq!(golden.len(), lines.len(), "each has a name of its own");
    golden
}

/// Returns the line for a record, as it would be added to the file.
fn line(name: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => json!({"name": name, "text": text}).to_string(),
        _ => json!({"name": name, "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}).to_string(),
    }
}

/// Checks that the present program writes these records as it did when they were recorded.
fn assert_written(records: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let golden = golden();
    let changed: Vec<String> = records.into_iter().filter(|(name, bytes)| golden.get(name) != Some(bytes)).map(|(name, bytes)| line(&name, &bytes)).collect();
    assert!(changed.is_empty(), "programs of before may not read these as they are written now:\n{}", changed.join("\n"));
}

fn fence() -> JournalRecord {
    JournalRecord::Fence(Fence { owner: "a#1".to_owned(), epoch: 3, restore_point: Some(RestorePoint { offset: 7, sequence: 5 }) })
}

fn transaction() -> Transaction {
    let event =
        Event { kind: "Sold".into(), subject: "s-1".into(), causation: "c-1".into(), correlation: "c-0".into(), data: r#"{"n":1}"#.into(), trace: None };
    Transaction {
        owner: "a#1".to_owned(),
        epoch: 3,
        sequence: 9,
        time_ms: START_MS,
        sent: 8,
        causes: vec!["commands/0/4".to_owned()],
        changes: vec![(keys::user("s", "k"), Some(br#"{"n":1}"#.to_vec())), (keys::total("t"), None)],
        effects: vec![Effect { topic: "events".to_owned(), partition: 1, event }],
        restore_point: Some(RestorePoint { offset: 7, sequence: 5 }),
        kept: Some(Kept { begins: true, ends: false, entries: vec![(b"k".to_vec(), vec![0, 255])] }),
    }
}

/// What the program of before wrote, which knew no snapshots.
fn of_old() -> Transaction {
    Transaction { restore_point: None, kept: None, ..transaction() }
}

fn with_versions() -> Transaction {
    Transaction { changes: vec![(keys::user("s", "k"), Some(br#"v2:{"n":1}"#.to_vec()))], ..transaction() }
}

#[test]
fn journal_records() {
    let plain = JournalRecord::Transaction(of_old());
    let records = [
        ("journal: fence", fence()),
        ("journal: transaction", JournalRecord::Transaction(transaction())),
        ("journal: transaction without a snapshot", plain.clone()),
        ("journal: transaction with versions of values", JournalRecord::Transaction(with_versions())),
    ];
    let past = [
        ("journal: fence, layout 1", JournalRecord::Fence(Fence { owner: "a#1".to_owned(), epoch: 3, restore_point: None })),
        ("journal: transaction, layout 1", plain),
    ];
    let golden = golden();
    for (name, record) in records.iter().chain(&past) {
        let bytes = golden.get(*name).map_or_else(|| record.encode(), Clone::clone);
        assert_eq!(JournalRecord::decode(&bytes), Ok(record.clone()), "{name}");
    }
    assert_written(records.map(|(name, record)| (name.to_owned(), record.encode())));
}

/// Keeps an entry of each family and of each kind that the runtime has for processors.
struct Everything(Guard, WindowedAggregate<u64>, WindowedAggregate<u64>);

impl Processor for Everything {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Input::Message(message) = input else { return Ok(()) };
        cx.put("values", "k", &json!({"n": 1}));
        cx.set_timer("remind", "k", START_MS + 60_000)?;
        cx.call("printer", "c-1/k", &json!({"n": 1}));
        cx.add_total("sold", 5)?;
        self.0.start(cx, "k", "0-0", json!({"amount": 5}))?;
        self.0.force(cx, State::Open)?;
        self.0.start(cx, "later", "0-1", json!({"amount": 6}))?;
        self.1.observe(cx, "k", message.time_ms, 1)?;
        self.2.observe(cx, "k", message.time_ms, 1)?;
        Ok(())
    }
}

fn everything() -> Everything {
    let guard = Guard::new(GuardConfig::new("payment", "requests", "Asked", "Voided")).expect("the settings work");
    let fixed = WindowedAggregate::new("minutes", Windows::tumbling(60_000).grace(5_000).idle(10_000), u64::saturating_add).expect("windows of a minute");
    let sessions = WindowedAggregate::new("visits", Windows::session(30_000), u64::saturating_add).expect("sessions");
    Everything(guard, fixed, sessions)
}

fn stores() -> Vec<StoreSpec> {
    let Everything(guard, minutes, visits) = everything();
    let own = StoreSpec::of::<Value>("values").keyed_by("key");
    [vec![own], guard.stores(), minutes.stores(), visits.stores()].concat()
}

/// Returns all changes of a journal, by their readable keys.
fn changes(log: &MemoryLog) -> BTreeMap<String, Vec<u8>> {
    let records = log.fetch("shop-journal", 0, 0, None, usize::MAX).expect("it can be read").records;
    let transactions = records.iter().filter_map(|record| match JournalRecord::decode(&record.value) {
        Ok(JournalRecord::Transaction(transaction)) => Some(transaction.changes),
        _ => None,
    });
    let name =
        |key: &[u8]| key.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte).to_string() } else { format!("<{byte:02x}>") }).collect::<String>();
    transactions.flatten().filter_map(|(key, value)| Some((format!("entry: {}", name(&key)), value?))).collect()
}

/// Every family of entries, and what guards and windows remember.
#[test]
fn entries_of_state() {
    let mut driver = TestDriver::new(Topology { application: "trade".into(), processors: vec![spec()] }, 1);
    let sent = json!({"specversion": "1.0", "type": "Sell", "id": "c-1", "subject": "k", "time": "2026-01-01T00:00:00Z", "provenance": "till-journal/0/3/9/1", "data": {}});
    driver.pipe("commands", "k", &sent.to_string());
    driver.run_until_idle();
    let changes = changes(driver.log());
    assert!(changes.len() >= 20, "{:?}", changes.keys());
    assert_written(changes);
    // And a program that finds these, and none of its own, goes on with them.
    let mut task = Task::open("trade", spec(), 0, 1, "a#1".to_owned(), Box::new(MemoryStore::default())).expect("it opens");
    let entries: Vec<_> = golden().into_iter().filter_map(|(name, value)| Some((unnamed(name.strip_prefix("entry: ")?), Some(value)))).collect();
    let fence = JournalRecord::Fence(Fence { owner: "a#1".to_owned(), epoch: 1, restore_point: None });
    let transaction =
        Transaction { owner: "a#1".to_owned(), epoch: 1, sequence: 1, changes: entries, effects: Vec::new(), restore_point: None, kept: None, ..transaction() };
    for (offset, record) in (0..).zip([fence, JournalRecord::Transaction(transaction)]) {
        task.replay(offset, &record.encode().into()).expect("it replays");
    }
    let committed = task.own().expect("the schema is known");
    assert_eq!(committed.calls.len(), 1);
    assert_eq!((task.source_offset(0), task.timers_pending()), (1, 5));
    assert_eq!(task.totals().collect::<Vec<_>>(), [("sold", 5)]);
    for store in stores() {
        for (name, value) in golden() {
            if name.starts_with(&format!("entry: u{}<00>", store.name())) {
                assert_eq!(store.rewrite(&value).unwrap_or_else(|error| panic!("{name}: {error}")), value, "{name}");
            }
        }
    }
    // What it took from the sender it does not take again.
    let again = LogRecord { offset: 1, key: None, value: sent.to_string().into_bytes().into(), timestamp_ms: 0 };
    let mut again = VecDeque::from([Work::Record(0, again)]);
    let (record, report) = task.step(&mut again, START_MS).expect("it works");
    assert_eq!((record, report.repeated), (None, 1));
}

fn spec() -> ProcessorSpec {
    ProcessorSpec {
        name: "shop".into(),
        sources: vec![Source::commands("commands", "key", Routing::Except(vec![]))],
        sinks: vec!["requests".into()],
        journal: "shop-journal".into(),
        stores: stores(),
        calls: vec!["printer".into()],
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic: Arc::new(everything()),
    }
}

/// Reads a key that was made readable.
fn unnamed(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        match rest.strip_prefix('<').and_then(|tail| tail.split_once('>')) {
            Some((hex, tail)) => {
                bytes.push(u8::from_str_radix(hex, 16).expect("hexadecimal digits"));
                rest = tail;
            }
            None => {
                bytes.push(first as u8);
                rest = &rest[1..];
            }
        }
    }
    bytes
}

/// Timers and calls with all that they may have, and with what a later program may add.
#[test]
fn timers_and_calls() {
    let traced = r#"{"name":"remind","key":"k","due_ms":5,"correlation":"c-0","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    let timer: Timer = serde_json::from_str(traced).expect("it reads");
    assert_eq!(serde_json::to_string(&timer).expect("it is JSON"), traced);
    let timer: Timer = serde_json::from_str(r#"{"name":"remind","key":"k","due_ms":5,"correlation":"c-0","new":{}}"#).expect("what is not known is ignored");
    assert_eq!((timer.name.as_str(), timer.due_ms), ("remind", 5));
    let call: Call =
        serde_json::from_str(r#"{"id":"i","target":"printer","request":"{}","correlation":"c-0","new":[1]}"#).expect("what is not known is ignored");
    assert_eq!((call.id.as_str(), call.request.as_str()), ("i", "{}"));
}

#[test]
fn announcements() {
    let mut read = 0;
    for (name, bytes) in golden().into_iter().filter(|(name, _)| name.starts_with("announcement: ")) {
        let announcement = Announcement::decode(&bytes).unwrap_or_else(|| panic!("{name} is not read"));
        assert_eq!(line(&name, &announcement.encode()), line(&name, &bytes));
        let mut newer: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        newer["new"] = json!({"of": "a later program"});
        assert_eq!(Announcement::decode(newer.to_string().as_bytes()), Some(announcement), "{name}, with what a later program says");
        read += 1;
    }
    assert_eq!(read, 6, "each type has one");
}

#[test]
fn envelopes() {
    let JournalRecord::Transaction(transaction) = JournalRecord::Transaction(transaction()) else { return };
    let provenance = Provenance { journal: "till-journal".to_owned(), partition: 2, epoch: 3, sequence: 9, index: 1 };
    let written = envelope::render(&transaction.effects[0].event, &provenance, "/trade/till/2", START_MS).expect("it is JSON");
    assert_written([("envelope: event".to_owned(), written)]);
    for (name, bytes) in golden().into_iter().filter(|(name, _)| name.starts_with("envelope: ")) {
        let position = Position { topic: "events".to_owned(), partition: 0, offset: 0 };
        let message: Message = envelope::read(Format::Event, position, None, &bytes, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
        let Message { kind, subject, id, correlation, time_ms, data, .. } = message;
        let read = (kind.as_str(), subject.as_deref(), id.as_str(), correlation.as_str(), time_ms, data.as_str());
        assert_eq!(read, ("Sold", Some("s-1"), "till/2/9/1", "c-0", START_MS, r#"{"n":1}"#), "{name}");
        assert_eq!(message.provenance, Some(provenance.clone()), "{name}: whoever does not see who sent it takes it twice");
    }
}
