//! Figures of the runtime itself, on a log in memory: `cargo bench -p fluvio-streams -- [throughput] [allocations] [keys] [restore] [timers]`, all by default.
//!
//! They tell what the runtime costs without a broker; `cargo run --release -- bench` tells what the whole costs with one. Nothing here fails for being slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{Options, Runtime};
use fluvio_streams::state::store::{FjallStores, StoreOptions};
use fluvio_streams::telemetry::{Event, Observer};
use fluvio_streams::time::{Clock as _, SystemClock};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, Topology};
use fluvio_streams::window::{WindowedAggregate, Windows};
use serde_json::json;

const PARTITIONS: u32 = 4;
/// How long the deadline of a timer is ahead: that of the payment step.
const DEADLINE_MS: i64 = 610;

type Rule = fn(Input<'_>, &mut Context<'_>) -> Result<(), Failure>;

struct By(Rule);

impl Processor for By {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        (self.0)(input, context)
    }
}

/// Sums amounts by key in windows of a minute.
struct Minutes(WindowedAggregate<i64>);

impl Processor for Minutes {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        let closed = match input {
            Input::Message(message) => {
                let subject = message.subject.as_deref().unwrap_or_default();
                let time_ms = message.decode::<serde_json::Value>()?["at"].as_i64().unwrap_or_default();
                self.0.observe(context, subject, time_ms, 1)?.closed
            }
            Input::Timer(timer) => self.0.on_timer(context, timer)?.unwrap_or_default(),
            Input::CallResult(_) => Vec::new(),
        };
        for window in closed {
            context.emit("out", "Closed", &window.key, &window.value);
        }
        Ok(())
    }
}

fn forward(input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
    if let Input::Message(message) = input {
        context.emit("out", "Seen", message.subject.as_deref().unwrap_or_default(), &1);
    }
    Ok(())
}

fn count(input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
    if let Input::Message(message) = input {
        let key = message.subject.as_deref().unwrap_or_default();
        let count = context.get::<u64>("counts", key)?.unwrap_or(0) + 1;
        context.put("counts", key, &count);
    }
    Ok(())
}

/// Keeps something the size of an order.
fn keep(input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
    if let Input::Message(message) = input {
        let key = message.subject.as_deref().unwrap_or_default();
        context.put("orders", key, &json!({ "status": "Placed", "item": "chicken", "quantity": 1, "address": "Seoul", "price": 18_000, "attempt": 1 }));
    }
    Ok(())
}

fn remind(input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
    match input {
        Input::Message(message) => context.set_timer("deadline", message.subject.as_deref().unwrap_or_default(), context.now_ms() + DEADLINE_MS)?,
        Input::Timer(timer) => {
            context.emit("out", "Fired", &timer.key, &json!({ "dueMs": timer.due_ms, "atMs": context.now_ms() }));
        }
        Input::CallResult(_) => {}
    }
    Ok(())
}

fn topology(stores: &[StoreSpec], logic: Arc<dyn Processor>) -> Topology {
    let processor = ProcessorSpec {
        name: "bench".into(),
        sources: vec![Source::commands("in", "key", Routing::Except(vec![]))],
        sinks: vec!["out".into()],
        journal: "bench-journal".into(),
        stores: stores.to_vec(),
        calls: Vec::new(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic,
    };
    Topology { application: "bench".into(), processors: vec![processor] }
}

fn simple(store: &str, rule: Rule) -> Topology {
    topology(&[store.into()], Arc::new(By(rule)))
}

fn log(topology: &Topology) -> MemoryLog {
    let log = MemoryLog::default();
    topology.topics().iter().for_each(|topic| log.create(topic, PARTITIONS));
    log
}

fn fill(log: &MemoryLog, records: u64, keys: u64) -> u64 {
    let mut bytes = 0;
    for number in 0..records {
        // Keys come in no order, as ids do.
        let key = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % keys;
        let value = json!({ "type": "Put", "key": format!("k-{key}"), "at": 1_767_225_600_000_u64 + number }).to_string();
        bytes += value.len() as u64;
        let partition = fluvio_streams::partitioner::partition_for(format!("k-{key}").as_bytes(), PARTITIONS);
        log.append("in", partition, 0, NewRecord::keyed(&format!("k-{key}"), value)).expect("the topic is there");
    }
    bytes
}

/// Remembers how far tasks are behind, and how long restoring took.
#[derive(Default)]
struct Watch {
    taken: Mutex<u64>,
    restored: Mutex<BTreeMap<u32, (u64, Duration)>>,
}

impl Watch {
    fn taken(&self) -> u64 {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RunCommitted { inputs, .. } => *self.taken.lock().unwrap_or_else(PoisonError::into_inner) += *inputs as u64,
            Event::Restored { task, records, took } => {
                self.restored.lock().unwrap_or_else(PoisonError::into_inner).insert(task.partition, (*records, *took));
            }
            _ => {}
        }
    }
}

fn stores(directory: &std::path::Path) -> Arc<FjallStores> {
    Arc::new(FjallStores::open(directory, StoreOptions::default()).expect("the store opens"))
}

/// Lets a topology take everything; returns how long that took.
async fn drain(topology: &Topology, log: &MemoryLog, directory: &std::path::Path, records: u64) -> Duration {
    let watch = Arc::new(Watch::default());
    let options = Options { observer: watch.clone(), ..Options::new(Arc::new(log.clone()), stores(directory), "bench") };
    let began = Instant::now();
    let runtime = Runtime::start(topology, options).await.expect("it starts");
    while watch.taken() < records {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    runtime.stop().await;
    took
}

async fn throughput() {
    const RECORDS: u64 = 500_000;
    for (name, topology) in topologies() {
        let (log, directory) = (log(&topology), tempfile::tempdir().expect("a temporary directory"));
        let bytes = fill(&log, RECORDS, 10_000);
        let took = drain(&topology, &log, directory.path(), RECORDS).await.as_secs_f64();
        println!("throughput {name:<10} {:>9.0} records/s {:>7.1} MB/s of input", RECORDS as f64 / took, bytes as f64 / took / 1e6);
    }
}

/// Returns the topologies that are measured, by name.
fn topologies() -> [(&'static str, Topology); 3] {
    let minutes = WindowedAggregate::new("minutes", Windows::tumbling(60_000), |left: i64, right: i64| left + right).expect("windows of a minute are possible");
    let windowed = topology(&minutes.stores(), Arc::new(Minutes(minutes)));
    [("stateless", simple("none", forward)), ("stateful", simple("counts", count)), ("windowed", windowed)]
}

/// How often a record makes the runtime allocate, the log in memory included; what the store does in threads of its own is not. On one thread, since the counter counts by threads. What a start
/// costs falls out: it is the difference between many records and twice as many.
fn allocations() {
    const RECORDS: u64 = 50_000;
    let counted = |topology: &Topology, records: u64| {
        let (log, directory) = (log(topology), tempfile::tempdir().expect("a temporary directory"));
        fill(&log, records, 10_000);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        allocation_counter::measure(|| {
            runtime.block_on(drain(topology, &log, directory.path(), records));
        })
    };
    for (name, topology) in topologies() {
        let [once, twice] = [1, 2].map(|times| counted(&topology, times * RECORDS));
        let each = |of: fn(&allocation_counter::AllocationInfo) -> u64| (of(&twice) as f64 - of(&once) as f64) / RECORDS as f64;
        println!("allocations {name:<10} {:>6.1} a record, {:>7.0} bytes", each(|info| info.count_total), each(|info| info.bytes_total));
    }
}

/// What a record costs when few and when many keys are alive.
async fn keys() {
    const RECORDS: u64 = 1_000_000;
    let mut costs = Vec::new();
    for keys in [10_000_u64, 10_000_000] {
        let topology = simple("orders", keep);
        let (warm, directory) = (log(&topology), tempfile::tempdir().expect("a temporary directory"));
        // First all keys once, in batches, so that the log does not hold all of it at once.
        let mut number = 0;
        while number < keys {
            let batch = (keys - number).min(500_000);
            for key in number..number + batch {
                let value = json!({ "type": "Put", "key": format!("k-{key}") }).to_string();
                let partition = fluvio_streams::partitioner::partition_for(format!("k-{key}").as_bytes(), PARTITIONS);
                warm.append("in", partition, 0, NewRecord::keyed(&format!("k-{key}"), value)).expect("the topic is there");
            }
            number += batch;
            drain(&topology, &warm, directory.path(), batch).await;
            for partition in 0..PARTITIONS {
                for topic in ["in", "bench-journal"] {
                    let end = warm.bounds(topic, partition).expect("the topic is there").end;
                    warm.expire(topic, partition, end - i64::from(topic == "bench-journal")).expect("the topic is there");
                }
            }
        }
        fill(&warm, RECORDS, keys);
        let took = drain(&topology, &warm, directory.path(), RECORDS).await;
        costs.push(took.as_secs_f64() / RECORDS as f64);
        println!("keys {keys:>9} alive: {:>6.2} us a record", took.as_secs_f64() * 1e6 / RECORDS as f64);
    }
    println!("keys: a record costs {:.2} times as much with 10 million keys as with 10 thousand", costs[1] / costs[0]);
}

/// How long a million live orders take to be ready on an empty disk, and after ten times the history.
async fn restore() {
    const ORDERS: u64 = 1_000_000;
    let topology = simple("orders", keep);
    let (log, directory) = (log(&topology), tempfile::tempdir().expect("a temporary directory"));
    for number in 0..ORDERS {
        // Each key once, in no order, as ids come.
        let key = number * 2_654_435_761 % ORDERS;
        let value = json!({ "type": "Put", "key": format!("k-{key}") }).to_string();
        let partition = fluvio_streams::partitioner::partition_for(format!("k-{key}").as_bytes(), PARTITIONS);
        log.append("in", partition, 0, NewRecord::keyed(&format!("k-{key}"), value)).expect("the topic is there");
    }
    drain(&topology, &log, directory.path(), ORDERS).await;
    let ready = async |what: &str, directory: &std::path::Path| {
        let watch = Arc::new(Watch::default());
        let options = Options { observer: watch.clone(), ..Options::new(Arc::new(log.clone()), stores(directory), "bench") };
        let began = Instant::now();
        let runtime = Runtime::start(&topology, options).await.expect("it starts");
        runtime.wait_running().await.expect("it runs");
        let took = began.elapsed();
        let records: u64 = watch.restored.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(records, _)| records).sum();
        println!("restore {what:<28} {:>6.2} s, {records} journal records", took.as_secs_f64());
        runtime.stop().await;
    };
    ready("with its own disk", directory.path()).await;
    ready("on an empty disk", tempfile::tempdir().expect("a temporary directory").path()).await;
    for _ in 0..9 {
        fill(&log, ORDERS, ORDERS);
        drain(&topology, &log, directory.path(), ORDERS).await;
    }
    ready("after ten times the history", tempfile::tempdir().expect("a temporary directory").path()).await;
}

/// By how much timers are late when a hundred thousand are pending.
async fn timers() {
    const TIMERS: u64 = 100_000;
    const PER_MS: u64 = 20;
    let topology = simple("none", remind);
    let (log, directory) = (log(&topology), tempfile::tempdir().expect("a temporary directory"));
    let options = Options::new(Arc::new(log.clone()), stores(directory.path()), "bench");
    let runtime = Runtime::start(&topology, options).await.expect("it starts");
    runtime.wait_running().await.expect("it runs");
    let began = Instant::now();
    let mut number = 0;
    while number < TIMERS {
        let wanted = (began.elapsed().as_millis() as u64 * PER_MS).min(TIMERS);
        for key in number..wanted {
            let key = format!("k-{key}");
            let partition = fluvio_streams::partitioner::partition_for(key.as_bytes(), PARTITIONS);
            let value = json!({ "type": "Put", "key": key }).to_string();
            log.append("in", partition, SystemClock.now_ms(), NewRecord::keyed(&key, value)).expect("the topic is there");
        }
        number = wanted;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let fired = || (0..PARTITIONS).map(|partition| log.bounds("out", partition).expect("the topic is there").end).sum::<i64>();
    while fired() < TIMERS as i64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut late: Vec<i64> = Vec::new();
    for partition in 0..PARTITIONS {
        for record in log.fetch("out", partition, 0, None, usize::MAX).expect("it can be read").records {
            let event: serde_json::Value = serde_json::from_slice(&record.value).expect("events are JSON");
            late.push(event["data"]["atMs"].as_i64().unwrap_or_default() - event["data"]["dueMs"].as_i64().unwrap_or_default());
        }
    }
    late.sort_unstable();
    let of = |percent: usize| late[(late.len() - 1) * percent / 100];
    println!("timers {} fired, {} a second: late by p50 {} ms, p99 {} ms, max {} ms", late.len(), PER_MS * 1_000, of(50), of(99), of(100));
    runtime.stop().await;
}

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("throughput") {
        throughput().await;
    }
    if is_wanted("allocations") {
        std::thread::spawn(allocations).join().expect("it counts to the end");
    }
    if is_wanted("restore") {
        restore().await;
    }
    if is_wanted("timers") {
        timers().await;
    }
    if is_wanted("keys") {
        keys().await;
    }
}
