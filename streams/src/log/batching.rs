//! A producer for many senders: it picks the partition, and what is sent while an append is on its way leaves together as the next one.
//!
//! There is no linger time: an idle partition appends a single record at once. There is no retry either: a failed append may have landed, so the sender decides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{Log, LogError, Writer};
use crate::limits::{PRODUCER_BATCH_BYTES_MAX, PRODUCER_BATCH_RECORDS_MAX, PRODUCER_QUEUE_BYTES_MAX, PRODUCER_QUEUE_UNIT_BYTES};
use crate::partitioner::partition_for;
use crate::record::NewRecord;

/// Sends records to a topic. Shared by reference or in an [`Arc`]; records still queued when it is dropped are sent nevertheless.
#[derive(Debug)]
pub struct BatchingProducer {
    topic: String,
    lanes: Vec<Lane>,
    keyless: AtomicU32,
}

/// The way to one partition.
#[derive(Debug)]
struct Lane {
    queue: mpsc::UnboundedSender<Queued>,
    /// Room in the queue, per partition: one whose leader is down does not hold up the others.
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Queued {
    record: NewRecord,
    sender: oneshot::Sender<Result<i64, LogError>>,
    _room: OwnedSemaphorePermit,
}

impl BatchingProducer {
    /// Returns a producer for a topic. It keeps to the number of partitions that the topic has now.
    ///
    /// # Errors
    /// [`LogError`], among them [`LogError::NoTopic`].
    pub async fn new(log: Arc<dyn Log>, topic: &str) -> Result<Self, LogError> {
        let partitions = log.partitions(topic).await?;
        let lanes = (0..partitions).map(|partition| Lane::start(Arc::clone(&log), topic.to_owned(), partition)).collect();
        Ok(Self { topic: topic.to_owned(), lanes, keyless: AtomicU32::new(0) })
    }

    /// Returns the partition for a key: Fluvio's default partitioner. Records without a key go round.
    pub fn partition(&self, key: Option<&[u8]>) -> u32 {
        let partitions = self.lanes.len() as u32;
        match key {
            Some(key) => partition_for(key, partitions),
            None => self.keyless.fetch_add(1, Ordering::Relaxed) % partitions,
        }
    }

    /// Sends a record and returns its partition and offset once it is durable. Records of one partition land in the order of these calls. Waits while the partition's queue is full.
    ///
    /// # Errors
    /// [`LogError`]; the record may have landed nevertheless.
    pub async fn send(&self, key: Option<Bytes>, value: Bytes) -> Result<(u32, i64), LogError> {
        let partition = self.partition(key.as_deref());
        let outcome = self.lanes[partition as usize].send(NewRecord { key, value }).await;
        // Nobody answers only if the runtime is being shut down.
        let stopped = || LogError::Unreachable { endpoint: self.topic.clone(), detail: "the producer has stopped".to_owned() };
        outcome.unwrap_or_else(|| Err(stopped())).map(|offset| (partition, offset))
    }
}

impl Lane {
    fn start(log: Arc<dyn Log>, topic: String, partition: u32) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        tokio::spawn(append_batches(log, topic, partition, queued));
        Self { queue, room: Arc::new(Semaphore::new(PRODUCER_QUEUE_BYTES_MAX / PRODUCER_QUEUE_UNIT_BYTES)) }
    }

    async fn send(&self, record: NewRecord) -> Option<Result<i64, LogError>> {
        let units = size(&record).div_ceil(PRODUCER_QUEUE_UNIT_BYTES).clamp(1, PRODUCER_QUEUE_BYTES_MAX / PRODUCER_QUEUE_UNIT_BYTES);
        // Tokio would make a task that has done much wait without getting in line, and a later one would overtake it.
        let room = tokio::task::unconstrained(Arc::clone(&self.room).acquire_many_owned(units as u32)).await.ok()?;
        let (sender, outcome) = oneshot::channel();
        self.queue.send(Queued { record, sender, _room: room }).ok()?;
        outcome.await.ok()
    }
}

fn size(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.len()
}

/// Appends what is queued, one batch after the other, until the producer is dropped and the queue is empty.
async fn append_batches(log: Arc<dyn Log>, topic: String, partition: u32, mut queued: mpsc::UnboundedReceiver<Queued>) {
    let mut waiting = VecDeque::new();
    let mut writer = None;
    loop {
        if waiting.is_empty() {
            let Some(first) = queued.recv().await else { return };
            waiting.push_back(first);
        }
        while waiting.len() < PRODUCER_BATCH_RECORDS_MAX {
            let Ok(next) = queued.try_recv() else { break };
            waiting.push_back(next);
        }
        let (records, senders): (Vec<_>, Vec<_>) = take_batch(&mut waiting).into_iter().map(|queued| (queued.record, queued.sender)).unzip();
        let outcome = append(&*log, &mut writer, &topic, partition, records).await;
        if let Err(error) = &outcome {
            tracing::debug!(topic, partition, %error, records = senders.len(), "append failed");
            writer = None;
        }
        for (index, sender) in senders.into_iter().enumerate() {
            // A sender that has stopped waiting does not want to know.
            drop(sender.send(outcome.clone().map(|first| first + index as i64)));
        }
    }
}

/// Takes the records of the next append. A record that is larger than a batch may be goes alone, so that no other fails with it.
fn take_batch(waiting: &mut VecDeque<Queued>) -> Vec<Queued> {
    let mut bytes = 0;
    let fitting = waiting.iter().take(PRODUCER_BATCH_RECORDS_MAX).take_while(|queued| {
        bytes += size(&queued.record);
        bytes <= PRODUCER_BATCH_BYTES_MAX
    });
    let count = fitting.count().max(1);
    waiting.drain(..count).collect()
}

async fn append(log: &dyn Log, writer: &mut Option<Arc<dyn Writer>>, topic: &str, partition: u32, records: Vec<NewRecord>) -> Result<i64, LogError> {
    let open = match writer {
        Some(open) => open,
        None => writer.insert(log.writer(topic, partition).await?),
    };
    open.append(records).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::memory::MemoryLog;

    #[tokio::test]
    async fn records_land_in_order_and_keys_keep_their_partition() {
        let log = MemoryLog::default();
        log.create("orders", 3);
        let producer = BatchingProducer::new(Arc::new(log), "orders").await.expect("the topic is there");
        let mut next = [0, 0, 0];
        for index in 0..100 {
            let key = Bytes::from(format!("o-{}", index % 7));
            let (partition, offset) = producer.send(Some(key.clone()), "{}".into()).await.expect("lands");
            assert_eq!(partition, partition_for(&key, 3));
            assert_eq!(offset, next[partition as usize]);
            next[partition as usize] += 1;
        }
        let spread: Vec<u32> = (0..6).map(|_| producer.partition(None)).collect();
        assert_eq!(spread, [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn what_waits_goes_together() {
        let queued = |bytes: usize| {
            let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
            Queued { record: NewRecord { key: None, value: vec![0; bytes].into() }, sender: oneshot::channel().0, _room: room }
        };
        let mut waiting: VecDeque<Queued> = [1, PRODUCER_BATCH_BYTES_MAX - 1, 1, PRODUCER_BATCH_BYTES_MAX + 1, 5].map(queued).into();
        assert_eq!(take_batch(&mut waiting).len(), 2, "as many as fit");
        assert_eq!(take_batch(&mut waiting).len(), 1, "not together with one that is too large");
        assert_eq!(take_batch(&mut waiting).len(), 1, "the large one alone");
        assert_eq!(take_batch(&mut waiting).len(), 1);
        assert!(waiting.is_empty());
    }

    #[tokio::test]
    async fn a_topic_that_is_not_there_is_named() {
        let error = BatchingProducer::new(Arc::new(MemoryLog::default()), "orders").await.expect_err("there is no topic");
        assert!(matches!(error, LogError::NoTopic { topic } if topic == "orders"));
    }
}
