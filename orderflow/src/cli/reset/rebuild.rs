//! The state that a task would have if it had begun at some position of its sources: worked out aside by the code that runs it, with nothing leaving.
//!
//! Records and timers come when the journal says that they came (`schedule`). Its clock stands still between them.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, ensure};
use fluvio_streams::envelope::Format;
use fluvio_streams::log::{Log, Reader};
use fluvio_streams::processor::StateReader as _;
use fluvio_streams::record::LogRecord;
use fluvio_streams::state::store::MemoryStore;
use fluvio_streams::task::{SnapshotPolicy, Task, Work};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source};
use tokio::time::timeout;

use super::schedule::{Schedule, Turn};
use crate::limits::{REACH_TIMEOUT, RESET_ENTRIES_MAX};

/// Entries by key.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Which task, and what it is to take.
pub(super) struct Plan<'a> {
    pub(super) application: &'a str,
    pub(super) spec: &'a ProcessorSpec,
    pub(super) partition: u32,
    pub(super) partitions: u32,
    /// Of each source: from which offset, and up to which (not included).
    pub(super) spans: Vec<(i64, i64)>,
    /// The time of the state as it is: up to then timers have fired.
    pub(super) until_ms: i64,
}

/// What came of it.
pub(super) struct Rebuilt {
    pub(super) entries: Entries,
    /// Records that were taken.
    pub(super) records: u64,
    /// Records that could not be: they would be dead letters.
    pub(super) unreadable: u64,
}

/// Works out the state.
///
/// # Errors
/// If a source cannot be read, or the processor fails.
pub(super) async fn rebuild(log: &dyn Log, plan: &Plan<'_>, schedule: &Schedule) -> anyhow::Result<Rebuilt> {
    let store = MemoryStore::default();
    let task = Task::open(plan.application, plan.spec.clone(), plan.partition, plan.partitions, "reset".to_owned(), Box::new(store.clone()))?;
    // A snapshot of what is only in memory helps nobody.
    let mut aside =
        Aside { task: task.with_snapshots(SnapshotPolicy { bytes_min: i64::MAX as u64, every_ms: i64::MAX, part_bytes: 1 }), end: 0, unreadable: 0 };
    aside.take_over()?;
    let mut feeds = Vec::new();
    for (index, (source, (from, to))) in plan.spec.sources.iter().zip(&plan.spans).enumerate() {
        aside.task.begin_source(index, *from);
        feeds.push(Feed::open(log, source, plan.partition, (*from, *to)).await?);
    }
    let mut records = 0;
    let mut now_ms = i64::MIN;
    loop {
        let record = next(&mut feeds, schedule).await?;
        let timer = aside.next_timer(schedule);
        let timer = timer.filter(|(turn, _)| record.map_or(turn.0 <= plan.until_ms, |(first, _)| *turn < first));
        if let Some(((time_ms, _), work)) = timer {
            now_ms = now_ms.max(time_ms);
            aside.take(work, now_ms)?;
            continue;
        }
        let Some(((time_ms, _), index)) = record else { break };
        let Some(record) = feeds[index].waiting.pop_front() else { break };
        now_ms = now_ms.max(time_ms);
        aside.take(Work::Record(index, record), now_ms)?;
        records += 1;
    }
    Ok(Rebuilt { entries: entries(&store)?, records, unreadable: aside.unreadable })
}

/// Returns every entry of a store.
///
/// # Errors
/// If there are more than are held at once.
pub(super) fn entries(store: &MemoryStore) -> anyhow::Result<Entries> {
    let entries: Entries = store.range(&[], &[u8::MAX], RESET_ENTRIES_MAX + 1)?.into_iter().collect();
    ensure!(entries.len() <= RESET_ENTRIES_MAX, "the state has more than {RESET_ENTRIES_MAX} entries, too many to compare at once");
    Ok(entries)
}

/// A task whose journal is nowhere: everything is acknowledged at once, and nothing leaves.
struct Aside {
    task: Task,
    end: i64,
    unreadable: u64,
}

impl Aside {
    fn take_over(&mut self) -> anyhow::Result<()> {
        let fence = self.task.fence(0);
        self.task.replay(0, &fence.into())?;
        self.task.own()?;
        self.end = 1;
        Ok(())
    }

    fn take(&mut self, work: Work, now_ms: i64) -> anyhow::Result<()> {
        let mut work = VecDeque::from([work]);
        while !work.is_empty() {
            let (record, report) = self.task.step(&mut work, now_ms)?;
            self.unreadable += report.unreadable.len() as u64;
            if record.is_some() {
                let committed = self.task.committed(self.end)?;
                self.end += 1;
                committed.effects.iter().for_each(|effect| self.task.effects_sent(effect.sequence, 1));
            }
        }
        Ok(())
    }

    /// Returns the timer that is due first, and when it comes.
    fn next_timer(&self, schedule: &Schedule) -> Option<(Turn, Work)> {
        let due_ms = self.task.next_timer_due_ms()?;
        let work = self.task.due_timers(due_ms).into_iter().next()?;
        let Work::Timer(key) = &work else { return None };
        // Behind the due time: name, 0, key.
        let named = String::from_utf8_lossy(key.get(9..)?).into_owned();
        let (name, key) = named.split_once('\0')?;
        Some((schedule.of_timer(name, key, due_ms), work))
    }
}

/// The records of a source that are still to come.
struct Feed {
    reader: Option<Box<dyn Reader>>,
    waiting: VecDeque<LogRecord>,
    next: i64,
    to: i64,
    is_of_commands: bool,
    topic: String,
    partition: u32,
}

impl Feed {
    async fn open(log: &dyn Log, source: &Source, partition: u32, (from, to): (i64, i64)) -> anyhow::Result<Self> {
        // What a processor has no business with is taken out by the broker; anything else is read as it is, with its timestamp.
        let routing = matches!(source.routing, Routing::Redacted { .. }).then_some(&source.routing);
        let reader = if from < to { Some(log.read(&source.topic, partition, from, routing).await?) } else { None };
        let is_of_commands = matches!(source.format, Format::Command { .. });
        Ok(Self { reader, waiting: VecDeque::new(), next: from, to, is_of_commands, topic: source.topic.clone(), partition })
    }

    /// Sees to it that the next record is there, if there is one.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        while self.waiting.is_empty() && self.next < self.to {
            let fetched = timeout(REACH_TIMEOUT, reader.next())
                .await
                .with_context(|| format!("{}/{} does not go on after {}", self.topic, self.partition, self.next))??;
            self.next = fetched.next_offset;
            self.waiting.extend(fetched.records.into_iter().filter(|record| record.offset < self.to));
        }
        Ok(())
    }
}

/// Returns which source has the record that comes next, and when it comes. Of those whose order nobody knows, events come before commands.
async fn next(feeds: &mut [Feed], schedule: &Schedule) -> anyhow::Result<Option<(Turn, usize)>> {
    for feed in feeds.iter_mut() {
        feed.fill().await?;
    }
    let turn = |feed: &Feed| feed.waiting.front().map(|record| schedule.of_record(&feed.topic, record.offset, record.timestamp_ms));
    let first = feeds.iter().enumerate().filter_map(|(index, feed)| Some((turn(feed)?, feed.is_of_commands, index))).min();
    Ok(first.map(|(turn, _, index)| (turn, index)))
}
