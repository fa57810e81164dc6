//! One incarnation of a task: take over, restore, run until it is told to stop or in doubt.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};

use super::Runner;
use super::calls::Calls;
use super::inbox::Inbox;
use super::lag::Lag;
use super::query::{self, Query};
use super::sender::{self, Sent};
use super::source::{Health, Pump};
use crate::assignment::Duty;
use crate::guard::BreakerChange;
use crate::limits::{FENCE_WAIT_MAX, RUN_INPUTS_MAX};
use crate::log::{LogError, Offsets, Writer};
use crate::record::NewRecord;
use crate::task::{Committed, Outgoing, RunReport, Stop, Task, UnreadableInput, Work};
use crate::telemetry::{Event, Phase};

/// Questions about the state of the task.
type Queries = mpsc::Receiver<Query>;

/// Longest wait for effects to be acknowledged at an orderly stop.
const DRAIN_MAX: Duration = Duration::from_millis(800);
/// How often totals and timers are reported while nothing happens, and lag is looked at.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Why an incarnation ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    Stopped(#[source] Stop),
    #[error("{0}")]
    Log(#[source] LogError),
}

impl Problem {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Stopped(stop) => stop.kind(),
            Self::Log(_) => "log",
        }
    }
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// Runs one incarnation to its end. `Ok`: it was told to stop.
pub(super) async fn run(runner: &Runner) -> Result<(), Problem> {
    runner.report(Phase::Restoring, None);
    let mut queries = runner.queries.lock().await;
    let store = runner.options.stores.open(&runner.id()).map_err(Stop::State)?;
    let mut task = Task::open(&runner.application, runner.spec.clone(), runner.partition, runner.partitions, owner(runner), store)?;
    task = task.with_snapshots(runner.options.snapshots).with_traces(runner.is_traced());
    let restored = tokio::select! {
        restored = take_over(runner, &mut task, &mut queries) => restored,
        () = runner.stop.cancelled() => return Ok(()),
    };
    let (journal, committed) = match restored {
        Err(Problem::Stopped(stop @ Stop::Diverged(_))) => {
            // The cache is of another past. The journal is the truth.
            task.clear_store()?;
            return Err(stop.into());
        }
        restored => restored?,
    };
    let log = runner.options.log.clone();
    for (index, source) in runner.spec.sources.iter().enumerate() {
        if task.source_offset(index) == 0 {
            task.begin_source(index, log.offsets(&source.topic, runner.partition).await?.start);
        }
    }
    let health = watch::Sender::new(vec![Health::Unopened; runner.spec.sources.len()]);
    let (pumps, arrivals): (Vec<_>, Vec<_>) = (0..runner.spec.sources.len())
        .map(|index| {
            let (pump, arrivals) = Pump::new(runner, index, task.source_offset(index), &health);
            (pump.run(), arrivals)
        })
        .unzip();
    let (sent_sender, sent) = mpsc::unbounded_channel();
    let (target_sender, targets) = mpsc::unbounded_channel();
    let running = Running {
        runner,
        task,
        journal,
        inbox: Inbox::new(runner, arrivals),
        sent,
        targets: BTreeMap::new(),
        new_targets: target_sender,
        calls: Calls::default(),
        work: VecDeque::new(),
        health: health.subscribe(),
        queries: &mut queries,
        lags: runner.spec.sources.iter().map(|_| Lag::default()).collect(),
        taken_ms: Vec::new(),
        spent: Spent::default(),
        last_report: Instant::now(),
    };
    tokio::select! {
        result = running.run(committed) => result,
        // These two never end while the loop runs; they are here so that they end with it.
        _ = join_all(pumps) => std::future::pending().await,
        () = send_all(runner, targets, sent_sender) => std::future::pending().await,
    }
}

/// A fresh name: no two incarnations ever share one.
fn owner(runner: &Runner) -> String {
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{}#{:016x}{:016x}", runner.options.instance, random(), random() ^ runner.options.clock.now_ms() as u64)
}

/// Reads the journal, appends a fence, reads up to it, and owns the task.
async fn take_over(runner: &Runner, task: &mut Task, queries: &mut Queries) -> Result<(Arc<dyn Writer>, Committed), Problem> {
    let began = Instant::now();
    let log = &runner.options.log;
    let journal = &runner.spec.journal;
    let offsets = log.offsets(journal, runner.partition).await?;
    look_for_restore_point(runner, task, offsets).await?;
    let from = task.replay_from(offsets.start, offsets.end)?;
    let mut reader = log.read(journal, runner.partition, from, None).await?;
    let mut next = from;
    let mut fence: Option<i64> = None;
    let mut writer = None;
    let mut duty = runner.duty.clone();
    let mut follows = false;
    let mut end = offsets.end;
    loop {
        let is_owner = *duty.borrow_and_update() == Duty::Owner;
        if fence.is_none() && next >= offsets.end && !is_owner && !follows {
            follows = true;
            runner.report(Phase::Standby, None);
        }
        if fence.is_none() && next >= offsets.end && is_owner {
            // Whoever is refused changes nothing.
            task.check_compatible()?;
            // Only what is after the fence can still change; what is before it is known now or will be read on the way to it.
            let opened = log.writer(journal, runner.partition).await?;
            fence = Some(opened.append(vec![NewRecord { key: None, value: task.fence(runner.options.clock.now_ms()).into() }]).await?);
            writer = Some(opened);
        }
        if fence.is_some_and(|fence| next > fence) {
            break;
        }
        if fence.is_some() || !follows {
            let remaining = (fence.map_or(offsets.end, |fence| fence + 1) - next).max(0);
            runner.observe(&Event::Restoring { task: runner.name(), remaining });
        }
        let fetched = tokio::select! {
            fetched = reader.next() => fetched?,
            // Whoever follows a task takes it over as soon as it is given to it.
            Ok(()) = duty.changed(), if fence.is_none() => continue,
            asked = query::next(queries), if fence.is_none() => {
                asked.answer(task, false, (end - next).max(0))?;
                continue;
            }
            () = tokio::time::sleep(FENCE_WAIT_MAX), if fence.is_some() => {
                look_for_fence(runner, fence.unwrap_or_default()).await?;
                continue;
            }
        };
        end = end.max(fetched.end_offset);
        if follows && fence.is_none() {
            runner.observe(&Event::StandbyLag(runner.name(), (fetched.end_offset - fetched.next_offset).max(0)));
        }
        for record in &fetched.records {
            // What others appended after our fence is void, or a later fence: both show at our first commit.
            if fence.is_some_and(|fence| record.offset > fence) {
                break;
            }
            task.replay(record.offset, &record.value)?;
            next = record.offset + 1;
        }
        next = next.max(fetched.next_offset.min(fence.map_or(i64::MAX, |fence| fence + 1)));
    }
    let committed = task.own()?;
    runner.observe(&Event::Restored { task: runner.name(), records: (next - from) as u64, took: began.elapsed() });
    Ok((writer.unwrap_or_else(|| unreachable!("the fence was written")), committed))
}

/// Sees to it that the fence of this incarnation is not waited for in vain.
async fn look_for_fence(runner: &Runner, fence: i64) -> Result<(), Problem> {
    let end = runner.options.log.offsets(&runner.spec.journal, runner.partition).await?.end;
    if end > fence { Ok(()) } else { Err(Stop::FenceLost { fence, end }.into()) }
}

/// Reads the last records of the journal, if that may spare the task most of the others.
async fn look_for_restore_point(runner: &Runner, task: &mut Task, offsets: Offsets) -> Result<(), Problem> {
    let Some(mut next) = task.restore_point_from(offsets.start, offsets.end) else { return Ok(()) };
    let mut reader = runner.options.log.read(&runner.spec.journal, runner.partition, next, None).await?;
    while next < offsets.end {
        let fetched = reader.next().await?;
        fetched.records.iter().for_each(|record| task.hear_of_restore_point(&record.value));
        next = fetched.next_offset;
    }
    Ok(())
}

/// Runs a sender for every target that turns up.
async fn send_all(runner: &Runner, mut targets: mpsc::UnboundedReceiver<(String, u32, mpsc::UnboundedReceiver<Outgoing>)>, sent: mpsc::UnboundedSender<Sent>) {
    let mut senders = futures_util::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            target = targets.recv() => match target {
                Some((topic, partition, effects)) => senders.push(sender::send(runner, topic, partition, effects, sent.clone())),
                None => break,
            },
            Some(()) = futures_util::StreamExt::next(&mut senders), if !senders.is_empty() => {}
        }
    }
    while futures_util::StreamExt::next(&mut senders).await.is_some() {}
}

struct Running<'a> {
    runner: &'a Runner,
    task: Task,
    journal: Arc<dyn Writer>,
    inbox: Inbox<'a>,
    sent: mpsc::UnboundedReceiver<Sent>,
    targets: BTreeMap<(String, u32), mpsc::UnboundedSender<Outgoing>>,
    new_targets: mpsc::UnboundedSender<(String, u32, mpsc::UnboundedReceiver<Outgoing>)>,
    calls: Calls,
    work: VecDeque<Work>,
    /// How the sources are: until each has been opened, and while one of them fails, the task is not said to run.
    health: watch::Receiver<Vec<Health>>,
    queries: &'a mut Queries,
    /// By source.
    lags: Vec<Lag>,
    /// Timestamps of the records of the present run.
    taken_ms: Vec<i64>,
    spent: Spent,
    last_report: Instant,
}

/// Where the time went since it was told last.
#[derive(Default)]
struct Spent {
    processing: Duration,
    committing: Duration,
    waiting: Duration,
    /// The part of the waiting that nothing has arrived after yet.
    polling: Duration,
}

impl Running<'_> {
    async fn run(mut self, committed: Committed) -> Result<(), Problem> {
        self.dispatch(committed, true);
        let mut told = (Phase::Restoring, None);
        loop {
            if self.health.has_changed().unwrap_or_default() {
                let now = phase(&self.health.borrow_and_update());
                if now != told {
                    self.runner.report(now.0, now.1.clone());
                    told = now;
                }
            }
            self.gather()?;
            if self.runner.stop.is_cancelled() {
                return self.finish().await;
            }
            if self.work.is_empty() || self.task.is_congested() {
                let began = Instant::now();
                self.wait().await?;
                self.spent.waiting += began.elapsed();
                self.spent.polling += began.elapsed();
                continue;
            }
            self.transact().await?;
        }
    }

    /// Takes what is there without waiting.
    fn gather(&mut self) -> Result<(), Problem> {
        while let Ok(sent) = self.sent.try_recv() {
            self.acknowledge(sent);
        }
        if self.task.is_congested() {
            return Ok(());
        }
        while let Ok(asked) = self.queries.try_recv() {
            asked.answer(&mut self.task, true, 0)?;
        }
        // Timers first: a deadline must not wait behind a backlog.
        let due = self.task.due_timers(self.runner.options.clock.now_ms());
        if !due.is_empty() {
            self.work.retain(|work| !matches!(work, Work::Timer(_)));
            due.into_iter().rev().for_each(|timer| self.work.push_front(timer));
        }
        while let Some(result) = self.calls.try_next(self.runner) {
            self.work.push_back(Work::CallResult(result));
        }
        if self.work.len() < RUN_INPUTS_MAX {
            let before = self.work.len();
            self.inbox.take(&mut self.work)?;
            let records = self.work.len() - before;
            if records > 0 {
                let waited = std::mem::take(&mut self.spent.polling);
                self.runner.observe(&Event::Polled { task: self.runner.name(), records, waited });
            }
        }
        Ok(())
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), Problem> {
        let congested = self.task.is_congested();
        let due = self.task.next_timer_due_ms().filter(|_| !congested).map(|due| (due - self.runner.options.clock.now_ms()).max(0) as u64);
        let timer = async {
            match due {
                Some(due_in_ms) => tokio::time::sleep(Duration::from_millis(due_in_ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            sent = self.sent.recv() => self.acknowledge(sent.unwrap_or_default()),
            arrived = self.inbox.arrive(), if !congested => arrived?,
            result = self.calls.next(self.runner), if !congested => self.work.push_back(Work::CallResult(result)),
            () = timer => {}
            asked = query::next(self.queries) => asked.answer(&mut self.task, true, 0)?,
            Ok(()) = self.health.changed() => self.health.mark_changed(),
            () = tokio::time::sleep(REPORT_EVERY) => {
                self.report();
                if !congested && let Some(record) = self.task.tend(self.runner.options.clock.now_ms())? {
                    self.commit(record, &RunReport::default(), Duration::ZERO).await?;
                }
            }
            () = self.runner.stop.cancelled() => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self, sent: Sent) {
        for (sequence, count) in sent {
            self.task.effects_sent(sequence, count);
        }
    }

    async fn transact(&mut self) -> Result<(), Problem> {
        let began = Instant::now();
        self.taken_ms.clear();
        self.taken_ms.extend(self.work.iter().take(RUN_INPUTS_MAX).map(timestamp_ms));
        let waiting = self.work.len();
        let (record, report) = self.task.step(&mut self.work, self.runner.options.clock.now_ms())?;
        self.taken_ms.truncate(waiting - self.work.len());
        let processing = began.elapsed();
        self.spent.processing += processing;
        self.tell(&report);
        match record {
            Some(record) => self.commit(record, &report, processing).await,
            None => Ok(()),
        }
    }

    /// Appends a transaction and does what follows from it.
    async fn commit(&mut self, record: Vec<u8>, report: &RunReport, processing: Duration) -> Result<(), Problem> {
        let began = Instant::now();
        let (runner, journal) = (self.runner, Arc::clone(&self.journal));
        let mut append = journal.append(vec![NewRecord { key: None, value: record.into() }]);
        let mut given_up = std::pin::pin!(give_up(&runner.stop));
        let landed = loop {
            tokio::select! {
                landed = &mut append => break landed?,
                () = &mut given_up => return Ok(()),
                // A log that is slow makes the task fall behind, and that must show while it is.
                () = tokio::time::sleep(REPORT_EVERY) => self.report(),
            }
        };
        let committed = self.task.committed(landed)?;
        self.runner.observe(&Event::RunCommitted {
            task: self.runner.name(),
            inputs: report.inputs,
            effects: committed.effects.len(),
            processing,
            committing: began.elapsed(),
        });
        self.spent.committing += began.elapsed();
        self.tell_ages();
        self.runner.tell_traces(&report.traced, processing + began.elapsed());
        // Told here, and not from the state as totals are: a replay comes by no step, so a restart counts nothing again; and what was decided but not committed is not counted at all.
        for &BreakerChange { guard, from, to } in &report.breaker_changes {
            self.runner.observe(&Event::BreakerTransitioned { task: self.runner.name(), guard, from, to });
        }
        for &answer in &report.partner_answers {
            self.runner.observe(&Event::PartnerAnswered { task: self.runner.name(), answer });
        }
        for (kind, count) in &report.emitted {
            self.runner.observe(&Event::Emitted { task: self.runner.name(), kind, count: *count });
        }
        self.dispatch(committed, false);
        if self.last_report.elapsed() > REPORT_EVERY {
            self.report();
        }
        Ok(())
    }

    /// Sends effects on their way and starts calls; `again`: an earlier incarnation may have done so.
    fn dispatch(&mut self, committed: Committed, again: bool) {
        for effect in committed.effects {
            let target = (effect.topic.clone(), effect.partition);
            let queue = self.targets.entry(target).or_insert_with_key(|(topic, partition)| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let _ = self.new_targets.send((topic.clone(), *partition, receiver));
                sender
            });
            let _ = queue.send(effect);
        }
        self.calls.start(self.runner, committed.calls, again);
    }

    fn tell(&self, report: &RunReport) {
        let task = self.runner.name();
        for reason in &report.rejected {
            self.runner.observe(&Event::Rejected { task, reason });
        }
        for &UnreadableInput { source, reason, dead_lettered } in &report.unreadable {
            let topic = source.map_or(&self.runner.spec.journal, |source| &self.runner.spec.sources[source].topic);
            self.runner.observe(&Event::Unreadable { task, topic, reason, dead_lettered });
        }
        if report.repeated > 0 {
            self.runner.observe(&Event::Repeated { task, count: report.repeated });
        }
    }

    /// Says how old the records of a run were when it was committed.
    fn tell_ages(&mut self) {
        let now_ms = self.runner.options.clock.now_ms();
        self.taken_ms.retain(|timestamp_ms| *timestamp_ms >= 0);
        self.taken_ms.iter_mut().for_each(|timestamp_ms| *timestamp_ms = (now_ms - *timestamp_ms).max(0));
        if !self.taken_ms.is_empty() {
            self.runner.observe(&Event::RecordsTaken { task: self.runner.name(), ages_ms: &self.taken_ms });
        }
        self.taken_ms.clear();
    }

    fn report(&mut self) {
        self.last_report = Instant::now();
        let task = self.runner.name();
        let now_ms = self.runner.options.clock.now_ms();
        for (index, (source, lag)) in self.runner.spec.sources.iter().zip(&mut self.lags).enumerate() {
            let of_source = |work: &Work| matches!(work, Work::Record(of, _) if *of == index).then(|| timestamp_ms(work));
            let oldest_ms = self.work.iter().find_map(of_source).or_else(|| self.inbox.oldest_ms(index));
            let (records, age_ms) = lag.measure(now_ms, self.task.source_offset(index), self.inbox.end(index), oldest_ms);
            self.runner.observe(&Event::LagMeasured { task, topic: &source.topic, records, age_ms });
        }
        let Spent { processing, committing, waiting, polling } = std::mem::take(&mut self.spent);
        self.spent.polling = polling;
        self.runner.observe(&Event::TimeSpent { task, processing, committing, waiting });
        for (name, value) in self.task.totals() {
            self.runner.observe(&Event::Total { task, name, value });
        }
        self.runner.observe(&Event::TimersPending(task, self.task.timers_pending()));
        self.runner.observe(&Event::CallsPending(task, self.task.calls_pending()));
        self.runner.observe(&Event::ReplayBytes(task, self.task.replay_bytes()));
    }

    /// Waits for acknowledgements a short while, then writes down how far they came.
    async fn finish(mut self) -> Result<(), Problem> {
        let deadline = tokio::time::Instant::now() + DRAIN_MAX;
        while !self.task.is_drained() {
            match tokio::time::timeout_at(deadline, self.sent.recv()).await {
                Ok(Some(sent)) => self.acknowledge(sent),
                _ => break,
            }
        }
        Ok(self.task.close()?)
    }
}

/// Returns the timestamp of a record; -1 of what is none, or has none.
fn timestamp_ms(work: &Work) -> i64 {
    match work {
        Work::Record(_, record) => record.timestamp_ms,
        Work::Timer(_) | Work::CallResult(_) => -1,
    }
}

/// Returns what is said of a task whose sources are like this.
fn phase(health: &[Health]) -> (Phase, Option<String>) {
    let failing: Vec<&str> = health.iter().filter_map(Health::problem).collect();
    match failing.is_empty() {
        false => (Phase::Waiting, Some(failing.join("; "))),
        true if health.contains(&Health::Unopened) => (Phase::Restoring, None),
        true => (Phase::Running, None),
    }
}

/// Resolves some time after shutdown: an append in flight gets a moment to be acknowledged.
async fn give_up(shutdown: &tokio_util::sync::CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
