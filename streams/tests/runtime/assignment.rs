//! Several instances on one log: they share the tasks, follow each other's, and take over from who leaves or dies; nothing is lost or doubled meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use fluvio_streams::assignment::TaskId;
use fluvio_streams::lifeline::Lifeline;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::runtime::{AssignmentOptions, Options, QueryError, Runtime};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::telemetry::Phase;

use super::altered::{Alteration, Altered};
use super::{business, counted, deposit, events, eventually, options};

const TOPIC: &str = "bank-assignment";
/// Two processors on three partitions.
const TASKS: usize = 6;

fn log() -> MemoryLog {
    let log = super::log();
    log.create(TOPIC, 1);
    log
}

/// Starts an instance with a disk of its own.
async fn start(log: &MemoryLog, name: &str, standbys: usize) -> Runtime {
    start_on(Arc::new(log.clone()), name, standbys).await
}

async fn start_on(log: Arc<dyn Log>, name: &str, standbys: usize) -> Runtime {
    start_with(log, name, shared(standbys)).await
}

fn shared(standbys: usize) -> AssignmentOptions {
    AssignmentOptions {
        topic: TOPIC.to_owned(),
        standbys,
        heartbeat: Duration::from_millis(100),
        session: Duration::from_millis(600),
        release: Duration::from_millis(500),
        lifeline: None,
    }
}

async fn start_with(log: Arc<dyn Log>, name: &str, assignment: AssignmentOptions) -> Runtime {
    let options = Options { instance: name.to_owned(), assignment: Some(assignment), ..options(log, Arc::new(MemoryStores::default())) };
    Runtime::start(&business::topology(), options).await.expect("it starts")
}

fn count(runtime: &Runtime, phase: Phase) -> usize {
    runtime.statuses().iter().filter(|(name, status)| !name.ends_with("-assignment") && status.phase == phase).count()
}

/// Returns how many tasks each instance runs.
fn shares(runtimes: &[&Runtime]) -> Vec<usize> {
    runtimes.iter().map(|runtime| count(runtime, Phase::Running)).collect()
}

/// Deposits 1 to each of twelve accounts again and again until it is told to stop; returns how often.
fn load(log: &MemoryLog) -> (Arc<AtomicBool>, tokio::task::JoinHandle<i64>) {
    let (log, stop) = (log.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let rounds = AtomicI64::new(0);
    let loading = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            (0..12).for_each(|account| deposit(&log, &format!("a-{account}"), 1));
            rounds.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        rounds.into_inner()
    });
    (stop, loading)
}

/// Every deposit was counted once, and every receipt asked for and told once.
async fn assert_nothing_is_lost_or_doubled(log: &MemoryLog, rounds: i64) {
    let expected: BTreeMap<String, i64> = (0..12).map(|account| (format!("a-{account}"), rounds)).collect();
    eventually("all deposits are counted", || counted(log) == expected).await;
    eventually("all receipts are printed", || events(log, "till-events", "Printed").len() as i64 == 12 * rounds).await;
    assert_eq!(events(log, "till-events", "Deposited").len() as i64, 12 * rounds);
    assert_eq!(events(log, "audit-events", "Counted").len() as i64, 12 * rounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_and_go_under_load_and_nothing_is_lost_or_doubled() {
    let log = log();
    let first = start(&log, "i-0", 0).await;
    first.wait_running().await.expect("it runs");
    assert_eq!(count(&first, Phase::Running), TASKS);
    let (stop, loading) = load(&log);
    let second = start(&log, "i-1", 0).await;
    eventually("two share", || shares(&[&first, &second]) == [3, 3]).await;
    let (third, fourth) = (start(&log, "i-2", 0).await, start(&log, "i-3", 0).await);
    eventually("four share", || shares(&[&first, &second, &third, &fourth]).iter().all(|share| (1..=2).contains(share))).await;
    let mut more = Vec::new();
    for number in 4..8 {
        more.push(start(&log, &format!("i-{number}"), 0).await);
    }
    // There are three partitions of each processor, so some of eight have nothing to do, and are ready all the same.
    for runtime in &more {
        runtime.wait_running().await.expect("it runs");
    }
    let all = [&[&first, &second, &third, &fourth][..], &more.iter().collect::<Vec<_>>()].concat();
    eventually("eight share", || shares(&all).iter().sum::<usize>() == TASKS && shares(&all).iter().all(|share| *share <= 2)).await;
    // One is killed, the others leave.
    drop(first);
    for runtime in more {
        runtime.stop().await;
    }
    third.stop().await;
    eventually("two share", || shares(&[&second, &fourth]) == [3, 3]).await;
    stop.store(true, Ordering::Relaxed);
    let rounds = loading.await.expect("it does not panic");
    assert_nothing_is_lost_or_doubled(&log, rounds).await;
    second.stop().await;
    fourth.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_task_takes_it_over_from_the_dead() {
    let log = log();
    let first = start(&log, "i-0", 1).await;
    first.wait_running().await.expect("it runs");
    let second = start(&log, "i-1", 1).await;
    eventually("each follows what the other runs", || {
        shares(&[&first, &second]) == [3, 3] && [&first, &second].iter().all(|runtime| count(runtime, Phase::Standby) == 3)
    })
    .await;
    let (stop, loading) = load(&log);
    eventually("something was counted", || counted(&log).len() == 12).await;
    drop(first);
    eventually("the other has everything", || count(&second, Phase::Running) == TASKS).await;
    stop.store(true, Ordering::Relaxed);
    let rounds = loading.await.expect("it does not panic");
    assert_nothing_is_lost_or_doubled(&log, rounds).await;
    second.stop().await;
}

/// Goal: nobody waits for the silence of who was killed, however long silence would have to last.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_lifeline_tells_of_a_death_at_once() {
    let log = log();
    let start = async |name: &str| {
        let lifeline = Lifeline::listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
        let patient = AssignmentOptions { session: Duration::from_secs(3_600), lifeline: Some(Arc::new(lifeline)), ..shared(1) };
        start_with(Arc::new(log.clone()), name, patient).await
    };
    let first = start("i-0").await;
    first.wait_running().await.expect("it runs");
    let second = start("i-1").await;
    eventually("each follows what the other runs", || {
        shares(&[&first, &second]) == [3, 3] && [&first, &second].iter().all(|runtime| count(runtime, Phase::Standby) == 3)
    })
    .await;
    let (stop, loading) = load(&log);
    drop(first);
    eventually("the other has everything", || count(&second, Phase::Running) == TASKS).await;
    stop.store(true, Ordering::Relaxed);
    let rounds = loading.await.expect("it does not panic");
    assert_nothing_is_lost_or_doubled(&log, rounds).await;
    second.stop().await;
}

/// Goal: what a task keeps can be read where it runs and where it is followed, with a word on how old it is; elsewhere one is told so.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_task_is_read_where_it_runs_and_where_it_is_followed() {
    let log = log();
    let first = start(&log, "i-0", 1).await;
    first.wait_running().await.expect("it runs");
    let (second, third) = (start(&log, "i-1", 1).await, start(&log, "i-2", 1).await);
    let all = [&first, &second, &third];
    eventually("three share, and follow each other", || {
        shares(&all) == [2, 2, 2] && all.iter().map(|runtime| count(runtime, Phase::Standby)).sum::<usize>() == TASKS
    })
    .await;
    deposit(&log, "a-1", 7);
    eventually("it is counted", || counted(&log).len() == 1).await;
    let task = TaskId::new("till", fluvio_streams::partitioner::partition_for(b"a-1", business::PARTITIONS));
    let (mut owners, mut followers, mut others) = (0, 0, 0);
    for runtime in all {
        match runtime.read(&task, "accounts", "a-1").await {
            Ok(read) if read.is_owner => {
                assert_eq!((read.value.as_deref(), read.behind_records), (Some(&b"7"[..]), 0));
                owners += 1;
            }
            Ok(_) => {
                let at_last = async || runtime.read(&task, "accounts", "a-1").await.is_ok_and(|read| read.value.as_deref() == Some(b"7") && read.as_of_ms > 0);
                while !at_last().await {
                    tokio::task::yield_now().await;
                }
                assert_eq!(runtime.read(&task, "accounts", "nobody").await.expect("it can be read").value, None);
                followers += 1;
            }
            Err(QueryError::NotHere { .. }) => others += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((owners, followers, others), (1, 1, 1));
}

/// Lets nobody write to journals: tasks fail and fail again.
struct WithoutJournals;

#[async_trait::async_trait]
impl Alteration for WithoutJournals {
    async fn writer(&self, inner: &MemoryLog, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        match topic.ends_with("-journal") {
            true => Err(LogError::Refused { action: format!("to write to {topic}"), detail: "as the test wants it".to_owned() }),
            false => inner.writer(topic, partition).await,
        }
    }
}

/// Goal: a task that was given to others while it could not run here is nothing that this instance waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_and_is_given_away_is_let_go() {
    let log = log();
    let failing = start_on(Arc::new(Altered { inner: log.clone(), by: WithoutJournals }), "i-0", 0).await;
    eventually("every task fails", || count(&failing, Phase::Waiting) == TASKS).await;
    let second = start(&log, "i-1", 0).await;
    eventually("the other runs its half", || count(&second, Phase::Running) == TASKS / 2).await;
    eventually("those are let go", || failing.statuses().len() == 1 + TASKS / 2).await;
    second.wait_running().await.expect("it runs");
    failing.stop().await;
    eventually("the other runs everything", || count(&second, Phase::Running) == TASKS).await;
    second.stop().await;
}

/// Goal: what others do is nobody's delay: tasks that stay where they are never stop.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_do_not_move_go_on() {
    let log = log();
    let first = start(&log, "i-0", 0).await;
    first.wait_running().await.expect("it runs");
    let fences = |log: &MemoryLog| -> Vec<usize> {
        let of = |journal: &str, partition| {
            let records = log.fetch(journal, partition, 0, None, usize::MAX).expect("the topic is there").records;
            let is_fence = |value: &[u8]| matches!(fluvio_streams::journal::JournalRecord::decode(value), Ok(fluvio_streams::journal::JournalRecord::Fence(_)));
            records.iter().filter(|record| is_fence(&record.value)).count()
        };
        ["till-journal", "audit-journal"].iter().flat_map(|journal| (0..business::PARTITIONS).map(|partition| of(journal, partition))).collect()
    };
    let second = start(&log, "i-1", 0).await;
    eventually("two share", || shares(&[&first, &second]) == [3, 3]).await;
    assert_eq!(fences(&log).iter().sum::<usize>(), TASKS + 3, "those that moved were taken over once, the others never: {:?}", fences(&log));
    second.stop().await;
    eventually("all is back", || count(&first, Phase::Running) == TASKS).await;
    assert_eq!(fences(&log).iter().sum::<usize>(), TASKS + 6);
    first.stop().await;
}
