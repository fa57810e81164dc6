//! Appends commands of many senders: those that arrive while an append is under way share the next one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::{NewRecord, Position};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, APPEND_TIMEOUT, APPENDS_QUEUED_MAX};
use crate::telemetry::{Event, Observer};

/// Why a command is not in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Too many wait already. It was not taken.
    #[error("queue of the topic's writer is full")]
    Full,
    /// The log could not be reached. It was not taken.
    #[error("command was not sent")]
    NotSent(#[source] LogError),
    /// It is not known whether it was taken.
    #[error("it is not known whether the command was taken")]
    Doubtful(#[source] LogError),
}

/// A record and who waits for it.
struct Pending {
    record: NewRecord,
    reply: oneshot::Sender<Result<Position, AppendError>>,
}

/// Appends to a topic: one task for each partition, which stops with `shutdown`.
#[derive(Debug)]
pub(crate) struct Appender {
    queues: Vec<mpsc::Sender<Pending>>,
}

impl Appender {
    pub(crate) fn start(log: &Arc<dyn Log>, topic: &str, partitions: u32, observer: &Arc<dyn Observer>, shutdown: &CancellationToken) -> Self {
        let start = |partition| {
            let (sender, receiver) = mpsc::channel(APPENDS_QUEUED_MAX);
            let lane = Lane { log: Arc::clone(log), topic: topic.to_owned(), partition, observer: Arc::clone(observer), writer: None };
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(lane.run(receiver)));
            sender
        };
        Self { queues: (0..partitions).map(start).collect() }
    }

    /// Appends a record to the partition of its key; returns where it stands once it is durable. If the caller stops waiting before the record is sent, it is not sent.
    pub(crate) async fn append(&self, key: &str, value: Vec<u8>) -> Result<Position, AppendError> {
        let partition = partition_for(key.as_bytes(), self.queues.len() as u32);
        let (reply, answer) = oneshot::channel();
        let record = NewRecord { key: Some(Bytes::copy_from_slice(key.as_bytes())), value: value.into() };
        self.queues[partition as usize].try_send(Pending { record, reply }).map_err(|_| AppendError::Full)?;
        answer
            .await
            .unwrap_or_else(|_| Err(AppendError::Doubtful(LogError::Refused { action: "append".to_owned(), detail: "the server is stopping".to_owned() })))
    }
}

/// One partition.
struct Lane {
    log: Arc<dyn Log>,
    topic: String,
    partition: u32,
    observer: Arc<dyn Observer>,
    writer: Option<Arc<dyn Writer>>,
}

impl Lane {
    async fn run(mut self, mut queue: mpsc::Receiver<Pending>) {
        while let Some(first) = queue.recv().await {
            let mut bytes = first.record.value.len();
            let mut batch = vec![first];
            while batch.len() < APPEND_RECORDS_MAX && bytes < APPEND_BYTES_MAX {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.record.value.len();
                batch.push(next);
            }
            // Nobody waits for these any more, and nothing was promised.
            batch.retain(|pending| !pending.reply.is_closed());
            if !batch.is_empty() {
                self.append(batch).await;
            }
        }
    }

    async fn append(&mut self, batch: Vec<Pending>) {
        let started = Instant::now();
        let (records, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|pending| (pending.record, pending.reply)).unzip();
        let count = records.len();
        let writer = match self.writer().await {
            Ok(writer) => writer,
            Err(error) => {
                self.observer.observe(Event::AppendFailed { topic: &self.topic, records: count, error: &error });
                return answer_all(replies, |_| Err(AppendError::NotSent(error.clone())));
            }
        };
        match self.bounded(writer.append(records)).await {
            Ok(base) => {
                self.observer.observe(Event::CommandsAppended { topic: &self.topic, records: count, elapsed: started.elapsed() });
                let position = |index: usize| Position { topic: self.topic.clone(), partition: self.partition, offset: base + index as i64 };
                answer_all(replies, |index| Ok(position(index)));
            }
            Err(error) => {
                self.writer = None;
                self.observer.observe(Event::AppendFailed { topic: &self.topic, records: count, error: &error });
                answer_all(replies, |_| Err(AppendError::Doubtful(error.clone())));
            }
        }
    }

    async fn writer(&mut self) -> Result<Arc<dyn Writer>, LogError> {
        if let Some(writer) = &self.writer {
            return Ok(Arc::clone(writer));
        }
        let writer = self.bounded(self.log.writer(&self.topic, self.partition)).await?;
        Ok(Arc::clone(self.writer.insert(writer)))
    }

    async fn bounded<T>(&self, answer: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        let silent = || LogError::Unreachable { endpoint: self.topic.clone(), detail: format!("no acknowledgement within {APPEND_TIMEOUT:?}") };
        tokio::time::timeout(APPEND_TIMEOUT, answer).await.unwrap_or_else(|_| Err(silent()))
    }
}

fn answer_all(replies: Vec<oneshot::Sender<Result<Position, AppendError>>>, answer: impl Fn(usize) -> Result<Position, AppendError>) {
    for (index, reply) in replies.into_iter().enumerate() {
        // A sender that has gone away does not want to know.
        let _ = reply.send(answer(index));
    }
}
