//! Sinks on an in-memory log: what ends up in the views, whatever fails in between.

mod support;

use std::sync::Arc;

use fluvio_streams::envelope::Provenance;
use fluvio_streams::log::Log;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::NewRecord;
use fluvio_streams::trace::TraceContext;
use orderflow_testkit::Mongod;
use orderflow_views::Sinks;
use orderflow_views::store::{Batch, EmbeddedStore, MongoStore, ViewStore};
use orderflow_views::telemetry::NoObserver;
use orderflow_views::view::Document;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::business::{DEAD_LETTERS, EVENTS, PARTITIONS, system, topics, view};
use support::faults::{FaultyLog, FaultyStore};
use support::{PATIENCE, Recorder, documents, dump, event, until};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A log with topics and a store, and sinks that can be started and stopped.
struct World {
    memory: MemoryLog,
    log: Arc<FaultyLog>,
    store: Arc<FaultyStore>,
    observer: Arc<Recorder>,
    _directory: Option<TempDir>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        Self { _directory: Some(directory), ..Self::on(store) }
    }

    fn on(store: Arc<dyn ViewStore>) -> Self {
        let memory = MemoryLog::default();
        topics(&memory);
        Self { log: Arc::new(FaultyLog::new(memory.clone())), memory, store: Arc::new(FaultyStore::new(store)), observer: Arc::default(), _directory: None }
    }

    /// Returns another instance on the same topics.
    fn beside(&self) -> Self {
        Self {
            log: Arc::new(FaultyLog::new(self.memory.clone())),
            memory: self.memory.clone(),
            store: self.store.clone(),
            observer: Arc::default(),
            _directory: None,
        }
    }

    fn start(&self) -> (Sinks, CancellationToken) {
        let shutdown = CancellationToken::new();
        let sinks = Sinks::start(self.log.clone(), &[system()], self.store.clone(), self.observer.clone(), &shutdown);
        (sinks, shutdown)
    }

    fn add(&self, id: &str, kind: &str, data: Value) -> (u32, i64) {
        let partition = partition_for(id.as_bytes(), PARTITIONS);
        let offset = self.memory.append(EVENTS, partition, 0, event(kind, id, "x", 1_000, data)).unwrap();
        (partition, offset)
    }

    async fn reaches(&self, (partition, offset): (u32, i64)) {
        assert!(self.store.inner.wait_for(&view(), partition, offset, PATIENCE).await.unwrap(), "{:?}", self.observer.all());
    }

    async fn value(&self, id: &str) -> Value {
        self.store.inner.get(&view(), &[id.to_owned()]).await.unwrap().pop().expect("the document is there").value
    }

    fn dead_letters(&self) -> Vec<Value> {
        let fetch = |partition| self.memory.fetch(DEAD_LETTERS, partition, 0, None, 1_000).unwrap().records;
        (0..PARTITIONS).flat_map(fetch).map(|record| serde_json::from_slice(&record.value).unwrap()).collect()
    }
}

async fn stop((sinks, shutdown): (Sinks, CancellationToken)) {
    shutdown.cancel();
    sinks.stopped().await;
}

#[tokio::test]
async fn events_become_documents_and_other_records_only_progress() {
    let world = World::new();
    let sinks = world.start();
    world.add("c-1", "CounterCreated", json!({"owner": "ann", "value": 1}));
    world.add("c-1", "SomethingElse", json!({}));
    let last = world.add("c-1", "CounterChanged", json!({"by": 4}));
    world.reaches(last).await;
    assert_eq!(world.value("c-1").await, json!({"owner": "ann", "value": 5, "counterId": "c-1", "status": "CounterCreated", "history": "4,"}));
    let unwanted = world.add("c-1", "SomethingElse", json!({}));
    world.reaches(unwanted).await;
    assert!(world.dead_letters().is_empty());
    stop(sinks).await;
}

#[tokio::test]
async fn records_that_do_not_fold_are_dead_lettered_and_the_next_ones_are_taken() {
    let world = World::new();
    let partition = partition_for(b"c-1", PARTITIONS);
    let append = |key: &str, value: &str| world.memory.append(EVENTS, partition, 0, NewRecord::keyed(key, value.to_owned())).unwrap();
    world.add("c-1", "CounterCreated", json!({"owner": "ann", "value": 1}));
    append("c-1", r#"{"type": "CounterChanged", "subject": "c-1"}"#);
    world.add("c-1", "CounterChanged", json!({"by": "nothing"}));
    world.add("c-1", "Panic", json!({}));
    append("c-1", &json!({"type": "CounterCreated", "subject": "x".repeat(256), "data": {"value": 1}}).to_string());
    let last = world.add("c-1", "CounterChanged", json!({"by": 2}));
    // The same counter in another partition: a sender that used another key.
    let elsewhere = (partition + 1) % PARTITIONS;
    let sinks = world.start();
    world.reaches(last).await;
    let stray = world.memory.append(EVENTS, elsewhere, 0, event("CounterChanged", "c-1", "x", 1, json!({"by": 100}))).unwrap();
    world.reaches((elsewhere, stray)).await;

    assert_eq!(world.value("c-1").await["history"], "2,");
    let letters = world.dead_letters();
    let errors: Vec<String> = letters.iter().map(|letter| format!("{}: {}", letter["data"]["offset"], letter["data"]["error"].as_str().unwrap())).collect();
    let expected = ["field `data` is missing", "field `by` is missing", "projection panicked: asked to", "belongs to partition"];
    assert_eq!(letters.len(), expected.len(), "{errors:?}");
    for text in expected {
        assert!(errors.iter().any(|error| error.contains(text)), "{text} in {errors:?}");
    }
    for letter in &letters {
        assert_eq!((&letter["type"], &letter["data"]["topic"]), (&json!("DeadLetter"), &json!(EVENTS)));
        assert!(letter["data"]["value"].as_str().unwrap().contains("\"type\""), "the record is quoted: {letter}");
        assert_eq!(letter["id"], letter["correlationid"], "no sender of a command takes it for an outcome");
        let place = format!("{EVENTS}/{}/{}", letter["data"]["partition"], letter["data"]["offset"]);
        assert_eq!((&letter["subject"], &letter["causationid"]), (&json!(place), &json!(place)));
        assert_eq!(letter["data"]["processor"], "counters-view");
        let text = |name: &str| letter[name].as_str().unwrap_or_default();
        assert!(Provenance::parse(text("provenance")).is_some(), "{letter}");
        assert!(TraceContext::parse(text("traceparent")).is_some(), "{letter}");
    }
    assert!(world.observer.has("RecordsRefused"));
    stop(sinks).await;
}

#[tokio::test]
async fn progress_waits_until_dead_letters_are_written() {
    let world = World::new();
    let sinks = world.start();
    let ready = world.add("c-1", "CounterCreated", json!({"value": 1}));
    world.reaches(ready).await;
    world.log.stuck.set(true);
    let bad = world.add("c-1", "CounterChanged", json!({}));
    let good = world.add("c-1", "CounterChanged", json!({"by": 1}));
    // Another counter's partition is not held up.
    let other = (0..).map(|n| format!("c-{n}")).find(|id| partition_for(id.as_bytes(), PARTITIONS) != bad.0).unwrap();
    let elsewhere = world.add(&other, "CounterCreated", json!({"value": 1}));
    world.reaches(elsewhere).await;
    assert_eq!(world.store.progress(&view(), bad.0).await.unwrap(), bad.1);
    world.log.stuck.set(false);
    world.reaches(good).await;
    assert_eq!(world.dead_letters().len(), 1);
    assert_eq!(world.value("c-1").await["history"], "1,");
    stop(sinks).await;
}

/// A view that is made anew has nothing in it at first: whoever routes readers to it must wait. One that was level once stays in use however late it is.
#[tokio::test]
async fn a_view_is_ready_once_it_has_what_was_there_when_it_began() {
    let world = World::new();
    world.add("c-1", "CounterCreated", json!({"value": 1}));
    // Its dead letter cannot be written, so the view does not get past it.
    let bad = world.add("c-1", "CounterChanged", json!({}));
    let last = world.add("c-1", "CounterChanged", json!({"by": 1}));
    world.log.stuck.set(true);
    let sinks = world.start();
    let check = sinks.0.ready_check();
    let says = |text: &'static str| {
        let check = check.clone();
        until(text, move || {
            let check = check.clone();
            async move { check.check().await.is_err_and(|why| why.contains(text) && !why.contains("not connected") && !why.contains("not prepared")) }
        })
    };
    says("it is being made, ").await;
    world.log.stuck.set(false);
    world.reaches(last).await;
    until("the views are ready", || async { check.check().await.is_ok() }).await;
    world.log.stuck.set(true);
    let late = world.add("c-1", "CounterChanged", json!({}));
    assert!(late.1 > bad.1);
    until("it waits for its dead letter", || async { world.store.progress(&view(), late.0).await.unwrap() == late.1 }).await;
    assert_eq!(check.check().await, Ok(()), "late, and fit for use");
    world.log.stuck.set(false);
    stop(sinks).await;
}

/// What was folded into nothing must not pass for whole documents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_dropped_under_its_sinks_is_written_anew() {
    let server = tokio::task::spawn_blocking(Mongod::start_owned).await.unwrap();
    let connect = || async { Arc::new(MongoStore::connect(server.uri(), Some(server.database())).await.unwrap()) };
    let world = World::on(connect().await);
    // Two replicas of the same role.
    let (one, other) = (world.start(), World { store: Arc::new(FaultyStore::new(connect().await)), ..world.beside() }.start());
    let counters: Vec<String> = (0..40).map(|number| format!("c-{number}")).collect();
    let add = |kind: &str, data: Value| counters.iter().map(|id| world.add(id, kind, data.clone())).collect::<Vec<_>>();
    let mut round = add("CounterCreated", json!({"value": 1}));
    for position in round {
        world.reaches(position).await;
    }
    let database = mongodb::Client::with_uri_str(server.uri()).await.unwrap().database(server.database());
    for value in 2..5 {
        database.drop().await.unwrap();
        round = add("CounterChanged", json!({"by": 1}));
        for position in round {
            world.reaches(position).await;
        }
        for id in &counters {
            until("the counter is whole", || async {
                world.store.inner.get(&view(), std::slice::from_ref(id)).await.unwrap().pop().is_some_and(|found| found.value["value"] == value)
            })
            .await;
        }
    }
    assert_eq!(world.dead_letters(), Vec::<Value>::new());
    stop(one).await;
    stop(other).await;
}

#[tokio::test]
async fn log_and_store_may_be_down_and_nothing_is_lost_or_doubled() {
    let world = World::new();
    world.store.down.set(true);
    let sinks = world.start();
    world.add("c-1", "CounterCreated", json!({"value": 0}));
    until("the store's failure is told", async || world.observer.has("ViewStalled")).await;
    world.store.down.set(false);
    let mut last = world.add("c-1", "CounterChanged", json!({"by": 1}));
    world.reaches(last).await;
    for by in 2..=20 {
        match by % 3 {
            0 => world.store.down.set(true),
            1 => world.log.down.set(true),
            _ => world.store.torn.set(true),
        }
        let failures = world.observer.all().iter().filter(|event| event.contains("ViewStalled")).count();
        last = world.add("c-1", "CounterChanged", json!({"by": by}));
        until("the failure is noticed", async || world.observer.all().iter().filter(|event| event.contains("ViewStalled")).count() > failures).await;
        world.store.down.set(false);
        world.log.down.set(false);
        world.store.torn.set(false);
        if by % 3 == 2 {
            // Three failures in a row at most, so that the waits between tries stay short.
            world.reaches(last).await;
        }
    }
    world.reaches(last).await;
    let history: String = (1..=20).map(|by| format!("{by},")).collect();
    assert_eq!(world.value("c-1").await["history"], history);
    stop(sinks).await;
}

/// Whoever cannot write says how much waits, although nothing is written that could be told of.
#[tokio::test]
async fn a_view_that_cannot_be_written_tells_how_its_lag_grows() {
    let world = World::new();
    let sinks = world.start();
    world.reaches(world.add("c-1", "CounterCreated", json!({"value": 0}))).await;
    world.store.down.set(true);
    let tells = |behind: i64| {
        let told = format!("behind: {behind},");
        world.observer.all().iter().any(|event| event.starts_with("ViewWaits") && event.contains(&told))
    };
    world.add("c-1", "CounterChanged", json!({"by": 1}));
    until("one record waits", async || tells(1)).await;
    world.add("c-1", "CounterChanged", json!({"by": 2}));
    let last = world.add("c-1", "CounterChanged", json!({"by": 3}));
    until("three wait", async || tells(3)).await;
    world.store.down.set(false);
    world.reaches(last).await;
    stop(sinks).await;
}

#[tokio::test]
async fn a_view_that_is_ahead_of_its_topic_says_so_and_writes_nothing() {
    let world = World::new();
    for partition in 0..PARTITIONS {
        world.store.apply(&view(), Batch { partition, documents: vec![], next_offset: 100 }).await.unwrap();
    }
    world.add("c-1", "CounterCreated", json!({"value": 0}));
    let sinks = world.start();
    until("it is told", async || world.observer.has("AheadOfLog")).await;
    assert!(documents(world.store.as_ref(), &view()).await.is_empty());
    stop(sinks).await;
}

#[tokio::test]
async fn a_topic_that_comes_later_is_followed_from_its_beginning() {
    let memory = MemoryLog::default();
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn ViewStore> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let observer = Arc::new(Recorder::default());
    let shutdown = CancellationToken::new();
    let sinks = Sinks::start(Arc::new(memory.clone()), &[system()], store.clone(), observer.clone(), &shutdown);
    until("the missing topic is told", async || observer.has("NoTopic")).await;
    topics(&memory);
    let partition = partition_for(b"c-1", PARTITIONS);
    memory.append(EVENTS, partition, 0, event("CounterCreated", "c-1", "x", 1, json!({"value": 3}))).unwrap();
    assert!(store.wait_for(&view(), partition, 0, PATIENCE).await.unwrap());
    stop((sinks, shutdown)).await;
}

/// What happens in a random life of a view: (counter, amount) events, with a restart where the last part says so.
fn lives() -> impl Strategy<Value = Vec<(u8, i8, bool)>> {
    prop::collection::vec((0..6_u8, any::<i8>(), prop::bool::weighted(0.1)), 1..60)
}

async fn replays_equally(life: &[(u8, i8, bool)]) -> Result<(), TestCaseError> {
    let world = World::new();
    let mut sinks = world.start();
    let mut last = std::collections::BTreeMap::new();
    for (counter, by, restarts) in life {
        let id = format!("c-{counter}");
        let created = last.contains_key(&id);
        let (kind, data) = if created { ("CounterChanged", json!({"by": by})) } else { ("CounterCreated", json!({"owner": "ann", "value": by})) };
        last.insert(id.clone(), world.add(&id, kind, data));
        if *restarts {
            // Stopped wherever it is, and progress is lost as by a crash between documents and progress.
            stop(sinks).await;
            world.store.torn.set(true);
            let torn = world.start();
            until("something failed or there was nothing to write", async || world.observer.has("died") || world.observer.has("ViewAdvanced")).await;
            stop(torn).await;
            world.store.torn.set(false);
            sinks = world.start();
        }
    }
    for position in last.values() {
        world.reaches(*position).await;
    }
    stop(sinks).await;
    let lived = dump(&world.store.inner, &view()).await;

    // From zero, over what is there already, and once more into an empty store.
    let log: Arc<dyn Log> = Arc::new(world.memory.clone());
    let directory = tempfile::tempdir().unwrap();
    let fresh: Arc<dyn ViewStore> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    for clears in [false, true] {
        let shutdown = CancellationToken::new();
        if clears {
            fresh.clear(&view()).await.unwrap();
        }
        let replay = Sinks::start(log.clone(), &[system()], fresh.clone(), Arc::new(NoObserver), &shutdown);
        for (partition, offset) in last.values() {
            prop_assert!(fresh.wait_for(&view(), *partition, *offset, PATIENCE).await.unwrap());
        }
        stop((replay, shutdown)).await;
        prop_assert_eq!(&dump(&fresh, &view()).await, &lived);
    }
    Ok(())
}

#[test]
fn replaying_gives_the_same_bytes_whatever_happened_in_between() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() });
    runner.run(&lives(), |life| runtime.block_on(replays_equally(&life))).unwrap();
}

/// Goal: an owner that comes back from a long pause and sends again what it had sent, behind what its successor sent meanwhile, changes no document.
#[tokio::test]
async fn events_that_are_sent_again_later_change_nothing() {
    let world = World::new();
    let sinks = world.start();
    let send = |epoch: u64, sequence: u64, index: u32, kind: &str, data: Value| {
        let mut event: Value = serde_json::from_slice(&event(kind, "c-1", "x", 1_000, data).value).unwrap();
        event["provenance"] = format!("counters-journal/0/{epoch}/{sequence}/{index}").into();
        let partition = partition_for(b"c-1", PARTITIONS);
        (partition, world.memory.append(EVENTS, partition, 0, NewRecord::keyed("c-1", event.to_string())).unwrap())
    };
    send(1, 7, 0, "CounterCreated", json!({ "value": 1 }));
    send(1, 7, 1, "CounterChanged", json!({ "by": 2 }));
    let position = send(2, 8, 0, "CounterChanged", json!({ "by": 4 }));
    world.reaches(position).await;
    let before = world.value("c-1").await;
    assert_eq!(before["value"], 7);
    send(1, 7, 0, "CounterCreated", json!({ "value": 1 }));
    world.reaches(send(1, 7, 1, "CounterChanged", json!({ "by": 2 }))).await;
    assert_eq!(world.value("c-1").await, before);
    // What is new is taken.
    world.reaches(send(2, 8, 1, "CounterChanged", json!({ "by": 8 }))).await;
    assert_eq!(world.value("c-1").await["value"], 15);
    stop(sinks).await;
}

#[tokio::test]
async fn a_backlog_is_folded_in_batches_and_documents_are_in_order() {
    let world = World::new();
    let ids: Vec<String> = (0..50).map(|n| format!("c-{n}")).collect();
    for id in &ids {
        world.add(id, "CounterCreated", json!({"value": 0}));
    }
    let mut last = vec![(0, 0); 0];
    for round in 1..=60 {
        last = ids.iter().map(|id| world.add(id, "CounterChanged", json!({ "by": round }))).collect();
    }
    let sinks = world.start();
    for position in last {
        world.reaches(position).await;
    }
    let history: String = (1..=60).map(|by| format!("{by},")).collect();
    let found: Vec<Document> = documents(world.store.as_ref(), &view()).await;
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|document| document.value["history"] == history && document.value["value"] == 1_830));
    let batches = world.observer.all().iter().filter(|event| event.contains("ViewAdvanced")).count();
    assert!(batches < 100, "{batches} batches for 3,050 records");
    stop(sinks).await;
}
