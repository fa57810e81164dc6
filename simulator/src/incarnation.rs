//! One incarnation of a task on one instance: the production machine, and around it what the asynchronous runner does, one action at a time.
//!
//! It stands for these lines of production, action by action, so that a crash may come between any two:
//! - [`Incarnation::take_over`]: `runtime/incarnation.rs`, `take_over` and `look_for_restore_point`: offsets, restore point, replay, fence, replay up to it, own.
//! - [`Incarnation::work`]: `Running::run`, `gather`, `transact`, `commit`, `dispatch`: acknowledgements first, then timers, answers, records; one transaction at a time.
//! - [`Incarnation::pump`]: `runtime/source.rs`: reads ahead of the task; an offset that is gone ends the incarnation. The order among sources (`runtime/inbox.rs`) is any order here.
//! - [`Incarnation::send`]: `runtime/sender.rs`: strictly in order per target, one append at a time; on an error all of the batch stays first in the queue.
//! - [`Incarnation::call`]: `runtime/calls.rs`: a call stays pending until its answer is an input; a handler tries again under the same id.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use fluvio_streams::assignment::Duty;
use fluvio_streams::journal::{Fold, JournalRecord};
use fluvio_streams::processor::{Call, CallResult};
use fluvio_streams::record::{LogRecord, NewRecord};
use fluvio_streams::state::keys;
use fluvio_streams::task::{Committed, Outgoing, SnapshotPolicy, Stop, Task, Work};

use crate::broker::Place;
use crate::bug::Bug;
use crate::disk::Disk;
use crate::invariants::{Law, Violation};
use crate::limits::{FETCH_RECORDS_MAX, PARTITIONS, RUN_INPUTS_MAX};
use crate::network::Cargo;
use crate::world::World;

/// Why an incarnation ends.
pub(crate) enum End {
    /// The machine says so.
    Stop(Stop),
    /// The log does: an append whose fate is not known, an offset that is gone.
    Log(&'static str),
    /// A law is broken, and with it the run.
    Broken(Violation),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opened,
    Replaying { next: i64, end: i64 },
    Fencing { next: i64, parcel: u64 },
    ReadingToFence { next: i64, fence: i64 },
    Running,
    Committing { parcel: u64 },
    Acknowledged { landed: i64 },
}

#[derive(Default)]
struct Pump {
    next_offset: i64,
    arrived: VecDeque<LogRecord>,
}

/// Effects for one target, and how many of them are in flight as which message.
#[derive(Default)]
struct Sender {
    queue: VecDeque<Outgoing>,
    flight: Option<(u64, usize)>,
}

/// One incarnation.
pub(crate) struct Incarnation {
    pub(crate) serial: u64,
    pub(crate) instance: usize,
    /// Index of the task.
    pub(crate) task: usize,
    pub(crate) owner: String,
    journal: Place,
    sources: Vec<Place>,
    machine: Task,
    disk: Disk,
    /// It began on an empty disk.
    is_restored: bool,
    stage: Stage,
    /// Where the next transaction must land.
    expected: i64,
    pumps: Vec<Pump>,
    senders: BTreeMap<Place, Sender>,
    /// Effects that were acknowledged and the machine has not heard of.
    sent: VecDeque<(u64, usize)>,
    calls: VecDeque<Call>,
    calling: BTreeMap<u64, Call>,
    answers: VecDeque<CallResult>,
    work: VecDeque<Work>,
    /// The latest time that its clock has shown.
    clock_max_ms: i64,
    /// A reader has left out a record.
    pub(crate) was_misled: bool,
    follows: bool,
    /// For [`Bug::IgnoreFence`].
    reader: Fold,
}

impl Incarnation {
    pub(crate) fn open(world: &mut World, instance: usize, task: usize) -> Result<Self, Stop> {
        let reading = &world.oracle.tasks[task];
        let spec = world.topology.processors[reading.processor].clone();
        world.serials += 1;
        let serial = world.serials;
        let mut owner = format!("instance-{instance}#{serial}");
        if world.bug == Some(Bug::SkipFence) && !reading.owner.is_empty() {
            owner.clone_from(&reading.owner);
        }
        let disk = world.disk(instance, task);
        let policy = SnapshotPolicy { bytes_min: world.plan.snapshot_bytes_min, part_bytes: world.plan.snapshot_part_bytes, ..SnapshotPolicy::default() };
        let machine = Task::open(&world.topology.application, spec, reading.partition, PARTITIONS, owner.clone(), Box::new(disk.clone()))?;
        Ok(Self {
            serial,
            instance,
            task,
            owner,
            journal: reading.journal,
            sources: reading.sources.clone(),
            machine: machine.with_snapshots(policy),
            is_restored: disk.entries().is_empty(),
            disk,
            stage: Stage::Opened,
            expected: 0,
            pumps: Vec::new(),
            senders: BTreeMap::new(),
            sent: VecDeque::new(),
            calls: VecDeque::new(),
            calling: BTreeMap::new(),
            answers: VecDeque::new(),
            work: VecDeque::new(),
            clock_max_ms: i64::MIN,
            was_misled: false,
            follows: false,
            reader: Fold::default(),
        })
    }

    /// Does one of the things that it may do next. `false`: nothing is to be done there.
    pub(crate) fn act(&mut self, world: &mut World) -> Result<bool, End> {
        if !self.is_running() {
            return self.take_over(world);
        }
        let choices = 2 + self.pumps.len() + self.senders.len();
        let choice = world.random.below(choices as u64 + 1) as usize;
        self.choose(choice, world)
    }

    /// Does everything that it may do next.
    pub(crate) fn act_on_all(&mut self, world: &mut World) -> Result<bool, End> {
        if !self.is_running() {
            return self.take_over(world);
        }
        let mut is_busy = false;
        for choice in 0..2 + self.pumps.len() + self.senders.len() {
            is_busy |= self.choose(choice, world)?;
        }
        Ok(is_busy)
    }

    fn choose(&mut self, choice: usize, world: &mut World) -> Result<bool, End> {
        let pumps = self.pumps.len();
        match choice {
            0 => self.work(world),
            1 => Ok(self.call(world)),
            pump if pump - 2 < pumps => self.pump(pump - 2, world),
            sender => match self.senders.keys().nth(sender - 2 - pumps).copied() {
                Some(target) => Ok(self.send(target, world)),
                // Twice as likely as the others: most of what can go wrong begins here.
                None => self.work(world),
            },
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Committing { .. } | Stage::Acknowledged { .. })
    }

    fn take_over(&mut self, world: &mut World) -> Result<bool, End> {
        match self.stage {
            Stage::Opened => {
                let (start, end) = world.broker.offsets(self.journal);
                if let Some(from) = self.machine.restore_point_from(start, end) {
                    let records = world.broker.fetch(self.journal, from, None, u64::MAX >> 1).ok_or(End::Log("offset is gone"))?;
                    records.iter().filter(|record| record.offset < end).for_each(|record| self.machine.hear_of_restore_point(&record.value));
                }
                let next = self.machine.replay_from(start, end)?;
                if start > 0 {
                    world.count("restored from what retention left");
                }
                if next > 0 && self.is_restored {
                    world.count("restored from the middle of a journal");
                }
                self.stage = Stage::Replaying { next, end };
            }
            Stage::Replaying { next, end } if next >= end => {
                if self.keeps_following(world) {
                    let read = self.replay(next, i64::MAX, world)?;
                    self.stage = Stage::Replaying { next: read, end };
                    return Ok(read > next);
                }
                if world.bug == Some(Bug::SkipFence) && world.oracle.tasks[self.task].owner == self.owner {
                    return self.own(next, world);
                }
                self.machine.check_compatible()?;
                let fence = self.machine.fence(world.now_ms(self.instance));
                let parcel = self.append(self.journal, vec![NewRecord { key: None, value: fence.into() }], world);
                self.stage = Stage::Fencing { next, parcel };
            }
            Stage::Replaying { next, end } => {
                let next = self.replay(next, i64::MAX, world)?;
                self.stage = Stage::Replaying { next, end };
            }
            Stage::ReadingToFence { next, fence } if next > fence => return self.own(next, world),
            Stage::ReadingToFence { next, fence } => {
                // What was acknowledged is seen by every reader: production looks after a while, and this is what it then finds.
                let (_, end) = world.broker.offsets(self.journal);
                if end <= fence {
                    return Err(End::Stop(Stop::FenceLost { fence, end }));
                }
                let read = self.replay(next, fence, world)?;
                self.stage = Stage::ReadingToFence { next: read, fence };
                return Ok(read > next);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns true for a standby: it follows the journal until the task is given to it.
    fn keeps_following(&mut self, world: &mut World) -> bool {
        let follows = world.duty(self.instance, self.task) != Duty::Owner;
        if follows && !self.follows {
            world.count("journal followed");
        }
        self.follows = follows;
        follows
    }

    /// Returns true if it follows a journal to its end.
    pub(crate) fn follows(&self) -> bool {
        self.follows && !self.is_running()
    }

    /// Returns true unless an append is in flight, for which production waits a while.
    pub(crate) fn can_leave(&self) -> bool {
        !matches!(self.stage, Stage::Committing { .. } | Stage::Acknowledged { .. })
    }

    /// Replays some records up to and with `last`, and returns the next offset.
    fn replay(&mut self, next: i64, last: i64, world: &mut World) -> Result<i64, End> {
        let limit = 1 + world.random.below(4 * FETCH_RECORDS_MAX);
        let records = world.broker.fetch(self.journal, next, None, limit).ok_or(End::Log("offset is gone"))?;
        let mut next = next;
        for record in records.iter().take_while(|record| record.offset <= last) {
            match world.bug {
                Some(Bug::IgnoreFence) => {
                    let bytes = self.believe_anybody(record.offset, world);
                    self.machine.replay(record.offset, &bytes)?;
                }
                _ => self.machine.replay(record.offset, &record.value)?,
            }
            next = record.offset + 1;
        }
        Ok(next)
    }

    /// Begins to own the task whose journal was read up to `next`.
    fn own(&mut self, next: i64, world: &mut World) -> Result<bool, End> {
        let mut committed = self.machine.own()?;
        self.expected = next;
        world.check_state(self.task, &self.disk, next - 1, if self.is_restored { Law::RestoredIsReplay } else { Law::StateIsReplay })?;
        self.pumps = (0..self.sources.len()).map(|source| Pump { next_offset: self.machine.source_offset(source), ..Pump::default() }).collect();
        self.stage = Stage::Running;
        world.tell(|| format!("{} owns, {} effects and {} calls again", self.owner, committed.effects.len(), committed.calls.len()));
        match world.bug {
            Some(Bug::ForgetUnsentEffects) => committed.effects.clear(),
            Some(Bug::ForgetPendingCalls) => committed.calls.clear(),
            _ => {}
        }
        self.dispatch(committed);
        Ok(true)
    }

    fn work(&mut self, world: &mut World) -> Result<bool, End> {
        match self.stage {
            Stage::Acknowledged { landed } => self.committed(landed, world),
            Stage::Running => {
                let heard = self.gather(world);
                let now_ms = world.now_ms(self.instance);
                self.clock_max_ms = self.clock_max_ms.max(now_ms);
                if self.machine.is_congested() {
                    return Ok(heard);
                }
                if self.work.is_empty() {
                    return match self.machine.tend(now_ms)? {
                        Some(record) => self.commit(record, world),
                        None => Ok(heard),
                    };
                }
                self.check_timers()?;
                match self.machine.step(&mut self.work, now_ms)? {
                    (Some(record), _) => self.commit(record, world),
                    (None, _) => Ok(true),
                }
            }
            _ => Ok(false),
        }
    }

    /// Takes what is there. Returns true if the machine heard of effects that were acknowledged.
    fn gather(&mut self, world: &mut World) -> bool {
        let heard = !self.sent.is_empty();
        for (sequence, count) in self.sent.drain(..) {
            self.machine.effects_sent(sequence, count);
        }
        if self.machine.is_congested() {
            return heard;
        }
        let due = self.machine.due_timers(world.now_ms(self.instance));
        if !due.is_empty() {
            self.clock_max_ms = self.clock_max_ms.max(world.now_ms(self.instance));
            self.work.retain(|work| !matches!(work, Work::Timer(_)));
            due.into_iter().rev().for_each(|timer| self.work.push_front(timer));
        }
        self.work.extend(self.answers.drain(..).map(Work::CallResult));
        let room = 1 + world.random.below(RUN_INPUTS_MAX);
        while (self.work.len() as u64) < room {
            let ready: Vec<usize> = (0..self.pumps.len()).filter(|source| !self.pumps[*source].arrived.is_empty()).collect();
            if ready.is_empty() {
                break;
            }
            let source = ready[world.random.below(ready.len() as u64) as usize];
            self.work.extend(self.pumps[source].arrived.pop_front().map(|record| Work::Record(source, record)));
        }
        heard
    }

    fn check_timers(&self) -> Result<(), Violation> {
        for work in &self.work {
            if let Work::Timer(key) = work
                && let Some(due_ms) = keys::timer_due_ms(key).filter(|due_ms| *due_ms > self.clock_max_ms)
            {
                return Err(Violation::new(Law::TimerNotEarly, format!("due at {due_ms}, the clock has shown {} at most", self.clock_max_ms)));
            }
        }
        Ok(())
    }

    /// Sends a transaction to the journal.
    fn commit(&mut self, mut record: Vec<u8>, world: &mut World) -> Result<bool, End> {
        if let Some(bug) = world.bug {
            record = self.sabotage(bug, record);
        }
        world.tell(|| format!("{} appends a transaction: {}", self.owner, describe(&record)));
        let parcel = self.append(self.journal, vec![NewRecord { key: None, value: record.into() }], world);
        self.stage = Stage::Committing { parcel };
        Ok(true)
    }

    fn committed(&mut self, landed: i64, world: &mut World) -> Result<bool, End> {
        let landed = if world.bug == Some(Bug::BareAcknowledgement) { self.expected } else { landed };
        let committed = self.machine.committed(landed)?;
        world.check_committed(self.task, self.serial, landed)?;
        self.expected = landed + 1;
        self.stage = Stage::Running;
        world.tell(|| format!("{} committed at {landed}, {} effects, {} calls", self.owner, committed.effects.len(), committed.calls.len()));
        self.dispatch(committed);
        Ok(true)
    }

    fn dispatch(&mut self, committed: Committed) {
        for effect in committed.effects {
            let target = Place::of(&effect.topic, effect.partition);
            self.senders.entry(target).or_default().queue.push_back(effect);
        }
        self.calls.extend(committed.calls);
    }

    fn pump(&mut self, source: usize, world: &mut World) -> Result<bool, End> {
        let place = self.sources[source];
        let pump = &mut self.pumps[source];
        if !pump.arrived.is_empty() || world.is_cut(self.instance) {
            return Ok(false);
        }
        let mut from = pump.next_offset;
        let is_misread = world.happens(world.plan.misread_once_in);
        if is_misread && world.random.once_in(2) {
            // A connection that came back delivers again what it had delivered.
            from -= world.random.below(4).min(from as u64) as i64;
            world.count("records delivered again");
        }
        let limit = 1 + world.random.below(FETCH_RECORDS_MAX);
        let routing = &self.machine.spec().sources[source].routing;
        let mut records = world.broker.fetch(place, from, Some(routing), limit).ok_or(End::Log("offset is gone"))?;
        let Some(last) = records.last() else { return Ok(false) };
        pump.next_offset = pump.next_offset.max(last.offset + 1);
        if is_misread && records.len() > 1 && world.random.once_in(2) {
            // A client that has lost a record of a backlog and says nothing.
            records.remove(world.random.below(records.len() as u64 - 1) as usize);
            self.was_misled = true;
            world.count("record left out by a reader");
        }
        pump.arrived = records.into();
        Ok(true)
    }

    fn send(&mut self, target: Place, world: &mut World) -> bool {
        let Some(sender) = self.senders.get_mut(&target).filter(|sender| sender.flight.is_none() && !sender.queue.is_empty()) else { return false };
        let count = 1 + world.random.below(sender.queue.len() as u64) as usize;
        let records = sender.queue.iter().take(count).map(|effect| NewRecord::keyed(&effect.key, effect.value.clone())).collect();
        if world.bug == Some(Bug::SentWithoutAcknowledgement) {
            self.sent.extend(sender.queue.iter().take(count).map(|effect| (effect.sequence, 1)));
        }
        let parcel = world.network.send(self.serial, self.instance, self.task, Cargo::Append { place: target, records, landed: Vec::new() });
        sender.flight = Some((parcel, count));
        world.tell(|| format!("{} sends {count} effects to {target}", self.owner));
        true
    }

    fn call(&mut self, world: &mut World) -> bool {
        let Some(call) = self.calls.pop_front() else { return false };
        world.tell(|| format!("{} calls {}", self.owner, call.id));
        let parcel = world.network.send(self.serial, self.instance, self.task, Cargo::Call { call: call.clone(), response: None });
        self.calling.insert(parcel, call);
        true
    }

    fn append(&self, place: Place, records: Vec<NewRecord>, world: &mut World) -> u64 {
        world.network.send(self.serial, self.instance, self.task, Cargo::Append { place, records, landed: Vec::new() })
    }

    /// An append was acknowledged.
    pub(crate) fn acknowledged(&mut self, parcel: u64, landed: i64) {
        match self.stage {
            Stage::Fencing { next, parcel: fence } if fence == parcel => self.stage = Stage::ReadingToFence { next, fence: landed },
            Stage::Committing { parcel: transaction } if transaction == parcel => self.stage = Stage::Acknowledged { landed },
            _ => self.settle(parcel, true),
        }
    }

    /// A call was answered, perhaps twice.
    pub(crate) fn answered(&mut self, parcel: u64, response: String, is_doubled: bool) {
        if let Some(call) = self.calling.remove(&parcel) {
            if is_doubled {
                self.answers.push_back(CallResult { call: call.clone(), response: response.clone() });
            }
            self.answers.push_back(CallResult { call, response });
        }
    }

    /// Returns the messages whose answers it waits for.
    pub(crate) fn awaited(&self) -> Vec<u64> {
        let journal = match self.stage {
            Stage::Fencing { parcel, .. } | Stage::Committing { parcel } => Some(parcel),
            _ => None,
        };
        let senders = self.senders.values().filter_map(|sender| sender.flight.map(|(parcel, _)| parcel));
        journal.into_iter().chain(senders).chain(self.calling.keys().copied()).collect()
    }

    /// It waits no longer for a message: whether it arrived is not known.
    pub(crate) fn timed_out(&mut self, parcel: u64, bug: Option<Bug>) -> Result<(), End> {
        if let Some(call) = self.calling.remove(&parcel) {
            self.calls.push_back(call);
            return Ok(());
        }
        match self.stage {
            Stage::Fencing { parcel: journal, .. } | Stage::Committing { parcel: journal } if journal == parcel => Err(End::Log("append was not acknowledged")),
            _ => {
                // Whether it landed is not known: it is sent again.
                self.settle(parcel, bug == Some(Bug::SkipFailedBatch));
                Ok(())
            }
        }
    }

    /// A batch of effects is no longer in flight; what was acknowledged leaves its queue.
    fn settle(&mut self, parcel: u64, is_acknowledged: bool) {
        for sender in self.senders.values_mut() {
            if let Some((_, count)) = sender.flight.take_if(|(flight, _)| *flight == parcel)
                && is_acknowledged
            {
                self.sent.extend(sender.queue.drain(..count).map(|effect| (effect.sequence, 1)));
            }
        }
    }

    /// Leaves in good order, as `Running::finish` does: hears of what was acknowledged and writes it down.
    pub(crate) fn leave(mut self) -> Result<(), Stop> {
        if self.stage != Stage::Running {
            return Ok(());
        }
        for (sequence, count) in self.sent.drain(..) {
            self.machine.effects_sent(sequence, count);
        }
        self.machine.close()
    }

    /// Ends it; a store of another past than its journal is cleared.
    pub(crate) fn end(self, stop: Option<&Stop>) -> Result<(), Stop> {
        let Self { machine, disk, .. } = self;
        if matches!(stop, Some(Stop::Diverged(_))) {
            machine.clear_store()?;
        }
        disk.flush();
        Ok(())
    }

    /// Returns when its next timer is due by its clock.
    pub(crate) fn next_timer_due_ms(&self) -> Option<i64> {
        self.machine.next_timer_due_ms()
    }

    /// Returns what it has still to do. `None`: nothing.
    pub(crate) fn unfinished(&self, world: &World) -> Option<String> {
        let behind = self.sources.iter().enumerate().find(|(source, place)| self.machine.source_offset(*source) < world.broker.offsets(**place).1);
        if let Some((source, place)) = behind {
            return Some(format!("has read {place} up to {}", self.machine.source_offset(source)));
        }
        if !self.is_running() || !self.machine.is_drained() || self.machine.calls_pending() > 0 || self.machine.timers_pending() > 0 {
            let (calls, timers) = (self.machine.calls_pending(), self.machine.timers_pending());
            return Some(format!("stands at {:?}, drained: {}, {calls} calls, {timers} timers", self.stage, self.machine.is_drained()));
        }
        None
    }

    /// Plants a bug in a transaction that is about to be appended.
    fn sabotage(&self, bug: Bug, record: Vec<u8>) -> Vec<u8> {
        let Ok(JournalRecord::Transaction(mut transaction)) = JournalRecord::decode(&record) else { return record };
        match bug {
            Bug::ProgressBeforeAppend => {
                self.disk.put(transaction.changes.iter().filter(|(key, _)| key.first() == Some(&b'o')).cloned().collect());
                record
            }
            Bug::TimerNotJournaled if transaction.causes.iter().any(|cause| cause.starts_with("timer:")) => {
                transaction.changes.retain(|(key, value)| !(matches!(key.first(), Some(b't' | b'i')) && value.is_none()));
                JournalRecord::Transaction(transaction).encode()
            }
            _ => record,
        }
    }

    /// Reads a record as if there were no fences: whoever wrote the next transaction counts as the owner.
    fn believe_anybody(&mut self, offset: i64, world: &World) -> Bytes {
        let mut bytes = world.broker.archived(self.journal, offset).value.clone();
        self.reader = Fold::default();
        for at in 0..=offset {
            let Ok(mut record) = JournalRecord::decode(&world.broker.archived(self.journal, at).value) else { continue };
            if let JournalRecord::Transaction(transaction) = &mut record
                && transaction.sequence == self.reader.sequence + 1
            {
                transaction.owner.clone_from(&self.reader.owner);
                transaction.epoch = self.reader.epoch;
                if at == offset {
                    bytes = record.encode().into();
                }
            }
            self.reader.admit(&record);
        }
        bytes
    }
}

fn describe(record: &[u8]) -> String {
    match JournalRecord::decode(record) {
        Ok(JournalRecord::Transaction(transaction)) => {
            format!("epoch {}, sequence {}, sent {}, {}", transaction.epoch, transaction.sequence, transaction.sent, transaction.causes.join(" "))
        }
        Ok(JournalRecord::Fence(fence)) => format!("fence of {} with epoch {}", fence.owner, fence.epoch),
        Err(error) => error.to_string(),
    }
}
