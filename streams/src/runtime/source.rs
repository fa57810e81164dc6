//! Reads a source ahead of its task, a bounded number of batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Runner, WAIT_FIRST, WAIT_MAX, with_sources};
use crate::limits::{SOURCE_BATCHES_QUEUED_MAX, SOURCE_END_EVERY, SOURCE_FAILING_UNTOLD_MAX, SOURCE_STEADY_AFTER};
use crate::log::{Fetched, LogError};
use crate::telemetry::Event;
use crate::topology::Source;

/// What a source says: batches, or that it cannot go on.
pub(super) type SourceMessage = Result<Fetched, LogError>;

/// What a pump delivers.
pub(super) struct Arrivals {
    pub(super) batches: mpsc::Receiver<SourceMessage>,
    /// One past the last record, as far as the pump knows: also while nobody takes a batch.
    pub(super) end_offset: Arc<AtomicI64>,
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// It was not opened yet.
    Unopened,
    /// It is read.
    Read,
    /// It has failed for a while: what is said about it.
    Failing(String),
}

impl Health {
    /// Returns what is wrong with it.
    pub(super) fn problem(&self) -> Option<&str> {
        match self {
            Self::Failing(problem) => Some(problem),
            Self::Unopened | Self::Read => None,
        }
    }
}

/// Reads one source.
pub(super) struct Pump<'a> {
    runner: &'a Runner,
    source: usize,
    next_offset: i64,
    sender: mpsc::Sender<SourceMessage>,
    end_offset: Arc<AtomicI64>,
    health: &'a watch::Sender<Vec<Health>>,
    wait: Duration,
    /// Since when it fails, however often it was opened.
    failing_since: Option<Instant>,
}

impl<'a> Pump<'a> {
    /// Returns a pump that reads from `next_offset` on, and what it delivers.
    pub(super) fn new(runner: &'a Runner, source: usize, next_offset: i64, health: &'a watch::Sender<Vec<Health>>) -> (Self, Arrivals) {
        let (sender, batches) = mpsc::channel(SOURCE_BATCHES_QUEUED_MAX);
        let end_offset = Arc::new(AtomicI64::new(0));
        let arrivals = Arrivals { batches, end_offset: Arc::clone(&end_offset) };
        (Self { runner, source, next_offset, sender, end_offset, health, wait: WAIT_FIRST, failing_since: None }, arrivals)
    }

    /// Reads until the receiver is gone or the offsets are not to be had. Other errors are waited out.
    pub(super) async fn run(mut self) {
        while let Some(error) = self.read().await {
            if matches!(error, LogError::OffsetOutOfRange { .. } | LogError::Gap { .. }) {
                // Records are gone: that is the task's to say, not something to wait out.
                let _ = self.sender.send(Err(error)).await;
                return;
            }
            self.failed(&error);
            tokio::select! {
                () = tokio::time::sleep(self.wait) => {}
                () = self.sender.closed() => return,
            }
            self.wait = (self.wait * 2).min(WAIT_MAX);
        }
    }

    /// Reads until that fails. `None`: the receiver is gone.
    async fn read(&mut self) -> Option<LogError> {
        let (log, partition) = (&self.runner.options.log, self.runner.partition);
        let Source { topic, routing, .. } = &self.runner.spec.sources[self.source];
        // First of all the task hears how much there is, so that it knows what to wait for.
        let end_offset = match log.offsets(topic, partition).await {
            Ok(offsets) => offsets.end,
            Err(error) => return Some(error),
        };
        self.deliver(Fetched { records: Vec::new(), next_offset: self.next_offset, end_offset }).await?;
        let mut reader = match log.read(topic, partition, self.next_offset, Some(routing)).await {
            Ok(reader) => reader,
            Err(error) => return Some(error),
        };
        if self.failing_since.is_none() {
            self.set_health(Health::Read);
        }
        loop {
            let fetched = tokio::select! {
                fetched = reader.next() => fetched,
                () = tokio::time::sleep(SOURCE_STEADY_AFTER), if self.failing_since.is_some() => {
                    self.recovered();
                    continue;
                }
            };
            match fetched {
                Ok(fetched) => {
                    self.recovered();
                    self.next_offset = fetched.next_offset;
                    self.deliver(fetched).await?;
                }
                Err(error) => return Some(error),
            }
        }
    }

    /// Hands a batch over. While the task has no room for it, its lag grows all the same, so that the end is still asked for. `None`: the receiver is gone.
    async fn deliver(&self, fetched: Fetched) -> Option<()> {
        self.end_offset.store(fetched.end_offset, Ordering::Relaxed);
        tokio::select! {
            biased;
            sent = self.sender.send(Ok(fetched)) => sent.ok(),
            () = self.follow_end() => None,
        }
    }

    /// Asks for the end, again and again.
    async fn follow_end(&self) {
        let topic = &self.runner.spec.sources[self.source].topic;
        loop {
            tokio::time::sleep(SOURCE_END_EVERY).await;
            // What fails here fails the reader, too, and is told there.
            if let Ok(offsets) = self.runner.options.log.offsets(topic, self.runner.partition).await {
                self.end_offset.store(offsets.end, Ordering::Relaxed);
            }
        }
    }

    fn failed(&mut self, error: &LogError) {
        let (task, topic) = (self.runner.id(), &self.runner.spec.sources[self.source].topic);
        self.runner.observe(&Event::LogRetried { task: self.runner.name(), action: "read" });
        tracing::debug!(task, topic, error = error as &dyn std::error::Error, "source is read again");
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < SOURCE_FAILING_UNTOLD_MAX {
            return;
        }
        let problem = Health::Failing(format!("source `{topic}` cannot be read: {}", with_sources(error)));
        if self.set_health(problem).problem().is_none() {
            tracing::warn!(task, topic, error = error as &dyn std::error::Error, "source cannot be read and will be tried again");
        }
    }

    fn recovered(&mut self) {
        self.wait = WAIT_FIRST;
        if self.failing_since.take().is_some() && self.set_health(Health::Read).problem().is_some() {
            tracing::info!(task = self.runner.id(), topic = self.runner.spec.sources[self.source].topic, "source is read again");
        }
    }

    /// Returns how it was before.
    fn set_health(&self, health: Health) -> Health {
        let mut before = health.clone();
        self.health.send_if_modified(|sources| {
            before = std::mem::replace(&mut sources[self.source], health);
            before != sources[self.source]
        });
        before
    }
}
