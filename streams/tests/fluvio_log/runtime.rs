//! The runtime on Fluvio itself: what `tests/runtime` and `tests/guarantees` prove on a log in memory holds on brokers and over connections, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fluvio_streams::fluvio::THIN_MAP;
use fluvio_streams::log::{Log, NewTopic};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::processor::Call;
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{AssignmentOptions, CallHandler, Options, Runtime};
use fluvio_streams::state::store::{FjallStores, MemoryStores, StoreOptions, Stores};
use fluvio_streams::topology::Topology;
use serde_json::Value;

use crate::business::{self, PARTITIONS};
use crate::site::{Site, SiteLog};
use crate::support::{PATIENCE, artifact, read_to};

const ASSIGNMENT: &str = "assignment";

struct Printer;

#[async_trait]
impl CallHandler for Printer {
    async fn call(&self, call: &Call) -> String {
        format!("\"receipt for {}\"", call.id)
    }
}

fn options(log: &Arc<SiteLog>, stores: Arc<dyn Stores>, instance: &str) -> Options {
    let printer: Arc<dyn CallHandler> = Arc::new(Printer);
    Options { calls: BTreeMap::from([("printer".to_owned(), printer)]), ..Options::new(log.clone(), stores, instance) }
}

/// Returns a log with the topics of the business.
async fn log(site: &Site) -> Arc<SiteLog> {
    let log = site.connect().await;
    log.ensure_smartmodule(THIN_MAP, &artifact(THIN_MAP)).await.expect("the SmartModule is uploaded");
    let topics = business::topology().topics().into_iter().map(|topic| (topic, PARTITIONS)).chain([(ASSIGNMENT.to_owned(), 1)]);
    for (name, partitions) in topics {
        log.ensure_topic(&NewTopic { name, partitions, retention_seconds: None, segment_bytes: None }).await.expect("the topic is created");
    }
    log
}

async fn deposit(log: &SiteLog, account: &str, amount: i64) {
    let value = format!(r#"{{"type":"Deposit","account":"{account}","amount":{amount}}}"#);
    let writer = log.writer("commands", partition_for(account.as_bytes(), PARTITIONS)).await.expect("the writer opens");
    writer.append(vec![NewRecord::keyed(account, value)]).await.expect("is acknowledged");
}

/// Returns the events of a kind, without repeats: (subject, data).
async fn events(log: &SiteLog, topic: &str, kind: &str) -> Vec<(String, Value)> {
    let (mut ids, mut events) = (BTreeSet::new(), Vec::new());
    for partition in 0..PARTITIONS {
        let end = log.offsets(topic, partition).await.expect("answers").end;
        if end == 0 {
            continue;
        }
        let mut reader = log.read(topic, partition, 0, None).await.expect("the reader opens");
        for record in read_to(&mut *reader, end).await.expect("reads") {
            let event: Value = serde_json::from_slice(&record.value).expect("events are JSON");
            if event["type"] == kind && ids.insert(event["id"].to_string()) {
                events.push((event["subject"].as_str().expect("a subject").to_owned(), event["data"].clone()));
            }
        }
    }
    events
}

/// Waits until so much is counted of each account, and each deposit has its receipt: neither ever becomes more.
async fn counted(log: &SiteLog, expected: &BTreeMap<String, i64>, deposits: usize) {
    let all = async {
        loop {
            let counts = events(log, "audit-events", "Counted").await;
            // The last one of each account.
            let counts: BTreeMap<String, i64> = counts.into_iter().map(|(account, data)| (account, data["counted"].as_i64().expect("a number"))).collect();
            if counts == *expected && events(log, "till-events", "Printed").await.len() == deposits {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not counted: {expected:?}"));
    assert_eq!(events(log, "till-events", "Deposited").await.len(), deposits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().expect("a temporary directory"));
    let log = log(&site).await;
    for round in 1..=3 {
        let stores = Arc::new(FjallStores::open(directory.path(), StoreOptions::default()).expect("the store opens"));
        let runtime = Runtime::start(&business::topology(), options(&log, stores, "only")).await.expect("it starts");
        deposit(&log, "a-1", 10).await;
        deposit(&log, "a-2", 1).await;
        let expected = BTreeMap::from([("a-1".to_owned(), 10 * round), ("a-2".to_owned(), round)]);
        counted(&log, &expected, 2 * round as usize).await;
        runtime.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_tasks_and_take_over_from_one_that_is_gone() {
    let site = Site::start().await;
    let log = log(&site).await;
    let start = |name: &'static str| {
        let (heartbeat, session, release) = (Duration::from_millis(100), Duration::from_millis(1_200), Duration::from_secs(1));
        let assignment = AssignmentOptions { topic: ASSIGNMENT.to_owned(), standbys: 1, heartbeat, session, release, lifeline: None };
        let options = Options { assignment: Some(assignment), ..options(&log, Arc::new(MemoryStores::default()), name) };
        async move { Runtime::start(&business::topology(), options).await.expect("it starts") }
    };
    let (one, two) = (start("one").await, start("two").await);
    let mut expected = BTreeMap::new();
    let mut deposits = 0;
    let mut put = async |count: i64| {
        for number in 1..=count {
            let account = format!("a-{}", number % 7);
            deposit(&log, &account, number).await;
            *expected.entry(account).or_insert(0) += number;
            deposits += 1;
        }
        (expected.clone(), deposits)
    };
    let (so_far, deposits) = put(30).await;
    counted(&log, &so_far, deposits).await;
    // Without a word: its tasks are taken over once it has been silent for a session.
    drop(one);
    let (so_far, deposits) = put(30).await;
    counted(&log, &so_far, deposits).await;
    let three = start("three").await;
    two.stop().await;
    let (so_far, deposits) = put(30).await;
    counted(&log, &so_far, deposits).await;
    three.stop().await;
}

/// The business in its next version: values say so, and programs of before read them.
fn next_version() -> Topology {
    let mut topology = business::topology();
    for processor in &mut topology.processors {
        processor.stores = std::mem::take(&mut processor.stores).into_iter().map(|store| store.compatible(|value| value)).collect();
    }
    topology
}

/// `U1`: a release, and the way back, in both orders, on disks that stay and on empty ones.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_programs_take_turns() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().expect("a temporary directory"));
    let log = log(&site).await;
    let programs = [business::topology(), next_version()];
    let mut expected = BTreeMap::new();
    for round in 0..6_i64 {
        let stores: Arc<dyn Stores> = match round % 3 {
            2 => Arc::new(MemoryStores::default()),
            _ => Arc::new(FjallStores::open(directory.path(), StoreOptions::default()).expect("the store opens")),
        };
        let runtime = Runtime::start(&programs[(round + round / 3) as usize % 2], options(&log, stores, "only")).await.expect("it starts");
        for account in ["a-1", "a-2", "a-3"] {
            deposit(&log, account, round + 1).await;
            *expected.entry(account.to_owned()).or_insert(0) += round + 1;
        }
        counted(&log, &expected, 3 * (round as usize + 1)).await;
        runtime.stop().await;
    }
}

/// `U2`: a program that is too old is told so, and leaves the journal as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_too_old_says_so_and_waits() {
    let site = Site::start().await;
    let log = log(&site).await;
    let mut breaking = business::topology();
    for processor in &mut breaking.processors {
        processor.stores = std::mem::take(&mut processor.stores).into_iter().map(|store| store.breaking(|value| value)).collect();
    }
    let runtime = Runtime::start(&breaking, options(&log, Arc::new(MemoryStores::default()), "new")).await.expect("it starts");
    deposit(&log, "a-1", 1).await;
    counted(&log, &BTreeMap::from([("a-1".to_owned(), 1)]), 1).await;
    runtime.stop().await;
    let (journal, partition) = ("till-journal", partition_for(b"a-1", PARTITIONS));
    let end = log.offsets(journal, partition).await.expect("answers").end;

    let runtime = Runtime::start(&business::topology(), options(&log, Arc::new(MemoryStores::default()), "old")).await.expect("it starts");
    let refused = tokio::time::timeout(PATIENCE, runtime.wait_running()).await.expect("it is known soon").expect_err("it is refused");
    assert!(refused.to_string().contains("store `"), "{refused}");
    assert!(refused.to_string().contains("holds values of version 2, which programs read that know version 2; this one knows version 1"), "{refused}");
    runtime.stop().await;
    assert_eq!(log.offsets(journal, partition).await.expect("answers").end, end, "not even a fence");
}
