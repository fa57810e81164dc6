//! The test driver: runs a whole topology without a broker, on a virtual clock, and kills it where you ask.
//!
//! It drives the production [`crate::task::Task`] over an in-memory log; only waiting is simulated. What you test here is what runs.
//!
//! ```
//! use std::sync::Arc;
//! use fluvio_streams::processor::{Context, Failure, Input, Processor};
//! use fluvio_streams::testing::TestDriver;
//! use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};
//!
//! struct Count;
//! impl Processor for Count {
//!     fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
//!         if let Input::Message(message) = input {
//!             let word = message.subject.clone().unwrap_or_default();
//!             let count = context.get::<u64>("counts", &word)?.unwrap_or(0) + 1;
//!             context.put("counts", &word, &count);
//!             context.emit("counts-events", "Counted", &word, &count);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let topology = Topology {
//!     application: "words".into(),
//!     processors: vec![ProcessorSpec {
//!         name: "count".into(),
//!         sources: vec![Source::commands("words", "word", Routing::Except(vec![]))],
//!         sinks: vec!["counts-events".into()],
//!         journal: "count-journal".into(),
//!         stores: vec!["counts".into()],
//!         calls: vec![],
//!         rejections: "rejections".into(),
//!         dead_letters: "dead-letters".into(),
//!         logic: Arc::new(Count),
//!     }],
//! };
//! let mut driver = TestDriver::new(topology, 2);
//! driver.pipe("words", "tea", r#"{"type":"Say","word":"tea"}"#);
//! driver.pipe("words", "tea", r#"{"type":"Say","word":"tea"}"#);
//! driver.run_until_idle();
//! assert_eq!(driver.state::<u64>("count", "counts", "tea"), Some(2));
//! ```

mod random;
mod slot;
mod upgrade;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use random::Random;
use slot::Slot;

use crate::log::memory::MemoryLog;
use crate::partitioner::partition_for;
use crate::processor::{Call, CallResult, Context};
use crate::record::NewRecord;
use crate::state::store::{MemoryStores, Stores};
use crate::task::SnapshotPolicy;
use crate::topology::Topology;

/// When the virtual clock begins: 2026-01-01T00:00:00Z.
pub const START_MS: i64 = 1_767_225_600_000;

/// What an outside system answers: after how long, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Delay on the virtual clock.
    pub after_ms: i64,
    /// JSON.
    pub response: String,
}

type Handler = Box<dyn FnMut(&Call) -> Option<Answer>>;

/// An event as an outside reader of a topic sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenEvent {
    /// Event type.
    pub kind: String,
    /// CloudEvents id.
    pub id: String,
    /// Aggregate id.
    pub subject: String,
    /// Correlation id.
    pub correlation: String,
    /// Trace and the span that wrote it.
    pub traceparent: String,
    /// Partition in which it stands.
    pub partition: u32,
    /// Payload.
    pub data: Value,
}

/// A topology on an in-memory log and a virtual clock.
pub struct TestDriver {
    topology: Topology,
    partitions: u32,
    log: MemoryLog,
    stores: MemoryStores,
    now_ms: i64,
    slots: Vec<Slot>,
    handler: Handler,
    /// Calls on their way: (due, slot, result).
    answers: Vec<(i64, usize, CallResult)>,
    /// Processors that do not run, by index.
    down: BTreeSet<usize>,
    crash_at: Option<u64>,
    steps: u64,
    crashes: u64,
    incarnations: u64,
    random: Option<Random>,
    snapshots: SnapshotPolicy,
}

impl TestDriver {
    /// Returns a driver of the topology with all its topics.
    ///
    /// # Panics
    /// If the topology cannot run.
    pub fn new(topology: Topology, partitions: u32) -> Self {
        topology.check().unwrap_or_else(|error| panic!("{error}"));
        let log = MemoryLog::default();
        for topic in topology.topics() {
            log.create(&topic, partitions);
        }
        let slots = (0..topology.processors.len()).flat_map(|processor| (0..partitions).map(move |partition| Slot::new(processor, partition))).collect();
        Self {
            topology,
            partitions,
            log,
            stores: MemoryStores::default(),
            now_ms: START_MS,
            slots,
            handler: Box::new(|_| None),
            answers: Vec::new(),
            down: BTreeSet::new(),
            crash_at: None,
            steps: 0,
            crashes: 0,
            incarnations: 0,
            random: None,
            // Small ones, and many: whatever a test is about, it is also about these.
            snapshots: SnapshotPolicy { bytes_min: 2_048, part_bytes: 256, ..SnapshotPolicy::default() },
        }
    }

    /// Answers calls to outside systems with `handler`; `None` is silence for ever. It must give the same call id the same answer, as a real provider must.
    pub fn with_calls(mut self, handler: impl FnMut(&Call) -> Option<Answer> + 'static) -> Self {
        self.handler = Box::new(handler);
        self
    }

    /// Writes snapshots by another policy.
    pub fn with_snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.snapshots = policy;
        self
    }

    /// Lets a seed decide in which order tasks act, how much they take at once, and when effects are sent twice. The same seed gives the same run.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = Some(Random::new(seed));
        self
    }

    /// Kills the task that comes to the `step`th crash point (from 1): it loses its memory, keeps its store, and is started again.
    pub fn crash_at(&mut self, step: u64) {
        self.crash_at = Some(step);
    }

    /// Returns how many crash points have been passed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns how many tasks were killed or stopped themselves.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Returns the virtual time, ms since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Returns the log, for tests that look at or write raw records.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// Produces a record as a program outside would: to the partition of its key.
    pub fn pipe(&mut self, topic: &str, key: &str, value: &str) {
        self.pipe_to(topic, partition_for(key.as_bytes(), self.partitions), Some(key.as_bytes()), value.as_bytes());
    }

    /// Produces any bytes to a given partition.
    ///
    /// # Panics
    /// If there is no such topic or partition.
    pub fn pipe_to(&mut self, topic: &str, partition: u32, key: Option<&[u8]>, value: &[u8]) {
        let record = NewRecord { key: key.map(bytes::Bytes::copy_from_slice), value: bytes::Bytes::copy_from_slice(value) };
        self.log.append(topic, partition, self.now_ms, record).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets every task work until there is nothing to do at this time.
    ///
    /// # Panics
    /// If the topology does not come to rest.
    pub fn run_until_idle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.round() {
                return;
            }
        }
        panic!("the topology does not come to rest");
    }

    /// Lets every task act once; returns false if none had anything to do.
    pub fn turn(&mut self) -> bool {
        self.round()
    }

    /// Moves the clock forward, stopping at every timer and answer on the way.
    pub fn advance(&mut self, by_ms: i64) {
        let target = self.now_ms + by_ms;
        self.run_until_idle();
        while let Some(due) = self.next_due_ms().filter(|due| *due <= target) {
            self.now_ms = self.now_ms.max(due);
            self.run_until_idle();
        }
        self.now_ms = target;
        self.run_until_idle();
    }

    /// Returns when the next timer or answer is due.
    pub fn next_due_ms(&self) -> Option<i64> {
        let timers = self.slots.iter().filter_map(Slot::next_timer_due_ms);
        timers.chain(self.answers.iter().map(|(due, _, _)| *due)).min()
    }

    /// Kills a task between two inputs; its store stays.
    pub fn kill(&mut self, processor: &str, partition: u32) {
        let index = self.slot(processor, partition);
        self.stop(index);
    }

    /// Kills a task and deletes its local store: it must come back from its journal.
    ///
    /// # Panics
    /// If the store fails.
    pub fn kill_and_lose_store(&mut self, processor: &str, partition: u32) {
        let index = self.slot(processor, partition);
        self.stop(index);
        let name = self.slots[index].store_name(&self.topology);
        self.stores.open(&name).and_then(|mut store| store.clear()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Takes a processor down: its tasks lose their memory and do not run before [`TestDriver::bring_up`].
    pub fn take_down(&mut self, processor: &str) {
        let processor = self.processor(processor);
        self.down.insert(processor);
        for index in 0..self.slots.len() {
            if self.slots[index].processor == processor {
                self.halt(index);
            }
        }
    }

    /// Lets a processor run that was taken down: it catches up.
    pub fn bring_up(&mut self, processor: &str) {
        let processor = self.processor(processor);
        self.down.remove(&processor);
    }

    /// Starts a second owner of a task on another machine (an empty store), while the first one believes that it still owns it.
    pub fn usurp(&mut self, processor: &str, partition: u32) {
        let index = self.slot(processor, partition);
        let zombie = self.slots[index].usurp();
        self.slots.push(zombie);
    }

    /// Returns all events of a topic, repeats included, partition by partition.
    ///
    /// # Panics
    /// If a record is not an event.
    pub fn events(&self, topic: &str) -> Vec<SeenEvent> {
        let mut events = Vec::new();
        for partition in 0..self.partitions {
            let fetched = self.log.fetch(topic, partition, 0, None, usize::MAX).unwrap_or_else(|error| panic!("{error}"));
            events.extend(fetched.records.iter().map(|record| seen(partition, &record.value)));
        }
        events
    }

    /// Returns the events of a topic without repeats (same CloudEvents id), as a careful reader sees them.
    pub fn distinct_events(&self, topic: &str) -> Vec<SeenEvent> {
        let mut ids = BTreeSet::new();
        self.events(topic).into_iter().filter(|event| ids.insert(event.id.clone())).collect()
    }

    /// Returns the kinds of the distinct events about `subject`, in order.
    pub fn kinds(&self, topic: &str, subject: &str) -> Vec<String> {
        self.distinct_events(topic).into_iter().filter(|event| event.subject == subject).map(|event| event.kind).collect()
    }

    /// Returns a value of a processor's state, from the partition that owns the key.
    ///
    /// # Panics
    /// If the entry does not decode.
    pub fn state<T: DeserializeOwned>(&self, processor: &str, store: &str, key: &str) -> Option<T> {
        let partition = partition_for(key.as_bytes(), self.partitions);
        self.with_context(processor, partition, |context| context.get(store, key).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Returns a total of a processor, summed over its tasks.
    ///
    /// # Panics
    /// If the store fails.
    pub fn total(&self, processor: &str, name: &str) -> i64 {
        let of = |partition| self.with_context(processor, partition, |context| context.total(name).unwrap_or_else(|error| panic!("{error}")));
        (0..self.partitions).map(of).sum()
    }

    /// Gives a look at a task's committed state.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn with_context<T>(&self, processor: &str, partition: u32, look: impl FnOnce(&Context<'_>) -> T) -> T {
        let slot = &self.slots[self.slot(processor, partition)];
        let store = self.stores.open(&slot.store_name(&self.topology)).unwrap_or_else(|error| panic!("{error}"));
        look(&Context::new(&*store, self.now_ms, partition, self.partitions, "test".to_owned()).with_stores(&self.topology.processors[slot.processor].stores))
    }

    fn processor(&self, name: &str) -> usize {
        self.topology.processors.iter().position(|spec| spec.name == name).unwrap_or_else(|| panic!("no processor `{name}`"))
    }

    fn slot(&self, processor: &str, partition: u32) -> usize {
        let is_it = |slot: &Slot| self.topology.processors[slot.processor].name == processor && slot.partition == partition && !slot.is_zombie;
        self.slots.iter().position(is_it).unwrap_or_else(|| panic!("no task `{processor}` {partition}"))
    }

    /// Lets every task act once; returns false if none had anything to do.
    fn round(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        if let Some(random) = &mut self.random {
            random.shuffle(&mut order);
        }
        let mut busy = false;
        for index in order {
            busy |= self.act(index);
        }
        busy
    }

    /// A place where the power may fail. Returns true if it did.
    fn crash_point(&mut self, index: usize) -> bool {
        self.steps += 1;
        if self.crash_at != Some(self.steps) {
            return false;
        }
        self.stop(index);
        true
    }

    fn stop(&mut self, index: usize) {
        self.crashes += 1;
        self.halt(index);
    }

    fn halt(&mut self, index: usize) {
        self.slots[index].lose_memory();
        self.answers.retain(|(_, slot, _)| *slot != index);
    }
}

fn seen(partition: u32, value: &[u8]) -> SeenEvent {
    let event: Value = serde_json::from_slice(value).unwrap_or_else(|error| panic!("record is an event: {error}"));
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    SeenEvent {
        kind: text("type"),
        id: text("id"),
        subject: text("subject"),
        correlation: text("correlationid"),
        traceparent: text("traceparent"),
        partition,
        data: event["data"].clone(),
    }
}
