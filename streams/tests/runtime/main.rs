//! The runtime on an in-memory log: tasks start, restore, stop and start again, also on a log that lies about what landed.

mod altered;
mod assignment;
mod breaker;
#[path = "../support/business.rs"]
#[allow(dead_code, reason = "the guarantees use the rest of it")]
mod business;
mod flaky;
mod lag;
mod loss;
mod order;
mod upgrades;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fluvio_streams::log::Log;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::processor::Call;
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{CallHandler, Options, Runtime, StartError};
use fluvio_streams::state::store::{FjallStores, MemoryStores, StoreOptions, Stores};
use fluvio_streams::task::SnapshotPolicy;
use fluvio_streams::telemetry::NoObserver;
use fluvio_streams::time::SystemClock;

/// Gives one receipt per id, however often it is asked.
#[derive(Default)]
struct Printer {
    asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl CallHandler for Printer {
    async fn call(&self, call: &Call) -> String {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(call.id.clone());
        format!("\"receipt for {}\"", call.id)
    }
}

fn options(log: Arc<dyn Log>, stores: Arc<dyn Stores>) -> Options {
    let printer: Arc<dyn CallHandler> = Arc::new(Printer::default());
    Options {
        log,
        stores,
        clock: Arc::new(SystemClock),
        snapshots: SnapshotPolicy::default(),
        assignment: None,
        calls: BTreeMap::from([("printer".to_owned(), printer)]),
        observer: Arc::new(NoObserver),
        instance: "test".to_owned(),
    }
}

fn log() -> MemoryLog {
    let log = MemoryLog::default();
    for topic in business::topology().topics() {
        log.create(&topic, business::PARTITIONS);
    }
    log
}

fn deposit(log: &MemoryLog, account: &str, amount: i64) {
    let value = format!(r#"{{"type":"Deposit","account":"{account}","amount":{amount}}}"#);
    let partition = partition_for(account.as_bytes(), business::PARTITIONS);
    log.append("commands", partition, 0, NewRecord::keyed(account, value)).expect("the topic is there");
}

/// Returns the payloads of a topic's events of a kind, without repeats: (subject, data).
fn events(log: &MemoryLog, topic: &str, kind: &str) -> Vec<(String, serde_json::Value)> {
    let mut ids = BTreeSet::new();
    let mut events = Vec::new();
    for partition in 0..business::PARTITIONS {
        for record in log.fetch(topic, partition, 0, None, usize::MAX).expect("the topic is there").records {
            let event: serde_json::Value = serde_json::from_slice(&record.value).expect("events are JSON");
            if event["type"] == kind && ids.insert(event["id"].to_string()) {
                events.push((event["subject"].as_str().expect("a subject").to_owned(), event["data"].clone()));
            }
        }
    }
    events
}

/// Waits until the condition holds; the limit is only there so that a failure ends.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn counted(log: &MemoryLog) -> BTreeMap<String, i64> {
    events(log, "audit-events", "Counted").into_iter().map(|(account, data)| (account, data["counted"].as_i64().expect("a number"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_flow_and_a_restart_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = log();
    for round in 1..=3 {
        let stores = Arc::new(FjallStores::open(directory.path(), StoreOptions::default()).expect("the store opens"));
        let runtime = Runtime::start(&business::topology(), options(Arc::new(log.clone()), stores)).await.expect("it starts");
        deposit(&log, "a-1", 10);
        deposit(&log, "a-2", 1);
        let expected = BTreeMap::from([("a-1".to_owned(), 10 * round), ("a-2".to_owned(), round)]);
        eventually("deposits are counted", || counted(&log) == expected).await;
        eventually("receipts are printed", || events(&log, "till-events", "Printed").len() as i64 == 2 * round).await;
        let began = Instant::now();
        runtime.stop().await;
        assert!(began.elapsed() < Duration::from_secs(2), "an orderly stop is quick, it took {:?}", began.elapsed());
    }
    assert_eq!(events(&log, "till-events", "Deposited").len(), 6, "nothing was sent twice as something new");
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_fire_after_a_restart() {
    let log = log();
    let stores: Arc<dyn Stores> = Arc::new(MemoryStores::default());
    let runtime = Runtime::start(&business::topology(), options(Arc::new(log.clone()), stores.clone())).await.expect("it starts");
    deposit(&log, "a-1", 1);
    eventually("the deposit is taken", || !events(&log, "till-events", "Deposited").is_empty()).await;
    runtime.stop().await;
    let runtime = Runtime::start(&business::topology(), options(Arc::new(log.clone()), stores)).await.expect("it starts");
    eventually("the reminder fires", || events(&log, "till-events", "Reminded").len() == 1).await;
    runtime.stop().await;
}

/// Begins to print and never gets done, until it is told that it may have been asked before.
#[derive(Default)]
struct JammedPrinter {
    asked: Mutex<Vec<(String, bool)>>,
}

impl JammedPrinter {
    fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait::async_trait]
impl CallHandler for JammedPrinter {
    async fn call(&self, call: &Call) -> String {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((call.id.clone(), false));
        std::future::pending().await
    }

    async fn call_again(&self, call: &Call) -> String {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((call.id.clone(), true));
        format!("\"receipt for {}\"", call.id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_answered_is_made_again_and_said_to_be_so() {
    let (log, stores, printer): (_, Arc<dyn Stores>, _) = (log(), Arc::new(MemoryStores::default()), Arc::new(JammedPrinter::default()));
    let options = || Options {
        calls: BTreeMap::from([("printer".to_owned(), printer.clone() as Arc<dyn CallHandler>)]),
        ..options(Arc::new(log.clone()), stores.clone())
    };
    let runtime = Runtime::start(&business::topology(), options()).await.expect("it starts");
    deposit(&log, "a-1", 1);
    eventually("the printer is asked", || !printer.asked().is_empty()).await;
    runtime.stop().await;
    let runtime = Runtime::start(&business::topology(), options()).await.expect("it starts");
    eventually("the receipt is printed", || events(&log, "till-events", "Printed").len() == 1).await;
    runtime.stop().await;
    let asked = printer.asked();
    let id = asked[0].0.clone();
    assert_eq!(asked, [(id.clone(), false), (id, true)]);
}

/// A log whose appends land and then fail, land twice, or fail without landing: the doubt is settled, and the world is right.
#[tokio::test(flavor = "multi_thread")]
async fn doubtful_appends_are_settled() {
    let log = log();
    let flaky = flaky::Flaky::default();
    let altered = Arc::new(altered::Altered { inner: log.clone(), by: flaky.clone() });
    let runtime = Runtime::start(&business::topology(), options(altered, Arc::new(MemoryStores::default()))).await.expect("it starts");
    let mut expected = BTreeMap::new();
    let mut deposits = 0;
    while flaky.faults() < 30 {
        deposits += 1;
        let account = format!("a-{}", deposits % 7);
        deposit(&log, &account, deposits);
        *expected.entry(account).or_insert(0) += deposits;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    eventually("all is counted", || counted(&log) == expected).await;
    runtime.stop().await;
    assert_eq!(events(&log, "till-events", "Deposited").len() as i64, deposits);
}

/// Two instances that both believe they own everything: fencing alone keeps the effects single.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_log_do_nothing_twice() {
    let log = log();
    let start = || async { Runtime::start(&business::topology(), options(Arc::new(log.clone()), Arc::new(MemoryStores::default()))).await.expect("it starts") };
    let (one, two) = (start().await, start().await);
    let mut expected = BTreeMap::new();
    for number in 1..=200_i64 {
        let account = format!("a-{}", number % 7);
        deposit(&log, &account, 1);
        *expected.entry(account).or_insert(0) += 1;
        tokio::task::yield_now().await;
    }
    eventually("all is counted", || counted(&log) == expected).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(events(&log, "till-events", "Deposited").len(), 200);
}

#[tokio::test]
async fn a_topology_that_is_not_copartitioned_is_refused_by_name() {
    let log = MemoryLog::default();
    for topic in business::topology().topics() {
        log.create(&topic, if topic == "till-events" { 2 } else { 3 });
    }
    let error = Runtime::start(&business::topology(), options(Arc::new(log), Arc::new(MemoryStores::default()))).await.err().expect("it is refused");
    let text = error.to_string();
    assert!(matches!(error, StartError::NotCopartitioned { .. }) && text.contains("`till-events` has 2"), "{text}");
}

#[tokio::test]
async fn a_call_without_a_handler_is_refused_by_name() {
    let mut options = options(Arc::new(log()), Arc::new(MemoryStores::default()));
    options.calls.clear();
    let error = Runtime::start(&business::topology(), options).await.err().expect("it is refused");
    assert_eq!(error.to_string(), "processor `till` calls `printer`, for which there is no handler");
}
