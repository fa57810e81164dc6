//! The checker's own reading of all topics, as they become visible to readers: what counts, what it means, and whether the laws hold.
//!
//! It reads a journal by the rule as `design.md` states it: the transactions of the fence in force at their place whose sequence number directly follows the last valid one.

use std::collections::{BTreeMap, BTreeSet};

use fluvio_streams::envelope::{self, Provenance};
use fluvio_streams::journal::{JournalRecord, RestorePoint, Transaction};
use fluvio_streams::processor::Call;
use fluvio_streams::state::keys;
use fluvio_streams::topology::Topology;

use crate::broker::{Broker, Place, Stored};
use crate::disk::{Entries, apply};
use crate::invariants::{Law, Violation};
use crate::limits::PARTITIONS;

/// An effect of a transaction that counts.
struct Effect {
    place: Place,
    value: Vec<u8>,
}

/// A transaction that counts.
struct Valid {
    offset: i64,
    epoch: u64,
    effects: Vec<Effect>,
}

/// The effects of one sender to one partition.
#[derive(Default)]
struct Route {
    order: Vec<(u64, u32)>,
    /// How many of them stand there.
    arrived: usize,
}

/// What the topics say about one task.
pub(crate) struct Reading {
    pub(crate) processor: usize,
    pub(crate) partition: u32,
    pub(crate) journal: Place,
    pub(crate) sources: Vec<Place>,
    /// Fence in force.
    pub(crate) owner: String,
    epoch: u64,
    valid: Vec<Valid>,
    /// What the valid transactions make.
    pub(crate) state: Entries,
    /// Newest restore point that any record names.
    pub(crate) restore_point: Option<RestorePoint>,
    /// By source: what was a cause, and what should be.
    taken: Vec<Vec<i64>>,
    expected: Vec<Vec<i64>>,
    agreed: Vec<usize>,
    /// By source and sender: the newest effect that was expected.
    newest: BTreeMap<(usize, usize), (u64, u32)>,
    routes: BTreeMap<Place, Route>,
    timers: BTreeSet<Vec<u8>>,
    time_ms: i64,
    /// With them whether they were answered.
    calls: BTreeMap<String, (Call, bool)>,
}

/// The checker.
pub(crate) struct Oracle {
    topology: Topology,
    pub(crate) tasks: Vec<Reading>,
    /// Topics are read one after the other, not as they grew.
    is_reread: bool,
}

impl Oracle {
    pub(crate) fn new(topology: Topology) -> Self {
        let tasks = (0..topology.processors.len()).flat_map(|processor| (0..PARTITIONS).map(move |partition| (processor, partition)));
        let tasks = tasks.map(|(processor, partition)| Reading::new(&topology, processor, partition)).collect();
        Self { topology, tasks, is_reread: false }
    }

    /// Reads everything anew, and checks all but the order of causes, which [`Oracle::agree`] does.
    pub(crate) fn reread(topology: Topology, broker: &Broker) -> Result<Self, Violation> {
        let mut oracle = Self { is_reread: true, ..Self::new(topology) };
        // Journals first: what an effect should be stands there.
        for place in Place::all().filter(|place| place.is_journal()).chain(Place::all().filter(|place| !place.is_journal())) {
            for offset in 0..broker.offsets(place).1 {
                oracle.take(broker, place, offset)?;
            }
        }
        Ok(oracle)
    }

    /// Returns the owner of each task by its journal.
    pub(crate) fn reread_owners(topology: Topology, broker: &Broker) -> Vec<String> {
        let mut oracle = Self::new(topology);
        let read = |task: usize, oracle: &mut Self| {
            let journal = oracle.tasks[task].journal;
            for offset in 0..broker.offsets(journal).1 {
                if let Ok(JournalRecord::Fence(fence)) = JournalRecord::decode(&broker.archived(journal, offset).value)
                    && fence.epoch > oracle.tasks[task].epoch
                {
                    (oracle.tasks[task].owner, oracle.tasks[task].epoch) = (fence.owner, fence.epoch);
                }
            }
        };
        (0..oracle.tasks.len()).for_each(|task| read(task, &mut oracle));
        oracle.tasks.into_iter().map(|task| task.owner).collect()
    }

    fn sender(&self, provenance: &Provenance) -> Option<usize> {
        let is_it = |task: &Reading| self.topology.processors[task.processor].journal == provenance.journal && task.partition == provenance.partition;
        self.tasks.iter().position(is_it)
    }

    /// Checks a record at the moment at which it lands in a topic that is no journal.
    pub(crate) fn landed(&self, place: Place, stored: &Stored) -> Result<(), Violation> {
        let Some(provenance) = &stored.label.provenance else { return Ok(()) };
        let of = || format!("{} in {place}", provenance.render());
        let void = |why: &str| Violation::new(Law::NothingVoidLeaves, format!("{} {why}", of()));
        let task = self.sender(provenance).ok_or_else(|| void("has no sender"))?;
        let valid = (provenance.sequence as usize).checked_sub(1).and_then(|index| self.tasks[task].valid.get(index));
        let valid = valid.filter(|valid| valid.epoch == provenance.epoch).ok_or_else(|| void("is of a transaction that does not count"))?;
        let effect = valid.effects.get(provenance.index as usize).ok_or_else(|| void("is an effect that its transaction does not have"))?;
        match effect.place == place && effect.value == stored.value {
            true => Ok(()),
            false => Err(void("differs from what its transaction says")),
        }
    }

    /// Checks a call at the moment at which it reaches the provider.
    pub(crate) fn called(&self, task: usize, call: &Call) -> Result<(), Violation> {
        match self.tasks[task].calls.get(&call.id) {
            Some((journaled, _)) if journaled == call => Ok(()),
            _ => Err(Violation::new(Law::CallIsJournaled, format!("call {} of task {task}", call.id))),
        }
    }

    /// Checks what an owner takes for committed, and returns its epoch.
    pub(crate) fn committed(&self, task: usize, offset: i64) -> Result<u64, Violation> {
        match self.tasks[task].valid.iter().rev().find(|valid| valid.offset == offset) {
            Some(valid) => Ok(valid.epoch),
            None => Err(Violation::new(Law::CommittedIsValid, format!("{} at {offset} is void", self.tasks[task].journal))),
        }
    }

    /// Returns the state that the journal of a task says up to and with `offset`.
    pub(crate) fn state_at(&self, broker: &Broker, task: usize, offset: i64) -> Entries {
        let reading = &self.tasks[task];
        if reading.valid.last().is_none_or(|last| last.offset <= offset) {
            return reading.state.clone();
        }
        let mut entries = Entries::new();
        for valid in reading.valid.iter().take_while(|valid| valid.offset <= offset) {
            if let Ok(JournalRecord::Transaction(transaction)) = JournalRecord::decode(&broker.archived(reading.journal, valid.offset).value) {
                apply(&mut entries, &transaction.changes);
            }
        }
        entries
    }

    /// Takes records that readers see from now on.
    pub(crate) fn shown(&mut self, broker: &Broker, place: Place, offsets: std::ops::Range<i64>) -> Result<(), Violation> {
        for offset in offsets {
            self.take(broker, place, offset)?;
        }
        if place.is_journal() {
            let task = self.tasks.iter_mut().find(|task| task.journal == place);
            task.map_or(Ok(()), |task| task.agree(false))?;
        }
        Ok(())
    }

    /// Checks that what was taken is what should be: all of it, at the end.
    pub(crate) fn agree(&mut self) -> Result<(), Violation> {
        self.tasks.iter_mut().try_for_each(|task| task.agree(true))
    }

    fn take(&mut self, broker: &Broker, place: Place, offset: i64) -> Result<(), Violation> {
        let stored = broker.archived(place, offset);
        if place.is_journal() {
            let Some(task) = self.tasks.iter().position(|task| task.journal == place) else { return Ok(()) };
            return self.take_journal(task, offset, &stored.value);
        }
        let sender = stored.label.provenance.as_ref().and_then(|provenance| Some((self.sender(provenance)?, provenance)));
        if let Some((sender, provenance)) = sender.filter(|_| !self.is_reread) {
            self.landed(place, stored)?;
            self.tasks[sender].arrived(place, (provenance.sequence, provenance.index))?;
        }
        let sender = sender.map(|(task, provenance)| (task, (provenance.sequence, provenance.index)));
        let Self { topology, tasks, .. } = self;
        let mut is_taken = false;
        for task in tasks {
            let Some(source) = task.sources.iter().position(|source| *source == place) else { continue };
            let routing = &topology.processors[task.processor].sources[source].routing;
            if routing.passes(stored.label.kind.as_deref()) {
                is_taken |= task.expect(source, offset, sender);
            }
        }
        // After a loss, what stands somewhere and nobody takes does no harm that the runtime could prevent.
        if is_taken && self.is_reread { self.landed(place, stored) } else { Ok(()) }
    }

    fn take_journal(&mut self, task: usize, offset: i64, bytes: &[u8]) -> Result<(), Violation> {
        let reading = &mut self.tasks[task];
        match JournalRecord::decode(bytes) {
            Ok(JournalRecord::Fence(fence)) => {
                reading.hear(fence.restore_point);
                if fence.epoch > reading.epoch {
                    (reading.owner, reading.epoch) = (fence.owner, fence.epoch);
                }
            }
            Ok(JournalRecord::Transaction(transaction)) => {
                reading.hear(transaction.restore_point);
                let is_valid =
                    transaction.owner == reading.owner && transaction.epoch == reading.epoch && transaction.sequence == reading.valid.len() as u64 + 1;
                if is_valid {
                    if !self.is_reread {
                        reading.check_watermark(transaction.sent)?;
                    }
                    reading.take_transaction(&self.topology, offset, &transaction)?;
                }
            }
            Err(error) => return Err(Violation::new(Law::NoFalseAlarm, format!("{} at {offset}: {error}", reading.journal))),
        }
        Ok(())
    }

    /// Checks what must hold of a task's effects, calls and timers when everything has come to rest.
    pub(crate) fn rest(&self) -> Result<(), Violation> {
        for task in &self.tasks {
            for (place, route) in task.routes.iter().filter(|_| !self.is_reread) {
                if route.arrived < route.order.len() {
                    let detail = format!("{} of {} effects of {} reached {place}", route.arrived, route.order.len(), task.journal);
                    return Err(Violation::new(Law::EffectsInOrder, detail));
                }
            }
            if let Some((id, _)) = task.calls.iter().find(|(_, (_, is_answered))| !is_answered) {
                return Err(Violation::new(Law::AnswerOnce, format!("call {id} was never answered")));
            }
            if !task.timers.is_empty() {
                return Err(Violation::new(Law::TimerOnce, format!("{} timers of {} never fired", task.timers.len(), task.journal)));
            }
        }
        Ok(())
    }
}

impl Reading {
    fn new(topology: &Topology, processor: usize, partition: u32) -> Self {
        let spec = &topology.processors[processor];
        let sources: Vec<Place> = spec.sources.iter().map(|source| Place::of(&source.topic, partition)).collect();
        let count = sources.len();
        Self {
            processor,
            partition,
            journal: Place::of(&spec.journal, partition),
            sources,
            owner: String::new(),
            epoch: 0,
            valid: Vec::new(),
            state: Entries::new(),
            restore_point: None,
            taken: vec![Vec::new(); count],
            expected: vec![Vec::new(); count],
            agreed: vec![0; count],
            newest: BTreeMap::new(),
            routes: BTreeMap::new(),
            timers: BTreeSet::new(),
            time_ms: i64::MIN,
            calls: BTreeMap::new(),
        }
    }

    fn hear(&mut self, point: Option<RestorePoint>) {
        if point.is_some_and(|point| self.restore_point.is_none_or(|known| known.offset < point.offset)) {
            self.restore_point = point;
        }
    }

    /// A record of a source: what is new of its sender must be taken, and what has none. Returns true for these.
    fn expect(&mut self, source: usize, offset: i64, sender: Option<(usize, (u64, u32))>) -> bool {
        if let Some((sender, effect)) = sender {
            let newest = self.newest.entry((source, sender)).or_default();
            if effect <= *newest {
                return false;
            }
            *newest = effect;
        }
        self.expected[source].push(offset);
        true
    }

    fn agree(&mut self, is_all: bool) -> Result<(), Violation> {
        for (source, place) in self.sources.iter().enumerate() {
            let (taken, expected, agreed) = (&self.taken[source], &self.expected[source], &mut self.agreed[source]);
            let broken = |detail| Err(Violation::new(Law::InputOnce, format!("{} from {place}: {detail}", self.journal)));
            while let Some(offset) = taken.get(*agreed) {
                match expected.get(*agreed) {
                    Some(next) if next == offset => *agreed += 1,
                    next => return broken(format!("{offset} was taken where {next:?} was next")),
                }
            }
            if is_all && *agreed < expected.len() {
                return broken(format!("{} was never taken", expected[*agreed]));
            }
        }
        Ok(())
    }

    /// An effect of this task stands in a partition.
    fn arrived(&mut self, place: Place, effect: (u64, u32)) -> Result<(), Violation> {
        let route = self.routes.entry(place).or_default();
        if route.order[..route.arrived].last().is_some_and(|last| effect <= *last) {
            return Ok(());
        }
        match route.order.get(route.arrived) {
            Some(next) if *next == effect => {
                route.arrived += 1;
                Ok(())
            }
            next => Err(Violation::new(Law::EffectsInOrder, format!("{} to {place}: {effect:?} came where {next:?} was next", self.journal))),
        }
    }

    fn check_watermark(&self, sent: u64) -> Result<(), Violation> {
        let is_missing = |route: &Route| route.order.get(route.arrived).is_some_and(|(sequence, _)| *sequence <= sent);
        match self.routes.iter().find(|(_, route)| is_missing(route)) {
            None => Ok(()),
            Some((place, route)) => {
                let detail = format!("{} says {sent} are sent, {place} has {} effects", self.journal, route.arrived);
                Err(Violation::new(Law::WatermarkIsTrue, detail))
            }
        }
    }

    fn take_transaction(&mut self, topology: &Topology, offset: i64, transaction: &Transaction) -> Result<(), Violation> {
        if transaction.time_ms < self.time_ms {
            let detail = format!("{} at {offset}: {} after {}", self.journal, transaction.time_ms, self.time_ms);
            return Err(Violation::new(Law::TimeForward, detail));
        }
        self.time_ms = transaction.time_ms;
        for cause in &transaction.causes {
            self.take_cause(cause, transaction)?;
        }
        for (key, value) in transaction.kept.iter().flat_map(|kept| &kept.entries) {
            if self.state.get(key) != Some(value) {
                let detail = format!("{} at {offset} keeps {}", self.journal, String::from_utf8_lossy(key));
                return Err(Violation::new(Law::SnapshotIsState, detail));
            }
        }
        for (key, value) in &transaction.changes {
            match (key.first(), value) {
                (Some(b't'), Some(_)) => drop(self.timers.insert(key.clone())),
                (Some(b't'), None) => drop(self.timers.remove(key)),
                (Some(b'c'), Some(bytes)) => {
                    let call: Call = serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("call reads: {error}"));
                    self.calls.insert(call.id.clone(), (call, false));
                }
                _ => {}
            }
        }
        apply(&mut self.state, &transaction.changes);
        let effects = self.render(topology, transaction);
        for (index, effect) in (0u32..).zip(&effects) {
            self.routes.entry(effect.place).or_default().order.push((transaction.sequence, index));
        }
        self.valid.push(Valid { offset, epoch: transaction.epoch, effects });
        Ok(())
    }

    fn take_cause(&mut self, cause: &str, transaction: &Transaction) -> Result<(), Violation> {
        if let Some(timer) = cause.strip_prefix("timer:") {
            let (name, rest) = timer.split_once('/').unwrap_or_default();
            let (key, due_ms) = rest.rsplit_once('/').unwrap_or_default();
            let due_ms: i64 = due_ms.parse().unwrap_or(i64::MAX);
            if !self.timers.remove(&keys::timer(due_ms, name, key)) {
                return Err(Violation::new(Law::TimerOnce, format!("{timer} fired in {} and is not set", self.journal)));
            }
            if transaction.time_ms < due_ms {
                return Err(Violation::new(Law::TimerNotEarly, format!("{timer} fired at {}", transaction.time_ms)));
            }
            return Ok(());
        }
        if let Some(id) = cause.strip_prefix("call:") {
            return match self.calls.get_mut(id) {
                Some((_, is_answered)) if !*is_answered => {
                    *is_answered = true;
                    Ok(())
                }
                _ => Err(Violation::new(Law::AnswerOnce, format!("the answer of {id} was taken in {} and nobody waits for it", self.journal))),
            };
        }
        let (topic, offset) = cause.split_once('/').and_then(|(topic, rest)| Some((topic, rest.split_once('/')?.1.parse().ok()?))).unwrap_or_default();
        let place = Place::of(topic, self.partition);
        let source = self.sources.iter().position(|source| *source == place);
        let source = source.ok_or_else(|| Violation::new(Law::InputOnce, format!("{cause} is no source of {}", self.journal)))?;
        self.taken[source].push(offset);
        Ok(())
    }

    fn render(&self, topology: &Topology, transaction: &Transaction) -> Vec<Effect> {
        let spec = &topology.processors[self.processor];
        let source = format!("/{}/{}/{}", topology.application, spec.name, self.partition);
        let render = |(index, effect): (u32, &fluvio_streams::processor::Effect)| {
            let provenance =
                Provenance { journal: spec.journal.clone(), partition: self.partition, epoch: transaction.epoch, sequence: transaction.sequence, index };
            let value = envelope::render(&effect.event, &provenance, &source, transaction.time_ms).unwrap_or_else(|error| panic!("effect renders: {error}"));
            Effect { place: Place::of(&effect.topic, effect.partition), value }
        };
        (0u32..).zip(&transaction.effects).map(render).collect()
    }
}
