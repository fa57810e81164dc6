//! Producing: check, append in order, wait for durability, answer.
//!
//! All produce requests of a connection pass one lane. It appends a request before it takes the next, so their
//! order is that of arrival; it waits for the durability of many at a time, so a request need not wait for the
//! disk to finish with the one before; and it answers in order.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use fluvio_compression::Compression;
use fluvio_controlplane_metadata::topic::CompressionAlgorithm;
use fluvio_protocol::{Version, api::RequestKind, link::ErrorCode};
use fluvio_spu_schema::{
    Isolation,
    produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse},
    server::smartmodule::SmartModuleInvocation,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::{Data, Produced};
use crate::{
    Event,
    batch::{BatchError, BatchLimits, EncodedBatch},
    catalogue::Partition,
    disk_watch::DiskWatch,
    limits::PRODUCE_ENTRIES_MAX,
    log,
    wire::{Connection, Frame, Refusal, Request, response},
};

/// The way into the lane of one connection.
pub(super) struct Lane {
    connection: Connection,
    jobs: mpsc::Sender<Job>,
}

struct Job {
    correlation_id: i32,
    version: Version,
    arrived: Instant,
    request: ProduceRequest<Produced>,
    /// Counts against the requests in flight until the answer is on its way.
    permit: OwnedSemaphorePermit,
}

impl Lane {
    pub(super) fn start(data: Arc<Data>, connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel(data.limits.requests_in_flight_max);
        let running = connection.clone();
        connection.spawn(async move {
            if let Err(refusal) = run(&data, &running, queue).await {
                running.refuse(&refusal);
            }
        });
        Self { connection, jobs }
    }

    pub(super) async fn send(&self, request: &Request, body: ProduceRequest<Produced>) -> Result<(), Refusal> {
        let entries: usize = body.topics.iter().map(|topic| topic.partitions.len()).sum();
        if entries > PRODUCE_ENTRIES_MAX || body.topics.len() > PRODUCE_ENTRIES_MAX {
            let problem = format!("{entries} entries, at most {PRODUCE_ENTRIES_MAX} are allowed");
            return Err(Refusal::Malformed { api_key: request.header.api_key(), problem });
        }
        let permit = self.connection.admit().await?;
        let (correlation_id, version) = (request.correlation_id(), request.version());
        let job = Job { correlation_id, version, arrived: Instant::now(), request: body, permit };
        self.jobs.send(job).await.map_err(|_| crate::wire::Disconnected.into())
    }
}

async fn run(data: &Arc<Data>, connection: &Connection, mut queue: mpsc::Receiver<Job>) -> Result<(), Refusal> {
    // Bounded by the permits that the jobs carry.
    let mut answers: FuturesOrdered<BoxFuture<'static, Result<(Frame, OwnedSemaphorePermit), Refusal>>> = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                let (frame, permit) = answer?;
                connection.outbound.send(frame).await?;
                drop(permit);
            }
            job = queue.recv() => {
                let Some(job) = job else { return Ok(()) };
                answers.push_back(append(data, job).await);
            }
        }
    }
}

/// Appends everything that a request asks for, and returns the future that waits until it is durable and makes
/// the answer.
async fn append(data: &Arc<Data>, job: Job) -> BoxFuture<'static, Result<(Frame, OwnedSemaphorePermit), Refusal>> {
    let Job { correlation_id, version, arrived, request, permit } = job;
    let ProduceRequest { isolation, timeout: patience, topics, smartmodules, .. } = request;
    let mut appended = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut entries = Vec::with_capacity(topic.partitions.len());
        for entry in topic.partitions {
            let target = data.catalogue.partition(&topic.name, entry.partition_index);
            let result = append_entry(data, target, entry.records.0, &smartmodules, version).await;
            if result.is_err() {
                data.observer.observe(Event::ProduceRefused { topic: &topic.name });
            }
            entries.push((entry.partition_index, result));
        }
        appended.push((topic.name, entries));
    }

    let data = Arc::clone(data);
    async move {
        let mut responses = Vec::with_capacity(appended.len());
        let mut has_appended = false;
        for (name, entries) in appended {
            let mut partitions = Vec::with_capacity(entries.len());
            for (partition_index, result) in entries {
                let durable = match result {
                    Ok(appended) => appended.durable(&data.disk, isolation, patience).await,
                    Err(error_code) => Err(error_code),
                };
                has_appended |= durable.is_ok();
                partitions.push(describe(partition_index, durable));
            }
            responses.push(TopicProduceResponse { name, partitions });
        }
        if has_appended {
            data.observer.observe(Event::AppendDurable { latency: arrived.elapsed() });
        }
        let body = ProduceResponse { responses, throttle_time_ms: 0 };
        Ok((response(correlation_id, version, &body, Bytes::new())?, permit))
    }
    .boxed()
}

/// Records that have been written but may not be durable yet.
struct Appended {
    partition: Arc<Partition>,
    base_offset: i64,
    end_offset: i64,
}

impl Appended {
    /// Waits until the records are durable. Only those who asked for committed records have a deadline: with one
    /// node, giving up on the disk earlier would tell them nothing that they could act on.
    async fn durable(self, disk: &DiskWatch, isolation: Isolation, patience: std::time::Duration) -> Result<Self, ErrorCode> {
        let waiting = self.partition.log.wait_durable(self.end_offset);
        let waited = match isolation {
            Isolation::ReadUncommitted => waiting.await,
            Isolation::ReadCommitted => timeout(patience, waiting).await.map_err(|_| {
                let timeout_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
                ErrorCode::RequestTimedOut { timeout_ms, kind: RequestKind::Produce }
            })?,
        };
        waited.map_err(|error| log_failed(disk, &self.partition, &error))?;
        Ok(self)
    }
}

async fn append_entry(
    data: &Data,
    target: Option<Arc<Partition>>,
    raw: Bytes,
    smartmodules: &[SmartModuleInvocation],
    version: Version,
) -> Result<Appended, ErrorCode> {
    let partition = target.ok_or(ErrorCode::NotLeaderForPartition)?;
    let mut batches = EncodedBatch::parse_all(raw, &BatchLimits::default()).map_err(|error| batch_refused(&error))?;
    check_compression(&partition, &batches)?;
    if !smartmodules.is_empty() {
        let chain = data.smartmodules.start(smartmodules.to_vec(), version).await?;
        batches = chain.transform_produced(batches).await?;
    }
    if batches.is_empty() {
        return Ok(Appended { partition, base_offset: 0, end_offset: 0 });
    }
    if data.disk.is_almost_full() {
        return Err(ErrorCode::StorageError);
    }
    let records = batches.iter().map(|batch| u64::from(batch.record_count())).sum();
    let bytes = batches.iter().map(|batch| batch.as_bytes().len() as u64).sum();
    let base_offsets = partition.log.append(&batches).map_err(|error| log_failed(&data.disk, &partition, &error))?;
    data.observer.observe(Event::RecordsAppended { topic: &partition.topic, records, bytes });
    let base_offset = base_offsets[0];
    Ok(Appended { partition, base_offset, end_offset: base_offset + records as i64 })
}

fn describe(partition_index: u32, result: Result<Appended, ErrorCode>) -> PartitionProduceResponse {
    let (error_code, base_offset, log_start_offset) = match result {
        Ok(appended) => (ErrorCode::None, appended.base_offset, appended.partition.log.start_offset()),
        Err(error_code) => (error_code, -1, -1),
    };
    // Producers set the time of records, so there is none of the log's own.
    PartitionProduceResponse { partition_index, error_code, base_offset, log_append_time_ms: -1, log_start_offset }
}

fn check_compression(partition: &Partition, batches: &[EncodedBatch]) -> Result<(), ErrorCode> {
    let wanted = match partition.spec.get_compression_type() {
        CompressionAlgorithm::Any => return Ok(()),
        CompressionAlgorithm::None => Compression::None,
        CompressionAlgorithm::Gzip => Compression::Gzip,
        CompressionAlgorithm::Snappy => Compression::Snappy,
        CompressionAlgorithm::Lz4 => Compression::Lz4,
        CompressionAlgorithm::Zstd => Compression::Zstd,
    };
    if batches.iter().all(|batch| batch.compression() == wanted) { Ok(()) } else { Err(ErrorCode::CompressionError) }
}

fn batch_refused(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::TooLarge { .. } | BatchError::DecompressedTooLarge { .. } | BatchError::TooManyRecords { .. } => ErrorCode::MessageTooLarge,
        BatchError::Codec { .. } | BatchError::Decompress { .. } => ErrorCode::CompressionError,
        error => ErrorCode::Other(format!("malformed batch: {error}")),
    }
}

fn log_failed(disk: &DiskWatch, partition: &Arc<Partition>, error: &log::Error) -> ErrorCode {
    match error {
        log::Error::TooLarge { .. } => ErrorCode::MessageTooLarge,
        log::Error::Closed { reason: log::CloseReason::Deleted, .. } => ErrorCode::TopicDeleted,
        log::Error::Closed { reason: log::CloseReason::Stopping, .. } => ErrorCode::StorageError,
        error => {
            disk.refused(partition, error);
            ErrorCode::StorageError
        }
    }
}
