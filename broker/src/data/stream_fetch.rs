//! Streaming fetch: one task per consumer and partition.
//!
//! A stream sends whole batches as they are stored, one response at a time, and goes on from where the consumer
//! acknowledges. It sees nothing beyond the high watermark, so nothing it sends can be lost again.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fluvio_protocol::{Version, link::ErrorCode};
use fluvio_spu_schema::{
    fetch::FetchablePartitionResponse,
    server::{
        smartmodule::SmartModuleInvocation,
        stream_fetch::{StreamFetchRequest, StreamFetchResponse},
    },
};

use super::{Data, Stored, Streams, streams::Registration};
use crate::{
    Event,
    batch::BatchLimits,
    catalogue::Partition,
    encode::cut_front,
    limits::CONSUMER_ID_BYTES_MAX,
    log::{self, ReadSlice},
    offset_store::Key,
    smartmodule::Chain,
    wire::{Connection, Disconnected, Refusal, Request, Slot, response},
};

/// Starts the stream that a request asks for; it runs until the connection ends or something fails.
pub(super) async fn start(
    data: &Arc<Data>,
    connection: &Connection,
    streams: &Arc<Streams>,
    request: &Request,
    body: StreamFetchRequest<Stored>,
) -> Result<(), Refusal> {
    let address = Address { correlation_id: request.correlation_id(), version: request.version(), topic: body.topic.clone(), partition: body.partition };
    let opened = open(data, streams, &body);
    let (registration, partition) = match opened {
        Ok(opened) => opened,
        Err(error_code) => {
            let slot = connection.outbound.reserve(0).await?;
            return address.send_error(slot, 0, error_code).await;
        }
    };
    let bytes_max = usize::try_from(body.max_bytes).unwrap_or(0).clamp(1, data.limits.fetch_bytes_max);
    let stream = Stream {
        data: Arc::clone(data),
        connection: connection.clone(),
        streams: Arc::clone(streams),
        address,
        partition,
        registration,
        offset: body.fetch_offset,
        bytes_max,
    };
    let connection = connection.clone();
    connection.clone().spawn(async move {
        let observer = Arc::clone(&stream.data.observer);
        observer.observe(Event::StreamOpened);
        let ended = stream.run(body.smartmodules).await;
        observer.observe(Event::StreamClosed);
        if let Err(refusal) = ended {
            connection.refuse(&refusal);
        }
    });
    Ok(())
}

fn open(data: &Data, streams: &Streams, body: &StreamFetchRequest<Stored>) -> Result<(Registration, Arc<Partition>), ErrorCode> {
    let partition = data.catalogue.partition(&body.topic, body.partition).ok_or(ErrorCode::NotLeaderForPartition)?;
    let consumer = body.consumer_id.clone().map(|consumer| Key { topic: body.topic.clone(), partition: body.partition, consumer });
    if consumer.as_ref().is_some_and(|key| key.consumer.is_empty() || key.consumer.len() > CONSUMER_ID_BYTES_MAX) {
        let message = format!("a consumer id has 1 to {CONSUMER_ID_BYTES_MAX} bytes");
        return Err(ErrorCode::Other(message));
    }
    let registration = streams.open(consumer).ok_or_else(|| {
        let max = data.limits.streams_per_connection_max;
        ErrorCode::Other(format!("one connection has at most {max} streams"))
    })?;
    Ok((registration, partition))
}

/// What every response of a stream has in common.
struct Address {
    correlation_id: i32,
    version: Version,
    topic: String,
    partition: u32,
}

/// The part of a response that differs.
struct Content {
    bytes: Bytes,
    /// Where the consumer is to go on.
    next_offset: i64,
    high_watermark: i64,
    start_offset: i64,
    error: Option<ErrorCode>,
}

impl Address {
    async fn send(&self, slot: Slot, stream_id: u32, content: Content) -> Result<(), Refusal> {
        let partition = FetchablePartitionResponse {
            partition_index: self.partition,
            error_code: content.error.unwrap_or_default(),
            high_watermark: content.high_watermark,
            next_filter_offset: content.next_offset,
            log_start_offset: content.start_offset,
            aborted: None,
            records: Stored { bytes: content.bytes.len() },
        };
        let body = StreamFetchResponse { topic: self.topic.clone(), stream_id, partition };
        let frame = response(self.correlation_id, self.version, &body, content.bytes)?;
        Ok(slot.send(frame).await?)
    }

    async fn send_error(&self, slot: Slot, stream_id: u32, error_code: ErrorCode) -> Result<(), Refusal> {
        let error = Some(error_code);
        let content = Content { bytes: Bytes::new(), next_offset: -1, high_watermark: -1, start_offset: -1, error };
        self.send(slot, stream_id, content).await
    }
}

struct Stream {
    data: Arc<Data>,
    connection: Connection,
    streams: Arc<Streams>,
    address: Address,
    partition: Arc<Partition>,
    registration: Registration,
    /// The next record that the consumer wants.
    offset: i64,
    bytes_max: usize,
}

/// Why a stream ends before its connection does.
enum End {
    /// The consumer is told.
    Failed(ErrorCode),
    Refused(Refusal),
}

impl From<ErrorCode> for End {
    fn from(error_code: ErrorCode) -> Self {
        Self::Failed(error_code)
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Disconnected> for End {
    fn from(disconnected: Disconnected) -> Self {
        Self::Refused(disconnected.into())
    }
}

impl Stream {
    async fn run(mut self, smartmodules: Vec<SmartModuleInvocation>) -> Result<(), Refusal> {
        let deleted = self.partition.deleted.clone();
        let evicted = self.registration.evicted.clone();
        let ended = tokio::select! {
            biased;
            () = deleted.cancelled() => Err(ErrorCode::TopicDeleted.into()),
            () = evicted.cancelled() => {
                Err(ErrorCode::Other("the stream was not read from for long and made room for another".to_owned()).into())
            }
            ended = self.serve(smartmodules) => ended,
        };
        match ended {
            Ok(()) => Ok(()),
            Err(End::Refused(refusal)) => Err(refusal),
            Err(End::Failed(error_code)) => {
                self.data.refusals.tell(&self.address.topic, self.address.partition, &error_code);
                let slot = self.connection.outbound.reserve(0).await?;
                self.address.send_error(slot, self.registration.id, error_code).await
            }
        }
    }

    async fn serve(&mut self, smartmodules: Vec<SmartModuleInvocation>) -> Result<(), End> {
        self.check_start()?;
        let chain = self.start_chain(smartmodules).await?;
        let mut high_watermark = self.partition.log.watch_high_watermark();
        loop {
            // The receiver ends with the log, which ends with the topic or the broker.
            if high_watermark.wait_for(|reached| *reached > self.offset).await.is_err() {
                return Ok(());
            }
            // Room first, records second: they wait on disk while the client is slow.
            let slot = self.connection.outbound.reserve(self.bytes_max).await?;
            let content = self.read(chain.as_ref()).await?;
            let has_failed = content.error.is_some();
            self.registration.acknowledged.mark_unchanged();
            self.streams.set_waiting(self.registration.id, true);
            self.address.send(slot, self.registration.id, content).await?;
            if has_failed {
                return Ok(());
            }
            if self.registration.acknowledged.changed().await.is_err() {
                return Ok(());
            }
            self.streams.set_waiting(self.registration.id, false);
            self.offset = *self.registration.acknowledged.borrow_and_update();
        }
    }

    fn check_start(&self) -> Result<(), ErrorCode> {
        let (offset, log) = (self.offset, &self.partition.log);
        let (start, end) = (log.start_offset(), log.end_offset());
        if offset > end {
            return Err(ErrorCode::Other(format!("start offset {offset} is greater than leo {end}")));
        }
        if offset < start {
            return Err(ErrorCode::OffsetEvicted { offset, next_available: start });
        }
        Ok(())
    }

    async fn start_chain(&self, smartmodules: Vec<SmartModuleInvocation>) -> Result<Option<Chain>, ErrorCode> {
        if smartmodules.is_empty() {
            return Ok(None);
        }
        let looks_back = smartmodules.iter().any(|invocation| invocation.params.lookback().is_some());
        let chain = self.data.smartmodules.start(smartmodules, self.address.version).await?;
        if looks_back {
            chain.look_back(self.partition.log.clone()).await?;
        }
        Ok(Some(chain))
    }

    /// Reads what comes next and, if there is a chain, runs it through that.
    async fn read(&self, chain: Option<&Chain>) -> Result<Content, ErrorCode> {
        let slice = self.partition.log.read(self.offset, self.bytes_max).map_err(|error| self.read_failed(&error))?;
        let ReadSlice { start_offset, high_watermark, .. } = slice;
        let (bytes, next_offset, error) = match chain {
            None => (self.cut(&slice)?, slice.next_offset, None),
            Some(chain) => {
                let batches = slice.batches(&BatchLimits::default()).map_err(|error| unreadable(&error))?;
                let transformed = chain.transform(batches, self.offset, self.bytes_max).await?;
                (transformed.bytes, transformed.next_offset, transformed.error)
            }
        };
        let records = u64::try_from(next_offset - self.offset).unwrap_or(0);
        let event = Event::RecordsSent { topic: &self.partition.topic, records, bytes: bytes.len() as u64 };
        self.data.observer.observe(event);
        Ok(Content { bytes, next_offset, high_watermark, start_offset, error })
    }

    /// Clients count the offsets of what they receive to know when they have read up to the end, so the first
    /// batch must not begin before what they asked for.
    fn cut(&self, slice: &ReadSlice) -> Result<Bytes, ErrorCode> {
        if slice.base_offset >= self.offset {
            return Ok(slice.bytes.clone());
        }
        let batches = slice.batches(&BatchLimits::default()).map_err(|error| unreadable(&error))?;
        let Some(first) = batches.first() else { return Ok(Bytes::new()) };
        let mut bytes = BytesMut::from(cut_front(first, self.offset).map_err(|error| unreadable(&error))?);
        bytes.extend_from_slice(&slice.bytes[first.as_bytes().len()..]);
        Ok(bytes.freeze())
    }

    fn read_failed(&self, error: &log::Error) -> ErrorCode {
        match error {
            log::Error::OffsetOutOfRange { offset, start, .. } if offset < start => ErrorCode::OffsetEvicted { offset: *offset, next_available: *start },
            log::Error::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            log::Error::Closed { reason: log::CloseReason::Deleted, .. } => ErrorCode::TopicDeleted,
            error => {
                let (topic, partition) = (&self.partition.topic, self.partition.index);
                tracing::error!(topic, partition, %error, source = std::error::Error::source(error), "cannot read");
                ErrorCode::StorageError
            }
        }
    }
}

fn unreadable(error: &crate::batch::BatchError) -> ErrorCode {
    tracing::error!(%error, "stored batch cannot be decoded");
    ErrorCode::StorageError
}
