//! One task under the driver: what it does in a turn, and where it may be killed.

use std::collections::{BTreeMap, VecDeque};

use super::TestDriver;
use crate::log::Offsets;
use crate::processor::CallResult;
use crate::record::NewRecord;
use crate::state::store::Stores;
use crate::task::{Committed, Incompatible, Outgoing, Stop, Task, Work};
use crate::topology::Topology;

/// Records of a source that a task takes in one turn at most.
const RECORDS_PER_TURN: u64 = 8;

pub(super) struct Slot {
    pub(super) processor: usize,
    pub(super) partition: u32,
    /// Another owner was started beside it; when it notices, it is gone for good.
    pub(super) is_zombie: bool,
    /// Why this program is not one for the task's state: then it does nothing.
    pub(super) refused: Option<Incompatible>,
    /// Which machine it is on: each has its own disk.
    machine: u32,
    task: Option<Task>,
    work: VecDeque<Work>,
    outgoing: BTreeMap<(String, u32), VecDeque<Outgoing>>,
}

impl Slot {
    pub(super) fn new(processor: usize, partition: u32) -> Self {
        Self { processor, partition, is_zombie: false, refused: None, machine: 0, task: None, work: VecDeque::new(), outgoing: BTreeMap::new() }
    }

    pub(super) fn next_timer_due_ms(&self) -> Option<i64> {
        self.task.as_ref().and_then(Task::next_timer_due_ms)
    }

    pub(super) fn lose_memory(&mut self) {
        self.task = None;
        self.work.clear();
        self.outgoing.clear();
    }

    /// Goes on as a task of another program, in which its processor has this index.
    pub(super) fn of_program(mut self, processor: usize) -> Self {
        self.lose_memory();
        Self { processor, refused: None, ..self }
    }

    /// Splits off the present owner as a zombie; this slot goes on on another machine.
    pub(super) fn usurp(&mut self) -> Self {
        let zombie = Self {
            processor: self.processor,
            partition: self.partition,
            is_zombie: true,
            refused: None,
            machine: self.machine,
            task: self.task.take(),
            work: std::mem::take(&mut self.work),
            outgoing: std::mem::take(&mut self.outgoing),
        };
        self.machine += 1;
        zombie
    }

    pub(super) fn store_name(&self, topology: &Topology) -> String {
        format!("{}-{}-{}", topology.processors[self.processor].name, self.partition, self.machine)
    }
}

impl TestDriver {
    /// Lets a task act once; returns false if it had nothing to do.
    pub(super) fn act(&mut self, index: usize) -> bool {
        if self.slots[index].task.is_none() {
            if self.slots[index].is_zombie || self.slots[index].refused.is_some() || self.down.contains(&self.slots[index].processor) {
                return false;
            }
            return self.survive(index, Self::take_over);
        }
        let sent = self.survive(index, Self::send);
        let worked = self.slots[index].task.is_some() && self.survive(index, Self::work);
        sent || worked
    }

    /// Runs a part of a turn; a task that stops itself is started again, a zombie is not.
    fn survive(&mut self, index: usize, turn: fn(&mut Self, usize) -> Result<bool, Stop>) -> bool {
        match turn(self, index) {
            Ok(busy) => busy,
            Err(Stop::Incompatible(refused)) => {
                self.slots[index].refused = Some(refused);
                self.halt(index);
                true
            }
            Err(stop) => {
                let is_expected =
                    matches!(stop, Stop::Fenced { .. } | Stop::Doubt { .. } | Stop::JournalWentBack { .. } | Stop::Diverged(_) | Stop::Policy { .. });
                assert!(is_expected, "{stop}");
                self.stop(index);
                true
            }
        }
    }

    fn take_over(&mut self, index: usize) -> Result<bool, Stop> {
        self.incarnations += 1;
        let slot = &self.slots[index];
        let spec = self.topology.processors[slot.processor].clone();
        let (journal, partition) = (spec.journal.clone(), slot.partition);
        let store = self.stores.open(&slot.store_name(&self.topology))?;
        let owner = format!("incarnation-{}", self.incarnations);
        let mut task = Task::open(&self.topology.application, spec, partition, self.partitions, owner, store)?.with_snapshots(self.snapshots);
        let Offsets { start, end } = self.log.bounds(&journal, partition).unwrap_or_else(|error| panic!("{error}"));
        if let Some(from) = task.restore_point_from(start, end) {
            let last = self.log.fetch(&journal, partition, from, None, usize::MAX).unwrap_or_else(|error| panic!("{error}"));
            last.records.iter().for_each(|record| task.hear_of_restore_point(&record.value));
        }
        let mut from = task.replay_from(start, end)?;
        let mut fenced = false;
        loop {
            let fetched = self.log.fetch(&journal, partition, from, None, usize::MAX).unwrap_or_else(|error| panic!("{error}"));
            for record in &fetched.records {
                task.replay(record.offset, &record.value)?;
            }
            from = fetched.next_offset;
            if fenced {
                break;
            }
            if self.crash_point(index) {
                return Ok(true);
            }
            task.check_compatible()?;
            let fence = task.fence(self.now_ms);
            self.append(&journal, partition, None, fence);
            fenced = true;
            if self.crash_point(index) {
                return Ok(true);
            }
        }
        let committed = task.own()?;
        self.slots[index].task = Some(task);
        self.dispatch(index, committed);
        Ok(true)
    }

    fn send(&mut self, index: usize) -> Result<bool, Stop> {
        let targets: Vec<(String, u32)> = self.slots[index].outgoing.keys().cloned().collect();
        let mut busy = false;
        for target in targets {
            // A seed may hold effects back for a while, as a slow partition does; nothing else waits for them.
            if self.random.as_mut().is_some_and(|random| random.once_in(3)) {
                busy = true;
                continue;
            }
            while let Some(effect) = self.slots[index].outgoing.get_mut(&target).and_then(VecDeque::pop_front) {
                busy = true;
                if self.crash_point(index) {
                    return Ok(true);
                }
                self.append(&target.0, target.1, Some(&effect.key), effect.value.clone());
                if self.random.as_mut().is_some_and(|random| random.once_in(10)) {
                    self.append(&target.0, target.1, Some(&effect.key), effect.value.clone());
                }
                // It landed, and nobody was told.
                if self.crash_point(index) {
                    return Ok(true);
                }
                if let Some(task) = &mut self.slots[index].task {
                    task.effects_sent(effect.sequence, 1);
                }
            }
            self.slots[index].outgoing.remove(&target);
        }
        Ok(busy)
    }

    fn work(&mut self, index: usize) -> Result<bool, Stop> {
        self.gather(index);
        let now_ms = self.now_ms;
        let slot = &mut self.slots[index];
        let Some(task) = &mut slot.task else { return Ok(false) };
        let is_idle = slot.work.is_empty();
        if task.is_congested() {
            return Ok(false);
        }
        let record = match is_idle {
            true => task.tend(now_ms)?,
            false => task.step(&mut slot.work, now_ms)?.0,
        };
        let Some(record) = record else { return Ok(!is_idle) };
        let (journal, partition) = (task.spec().journal.clone(), task.partition());
        if self.crash_point(index) {
            return Ok(true);
        }
        let landed = self.append(&journal, partition, None, record);
        // It landed, and nobody was told.
        if self.crash_point(index) {
            return Ok(true);
        }
        let committed = match &mut self.slots[index].task {
            Some(task) => task.committed(landed)?,
            None => return Ok(true),
        };
        if self.crash_point(index) {
            return Ok(true);
        }
        self.dispatch(index, committed);
        Ok(true)
    }

    /// Collects what the task can take now.
    fn gather(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let (due, later) = std::mem::take(&mut self.answers).into_iter().partition(|(due, slot, _)| *slot == index && *due <= now_ms);
        self.answers = later;
        let due: Vec<(i64, usize, CallResult)> = due;
        let limit = self.random.as_mut().map_or(RECORDS_PER_TURN, |random| 1 + random.below(RECORDS_PER_TURN));
        let slot = &mut self.slots[index];
        let Some(task) = &slot.task else { return };
        slot.work.extend(due.into_iter().map(|(_, _, result)| Work::CallResult(result)));
        if !slot.work.is_empty() {
            return;
        }
        slot.work.extend(task.due_timers(now_ms));
        for (source, spec) in task.spec().sources.iter().enumerate() {
            let fetched = self.log.fetch(&spec.topic, slot.partition, task.source_offset(source), Some(&spec.routing), limit as usize);
            let records = fetched.unwrap_or_else(|error| panic!("{error}")).records;
            slot.work.extend(records.into_iter().map(|record| Work::Record(source, record)));
        }
    }

    fn dispatch(&mut self, index: usize, committed: Committed) {
        for effect in committed.effects {
            let target = (effect.topic.clone(), effect.partition);
            self.slots[index].outgoing.entry(target).or_default().push_back(effect);
        }
        for call in committed.calls {
            if self.crash_point(index) {
                return;
            }
            if let Some(answer) = (self.handler)(&call) {
                self.answers.push((self.now_ms + answer.after_ms, index, CallResult { call, response: answer.response }));
            }
        }
    }

    fn append(&mut self, topic: &str, partition: u32, key: Option<&str>, value: Vec<u8>) -> i64 {
        let key = key.map(|key| bytes::Bytes::copy_from_slice(key.as_bytes()));
        self.log.append(topic, partition, self.now_ms, NewRecord { key, value: value.into() }).unwrap_or_else(|error| panic!("{error}"))
    }
}
