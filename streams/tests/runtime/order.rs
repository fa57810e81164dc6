//! A task that comes back to backlogs takes what depends on something after what it depends on, and one source that does not deliver stops nobody for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use fluvio_streams::limits::SOURCE_WAIT_MAX;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Fetched, LogError, Reader};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{Runtime, TaskStatus};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::telemetry::Phase;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};

use super::altered::{Alteration, Altered};
use super::{eventually, options};

const COMMANDS: &str = "commands";
const EVENTS: &str = "orders-events";
const TASK: &str = "shop-kitchen-0";
/// More than one fetch returns, and more than a run takes.
const ORDERS: usize = 2_000;

/// Remembers what it was given, in its order.
#[derive(Default)]
struct Kitchen {
    seen: Mutex<Vec<String>>,
}

impl Kitchen {
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Processor for Kitchen {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        if let Input::Message(message) = input {
            let line = format!("{} {}", message.kind, message.subject.as_deref().unwrap_or_default());
            context.put("seen", &line, &true);
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
        Ok(())
    }
}

fn topology(kitchen: &Arc<Kitchen>) -> Topology {
    let processor = ProcessorSpec {
        name: "kitchen".into(),
        sources: vec![Source::commands(COMMANDS, "orderId", Routing::Types(vec!["Accept".into()])), Source::events(EVENTS, &["Placed"])],
        sinks: Vec::new(),
        journal: "kitchen-journal".into(),
        stores: vec!["seen".into()],
        calls: Vec::new(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic: kitchen.clone(),
    };
    Topology { application: "shop".into(), processors: vec![processor] }
}

/// Makes one topic slow, or refuses it.
#[derive(Clone)]
struct Hampered {
    topic: &'static str,
    is_refused: Arc<AtomicBool>,
    delay: Duration,
}

impl Alteration for Hampered {
    fn reader(&self, topic: &str, reader: Box<dyn Reader>) -> Box<dyn Reader> {
        match topic == self.topic {
            true => Box::new(HamperedReader { inner: reader, by: self.clone() }),
            false => reader,
        }
    }
}

struct HamperedReader {
    inner: Box<dyn Reader>,
    by: Hampered,
}

#[async_trait]
impl Reader for HamperedReader {
    async fn next(&mut self) -> Result<Fetched, LogError> {
        if !self.by.delay.is_zero() {
            tokio::time::sleep(self.by.delay).await;
        }
        let refused = async {
            while !self.by.is_refused.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = refused => Err(LogError::Refused { action: "reading".to_owned(), detail: "there is no SmartModule `thin-map`".to_owned() }),
            fetched = self.inner.next() => fetched,
        }
    }
}

type HamperedLog = Altered<Hampered>;

impl HamperedLog {
    fn new(topic: &'static str, delay: Duration) -> Self {
        let inner = MemoryLog::default();
        for topic in topology(&Arc::default()).topics() {
            inner.create(&topic, 1);
        }
        Self { inner, by: Hampered { topic, is_refused: Arc::default(), delay } }
    }

    fn place(&self, order: usize, timestamp_ms: i64) {
        let value = format!(r#"{{"type":"Placed","id":"e-{order}","subject":"o-{order}","data":{{}}}}"#);
        self.append(EVENTS, order, timestamp_ms, value);
    }

    fn accept(&self, order: usize, timestamp_ms: i64) {
        self.append(COMMANDS, order, timestamp_ms, format!(r#"{{"type":"Accept","orderId":"o-{order}"}}"#));
    }

    fn append(&self, topic: &str, order: usize, timestamp_ms: i64, value: String) {
        self.inner.append(topic, 0, timestamp_ms, NewRecord::keyed(&format!("o-{order}"), value)).expect("the topic is there");
    }

    /// Refuses the topic from now on, as a broker does that cannot run a SmartModule any more: a moment after the stream was opened.
    fn refuse(&self, is_refused: bool) {
        self.by.is_refused.store(is_refused, Ordering::Relaxed);
    }

    async fn start(&self, kitchen: &Arc<Kitchen>) -> Runtime {
        Runtime::start(&topology(kitchen), options(Arc::new(self.clone()), Arc::new(MemoryStores::default()))).await.expect("it starts")
    }
}

/// Returns what was seen in place of an order that is as `expected`, said briefly.
fn assert_seen(kitchen: &Kitchen, expected: &[String]) {
    let seen = kitchen.seen();
    let differs = seen.iter().zip(expected).position(|(seen, expected)| seen != expected);
    assert!(
        differs.is_none() && seen.len() == expected.len(),
        "{} of {} seen; {differs:?} differs: {:?}",
        seen.len(),
        expected.len(),
        differs.map(|at| &seen[at])
    );
}

/// Orders and what is wanted of them, each order 3 ms after the one before, and accepted 2 ms after it was placed.
fn backlog(log: &HamperedLog) -> Vec<String> {
    let timestamp_ms = |order: usize| 1_700_000_000_000 + 3 * order as i64;
    (0..ORDERS).for_each(|order| log.accept(order, timestamp_ms(order) + 2));
    (0..ORDERS).for_each(|order| log.place(order, timestamp_ms(order)));
    (0..ORDERS).flat_map(|order| [format!("Placed o-{order}"), format!("Accept o-{order}")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backlogs_are_taken_by_their_timestamps() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::ZERO), Arc::new(Kitchen::default()));
    let expected = backlog(&log);
    let runtime = log.start(&kitchen).await;
    eventually("all is seen", || kitchen.seen().len() == 2 * ORDERS).await;
    runtime.stop().await;
    assert_seen(&kitchen, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_slow_is_waited_for() {
    for slow in [EVENTS, COMMANDS] {
        let (log, kitchen) = (HamperedLog::new(slow, Duration::from_millis(100)), Arc::new(Kitchen::default()));
        let expected = backlog(&log);
        let runtime = log.start(&kitchen).await;
        eventually("all is seen", || kitchen.seen().len() == 2 * ORDERS).await;
        runtime.stop().await;
        assert_seen(&kitchen, &expected);
    }
}

/// A real SPU loses all timestamps behind a SmartModule.
#[tokio::test(flavor = "multi_thread")]
async fn without_timestamps_events_go_before_commands() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::from_millis(20)), Arc::new(Kitchen::default()));
    (0..ORDERS).for_each(|order| log.accept(order, -1));
    (0..ORDERS).for_each(|order| log.place(order, -1));
    let runtime = log.start(&kitchen).await;
    eventually("all is seen", || kitchen.seen().len() == 2 * ORDERS).await;
    runtime.stop().await;
    let (placed, accepted): (Vec<_>, Vec<_>) = ["Placed", "Accept"].map(|kind| (0..ORDERS).map(|order| format!("{kind} o-{order}")).collect::<Vec<_>>()).into();
    assert_seen(&kitchen, &[placed, accepted].concat());
}

/// Stubs of a SmartModule are records without news: a source that holds nothing else must not be waited for in vain.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_thinned_out_count_as_read() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::ZERO), Arc::new(Kitchen::default()));
    (0..ORDERS).for_each(|order| log.append(EVENTS, order, -1, r#"{"type":"Other"}"#.to_owned()));
    (0..ORDERS).for_each(|order| log.accept(order, 1_700_000_000_000));
    let began = Instant::now();
    let runtime = log.start(&kitchen).await;
    eventually("all is seen", || kitchen.seen().len() == ORDERS).await;
    assert!(began.elapsed() < SOURCE_WAIT_MAX / 2, "it took {:?}", began.elapsed());
    runtime.stop().await;
}

/// A record counts as written when it was read, at the latest: whose clock is ahead does not wait until that time has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_starves_nobody() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::from_millis(20)), Arc::new(Kitchen::default()));
    log.accept(0, i64::MAX);
    (0..ORDERS).for_each(|order| log.place(order, 1_700_000_000_000));
    // Read later than the command.
    (ORDERS..2 * ORDERS).for_each(|order| log.place(order, i64::MAX - 1));
    let runtime = log.start(&kitchen).await;
    eventually("all is seen", || kitchen.seen().len() == 2 * ORDERS + 1).await;
    runtime.stop().await;
    let mut expected: Vec<String> = (0..2 * ORDERS).map(|order| format!("Placed o-{order}")).collect();
    expected.insert(ORDERS, "Accept o-0".to_owned());
    assert_seen(&kitchen, &expected);
}

fn status(runtime: &Runtime) -> TaskStatus {
    runtime.statuses().remove(TASK).expect("there is such a task")
}

fn is_refused(status: &TaskStatus) -> bool {
    let problem = status.problem.as_deref().unwrap_or_default();
    status.phase != Phase::Running && problem.contains("`orders-events`") && problem.contains("there is no SmartModule `thin-map`")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_refused_is_told_and_stops_nobody_for_ever() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::ZERO), Arc::new(Kitchen::default()));
    log.refuse(true);
    log.place(0, 1_700_000_000_000);
    log.accept(0, 1_700_000_000_001);
    let began = Instant::now();
    let runtime = log.start(&kitchen).await;
    eventually("people are told", || is_refused(&status(&runtime))).await;
    eventually("the other source is taken", || !kitchen.seen().is_empty()).await;
    assert!(began.elapsed() >= SOURCE_WAIT_MAX, "it waited {:?}", began.elapsed());
    assert_seen(&kitchen, &["Accept o-0".to_owned()]);
    // Whoever was waited for in vain is not waited for at every record.
    let began = Instant::now();
    (1..ORDERS).for_each(|order| log.accept(order, 1_700_000_000_001));
    eventually("all of the other source is taken", || kitchen.seen().len() == ORDERS).await;
    assert!(began.elapsed() < SOURCE_WAIT_MAX / 2, "it took {:?}", began.elapsed());
    assert!(is_refused(&status(&runtime)), "still: {:?}", status(&runtime));
    log.refuse(false);
    eventually("what was refused is read", || kitchen.seen().len() == ORDERS + 1).await;
    eventually("all is well", || status(&runtime) == TaskStatus { phase: Phase::Running, problem: None }).await;
    runtime.stop().await;
}

/// One that has nothing to deliver is not waited for, whatever becomes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_has_caught_up_waits_for_nobody() {
    let (log, kitchen) = (HamperedLog::new(EVENTS, Duration::ZERO), Arc::new(Kitchen::default()));
    log.place(0, 1_700_000_000_000);
    let runtime = log.start(&kitchen).await;
    eventually("it has caught up", || kitchen.seen().len() == 1).await;
    log.refuse(true);
    eventually("people are told", || is_refused(&status(&runtime))).await;
    let began = Instant::now();
    log.accept(0, 1_700_000_000_001);
    eventually("the other source is taken", || kitchen.seen().len() == 2).await;
    assert!(began.elapsed() < SOURCE_WAIT_MAX / 2, "it took {:?}", began.elapsed());
    // It has nothing to say, and is well nevertheless.
    log.refuse(false);
    eventually("all is well", || status(&runtime) == TaskStatus { phase: Phase::Running, problem: None }).await;
    runtime.stop().await;
}
