//! Follows one partition for one view.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use fluvio_streams::log::{Fetched, LogError, Reader};
use fluvio_streams::record::LogRecord;
use fluvio_streams::topology::STUB;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fold::{Folded, Refusal, fold, read};
use super::waiting::{Position, watch};
use super::{Sink, SinkError};
use crate::backoff::Backoff;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, FETCHES_QUEUED_MAX};
use crate::store::Batch;
use crate::telemetry::{Event, EventViewed};

/// Follows the partition until `shutdown`. May be stopped anywhere: what is stored is always whole.
pub(super) async fn run(sink: Arc<Sink>, partition: u32, shutdown: CancellationToken) {
    let position = Position::default();
    tokio::select! {
        () = go_on(&sink, partition, &position, &shutdown) => {}
        () = watch(&sink, partition, &position) => {}
    }
}

async fn go_on(sink: &Sink, partition: u32, position: &Position, shutdown: &CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        let failure = tokio::select! {
            () = shutdown.cancelled() => return,
            failure = follow(sink, partition, position, &mut backoff) => failure,
        };
        let Err(error) = failure;
        position.begins();
        sink.stalled(Some(partition), &error, &mut backoff, shutdown).await;
    }
}

/// Reads ahead and writes at the same time, until something fails.
async fn follow(sink: &Sink, partition: u32, position: &Position, backoff: &mut Backoff) -> Result<Infallible, SinkError> {
    let (from, end) = start(sink, partition).await?;
    position.hears_of_end(end);
    position.has_taken(from);
    let reader = sink.log.read(&sink.view.topic, partition, from, Some(&sink.projection.routing())).await?;
    sink.tell_whether_fit(partition, position);
    let (sender, receiver) = mpsc::channel(FETCHES_QUEUED_MAX);
    tokio::select! {
        failure = pump(reader, sender) => failure,
        failure = write(sink, partition, from, position, receiver, backoff) => failure,
    }
}

/// Returns where to go on, at the view's progress or where the log begins if retention has overtaken it, and where the log ends.
async fn start(sink: &Sink, partition: u32) -> Result<(i64, i64), SinkError> {
    let taken = sink.store.begin(&sink.view, partition).await?;
    let held = sink.log.offsets(&sink.view.topic, partition).await?;
    if taken > held.end {
        return Err(SinkError::AheadOfLog { topic: sink.view.topic.clone(), partition, taken, end: held.end });
    }
    if taken < held.start {
        sink.observer.observe(Event::RecordsMissed { view: &sink.view, partition, from: taken, to: held.start });
    }
    let from = taken.max(held.start);
    sink.observer.observe(Event::ViewStarted { view: &sink.view, partition, behind: held.end - from });
    Ok((from, held.end))
}

async fn pump(mut reader: Box<dyn Reader>, sender: mpsc::Sender<Fetched>) -> Result<Infallible, SinkError> {
    loop {
        let fetched = reader.next().await?;
        if sender.send(fetched).await.is_err() {
            // The writing half has failed, and this future is dropped with it.
            std::future::pending::<()>().await;
        }
    }
}

async fn write(
    sink: &Sink,
    partition: u32,
    from: i64,
    position: &Position,
    mut receiver: mpsc::Receiver<Fetched>,
    backoff: &mut Backoff,
) -> Result<Infallible, SinkError> {
    let mut pending = Pending { records: VecDeque::new(), next_offset: from, end_offset: from };
    loop {
        if pending.records.is_empty() {
            match receiver.recv().await {
                Some(fetched) => pending.add(&sink.view.topic, partition, fetched)?,
                None => std::future::pending::<()>().await,
            }
        }
        while pending.records.len() < BATCH_RECORDS_MAX {
            let Ok(fetched) = receiver.try_recv() else { break };
            pending.add(&sink.view.topic, partition, fetched)?;
        }
        let (records, next_offset) = pending.take();
        position.begins();
        apply(sink, partition, records, next_offset, pending.end_offset).await?;
        let was_fit = position.records_until_fit() == 0;
        position.has_taken(next_offset);
        if !was_fit {
            sink.tell_whether_fit(partition, position);
        }
        backoff.reset();
    }
}

/// Records that were read and not yet written.
struct Pending {
    records: VecDeque<LogRecord>,
    /// First offset that was not read.
    next_offset: i64,
    /// One past the last offset of the log, as far as is known.
    end_offset: i64,
}

impl Pending {
    fn add(&mut self, topic: &str, partition: u32, fetched: Fetched) -> Result<(), LogError> {
        for record in fetched.records {
            if record.offset > self.next_offset {
                return Err(LogError::Gap { topic: topic.to_owned(), partition, from: self.next_offset, to: record.offset });
            }
            if record.offset == self.next_offset {
                self.next_offset += 1;
                self.records.push_back(record);
            }
        }
        self.next_offset = self.next_offset.max(fetched.next_offset);
        self.end_offset = fetched.end_offset.max(self.next_offset);
        Ok(())
    }

    /// Takes the next batch; returns it and the first offset after it. Records that routing left out cost nothing and do not count.
    fn take(&mut self) -> (Vec<LogRecord>, i64) {
        let (mut records, mut bytes) = (0, 0);
        let mut is_within = |record: &LogRecord| {
            let is_stub = *record.value == *STUB;
            let fits = is_stub || (records < BATCH_RECORDS_MAX && (records == 0 || bytes + record.value.len() <= BATCH_BYTES_MAX));
            if fits && !is_stub {
                records += 1;
                bytes += record.value.len();
            }
            fits
        };
        let count = self.records.iter().take_while(|record| is_within(record)).count();
        let batch: Vec<LogRecord> = self.records.drain(..count).collect();
        let next_offset = self.records.front().map_or(self.next_offset, |record| record.offset);
        (batch, next_offset)
    }
}

/// Folds and writes one batch: dead letters first, then documents, then progress.
async fn apply(sink: &Sink, partition: u32, records: Vec<LogRecord>, next_offset: i64, end_offset: i64) -> Result<(), SinkError> {
    let started = Instant::now();
    let count = records.len();
    let mut refusals: Vec<Refusal> = Vec::new();
    let changes = read(&sink.view, sink.projection.as_ref(), partition, records, &mut refusals);
    let mut folded = Folded::default();
    if !changes.is_empty() {
        let ids: Vec<String> = changes.iter().map(|change| change.id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let stored = sink.store.get(&sink.view, &ids).await?;
        let is_traced = sink.observer.wants_traces() || tracing::enabled!(tracing::Level::DEBUG);
        folded = fold((&sink.view, sink.projection.as_ref()), partition, changes, stored, is_traced, &mut refusals);
    }
    if let Some(first) = refusals.first() {
        sink.dead_letters.write(&sink.view, partition, &refusals).await?;
        sink.observer.observe(Event::RecordsRefused { view: &sink.view, partition, records: refusals.len(), first_error: &first.error });
    }
    let traced = std::mem::take(&mut folded.traced);
    let documents = sink.store.apply(&sink.view, Batch { partition, documents: folded.documents, next_offset }).await?;
    sink.observer.observe(Event::ViewAdvanced {
        view: &sink.view,
        partition,
        records: count,
        documents,
        behind: end_offset.max(next_offset) - next_offset,
        last_event_ms: folded.last_event_ms,
        elapsed: started.elapsed(),
    });
    if !traced.is_empty() {
        sink.observer.observe(Event::EventsTraced { view: &sink.view, events: &traced, took: started.elapsed() });
        for EventViewed { context, what, position, document, .. } in &traced {
            tracing::debug!(view = sink.view.name(), trace_id = %context.trace, what, position, document, "event is in the view");
        }
    }
    Ok(())
}
