//! What the sources of a task have delivered, and the order in which the task takes it.
//!
//! A partition is taken in its order. Among the partitions of a task, what is there is taken by the timestamps of the log, as Kafka Streams does. While the task is behind, it takes
//! nothing from one source as long as another one is known to have more and has not delivered it: what a command depends on must not be overtaken by it because the backlog of commands
//! happened to arrive first. The wait is bounded by [`SOURCE_WAIT_MAX`]; after that the source is passed over until it delivers again, so that one that is refused, or slow, stops nobody.
//!
//! A task that has caught up waits for nobody: it takes whatever is there, all of it, so that nothing is overtaken again and again by what comes later.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use super::Runner;
use super::source::Arrivals;
use crate::envelope::Format;
use crate::limits::{RUN_INPUTS_MAX, SOURCE_WAIT_MAX};
use crate::log::{Fetched, LogError};
use crate::record::LogRecord;
use crate::task::Work;

/// What the sources have delivered.
pub(super) struct Inbox<'a> {
    runner: &'a Runner,
    sources: Vec<Delivered>,
}

/// What one source has delivered.
struct Delivered {
    arrivals: Arrivals,
    /// Records with the timestamps by which they are ordered.
    records: VecDeque<(i64, LogRecord)>,
    /// Where it is read from next.
    next_offset: i64,
    /// One past its last record, as far as is known. `None`: nobody has said yet.
    end_offset: Option<i64>,
    /// By which the last record was ordered.
    last_order_ms: i64,
    /// Since when nothing is there.
    empty_since: Instant,
    is_passed_over: bool,
}

impl Delivered {
    fn new(arrivals: Arrivals) -> Self {
        Self {
            arrivals,
            records: VecDeque::new(),
            next_offset: 0,
            end_offset: None,
            last_order_ms: i64::MIN,
            empty_since: Instant::now(),
            is_passed_over: false,
        }
    }

    /// Returns true unless all that it is known to hold has been delivered.
    fn has_more(&self) -> bool {
        self.end_offset.is_none_or(|end_offset| self.next_offset < end_offset)
    }

    fn is_awaited(&self) -> bool {
        self.records.is_empty() && self.has_more() && !self.is_passed_over
    }

    fn arrived(&mut self, fetched: Fetched, now_ms: i64) {
        let Fetched { records, next_offset, end_offset } = fetched;
        (self.next_offset, self.end_offset) = (next_offset, Some(end_offset));
        if records.is_empty() {
            return;
        }
        self.is_passed_over = false;
        for record in records {
            self.last_order_ms = match record.timestamp_ms {
                // The broker lost it: it goes with the one before.
                ..0 => self.last_order_ms,
                // Nobody wrote it after it was read. A clock that is ahead delays its records by no more than this.
                timestamp_ms => timestamp_ms.min(now_ms),
            };
            self.records.push_back((self.last_order_ms, record));
        }
    }
}

impl<'a> Inbox<'a> {
    /// Returns an inbox that gets what the processor's sources deliver, in their order.
    pub(super) fn new(runner: &'a Runner, arrivals: impl IntoIterator<Item = Arrivals>) -> Self {
        Self { runner, sources: arrivals.into_iter().map(Delivered::new).collect() }
    }

    /// Waits until one of the sources of which nothing is left delivers. Cancel-safe.
    pub(super) async fn arrive(&mut self) -> Result<(), LogError> {
        std::future::poll_fn(|context| {
            for source in self.sources.iter_mut().filter(|source| source.records.is_empty()) {
                if let Poll::Ready(Some(arrived)) = source.arrivals.batches.poll_recv(context) {
                    let now_ms = self.runner.options.clock.now_ms();
                    return Poll::Ready(arrived.map(|fetched| source.arrived(fetched, now_ms)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Moves what can be taken now to `work`, in its order.
    pub(super) fn take(&mut self, work: &mut VecDeque<Work>) -> Result<(), LogError> {
        self.receive()?;
        let is_behind = self.sources.iter().any(Delivered::has_more);
        while !is_behind || work.len() < RUN_INPUTS_MAX {
            let Some(source) = self.next() else { break };
            let delivered = &mut self.sources[source];
            work.extend(delivered.records.pop_front().map(|(_, record)| Work::Record(source, record)));
            if delivered.records.is_empty() {
                delivered.empty_since = Instant::now();
                if is_behind {
                    self.receive()?;
                }
            }
        }
        Ok(())
    }

    /// Returns how far the source's end is, also while nothing is taken from it.
    pub(super) fn end(&self, source: usize) -> i64 {
        let delivered = &self.sources[source];
        delivered.end_offset.unwrap_or_default().max(delivered.arrivals.end_offset.load(Ordering::Relaxed))
    }

    /// Returns the timestamp of the next record that the source has delivered.
    pub(super) fn oldest_ms(&self, source: usize) -> Option<i64> {
        self.sources[source].records.front().map(|(_, record)| record.timestamp_ms)
    }

    /// Lets sources of which nothing is left deliver, without waiting.
    fn receive(&mut self) -> Result<(), LogError> {
        let now_ms = self.runner.options.clock.now_ms();
        for source in &mut self.sources {
            while source.records.is_empty()
                && let Ok(arrived) = source.arrivals.batches.try_recv()
            {
                source.arrived(arrived?, now_ms);
            }
        }
        Ok(())
    }

    /// Returns the source to take from next. `None`: nothing is there, or it has to wait for what another source has.
    fn next(&mut self) -> Option<usize> {
        let heads = self.sources.iter().enumerate().filter_map(|(index, source)| source.records.front().map(|(order_ms, _)| (index, *order_ms)));
        // What happened goes before what is wanted: of a command and an event of the same ms, the event is more likely to be what the command is about.
        let specs = &self.runner.spec.sources;
        let (next, _) = heads.min_by_key(|(index, order_ms)| (*order_ms, matches!(specs[*index].format, Format::Command { .. }), *index))?;
        for (index, source) in self.sources.iter_mut().enumerate().filter(|(_, source)| source.is_awaited()) {
            if source.empty_since.elapsed() < SOURCE_WAIT_MAX {
                return None;
            }
            source.is_passed_over = true;
            let (task, topic) = (self.runner.id(), &specs[index].topic);
            tracing::warn!(task, topic, waited = ?SOURCE_WAIT_MAX, "source does not deliver what it has: records of other sources may be taken before older ones of this one");
        }
        Some(next)
    }
}
