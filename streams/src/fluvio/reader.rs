//! Reads one partition: whole batches only, every offset accounted for.
//!
//! The server sends one response and waits until it is acknowledged. A response is acknowledged when the caller takes it, so at most one more waits here while the caller works.
//!
//! What goes wrong at a real server, and what is done about it:
//! - It cuts a response at the size that was asked for, in the midst of a batch. The cut batch is dropped and asked for again; if a batch alone is larger, for more bytes.
//! - Behind a SmartModule it skips a batch whose output is larger than what was asked for. That shows as a hole, or, at the end of the log, as silence. The reader opens a new stream
//!   at that place that asks for the largest batch there can be; if the hole is still there, records are lost and the reader says so.
//! - A connection dies without a word. A silent reader asks for the offsets now and then, and an answer that does not come breaks the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::Isolation;
use fluvio_spu_schema::server::smartmodule::{SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind};
use fluvio_spu_schema::server::stream_fetch::{StreamFetchRequest, StreamFetchResponse};
use fluvio_spu_schema::server::update_offset::{OffsetUpdate, UpdateOffsetsRequest};
use tokio::time::{Instant, sleep_until};

use super::Settings;
use super::batch::{self, Decoded};
use super::connection::Responses;
use super::limits::{FETCH_BYTES, FETCH_BYTES_MAX};
use super::servers::{Servers, ask_offsets};
use super::target::Target;
use super::telemetry::{Event, Reopening};
use super::wire::RawRecordSet;
use crate::log::{Fetched, LogError, Offsets, Reader};
use crate::topology::Routing;

const READING: &str = "reading";

/// Name under which the SmartModule that thins streams is uploaded.
pub const THIN_MAP: &str = "thin-map";

/// Name under which the SmartModule that also takes members out is uploaded.
pub const REDACT_MAP: &str = "redact-map";

type StreamRequest = StreamFetchRequest<RawRecordSet>;
type StreamResponse = StreamFetchResponse<RawRecordSet>;
type Probe = Pin<Box<dyn Future<Output = Result<Offsets, LogError>> + Send>>;

/// A reader of one partition.
pub(super) struct PartitionReader {
    target: Target,
    routing: Option<Routing>,
    servers: Arc<Servers>,
    settings: Arc<Settings>,
    /// `None` until it is opened (again).
    stream: Option<Stream>,
    /// What the caller gets next.
    next_offset: i64,
    fetch_bytes: i32,
    /// Offset at which records were missing and for which a new stream was opened.
    missing_at: Option<i64>,
    /// Said after the records that came with it.
    failed: Option<LogError>,
    /// When there was something to read that did not come.
    stalled: Option<Instant>,
    probe: Option<Probe>,
}

struct Stream {
    responses: Responses,
    version: i16,
}

impl PartitionReader {
    /// Opens a reader at `from`, which must lie within the log or at its end.
    pub(super) async fn open(target: Target, from: i64, routing: Option<&Routing>, servers: &Arc<Servers>, settings: &Arc<Settings>) -> Result<Self, LogError> {
        let mut reader = Self {
            target,
            // Who leaves nothing out needs no SmartModule, and it would not take an empty list.
            routing: routing.filter(|routing| !matches!(routing, Routing::Except(types) if types.is_empty())).cloned(),
            servers: Arc::clone(servers),
            settings: Arc::clone(settings),
            stream: None,
            next_offset: from,
            fetch_bytes: FETCH_BYTES,
            missing_at: None,
            failed: None,
            stalled: None,
            probe: None,
        };
        reader.open_stream().await?;
        Ok(reader)
    }

    /// Opens the stream if there is none. Cancel-safe: what has been sent when it is cancelled is forgotten with its connection.
    async fn open_stream(&mut self) -> Result<(), LogError> {
        if self.stream.is_some() {
            return Ok(());
        }
        let (connection, offsets) = self.servers.stream_connection(&self.target).await?;
        self.check_range(offsets)?;
        let request = StreamRequest::builder()
            .topic(self.target.topic.clone())
            .partition(self.target.partition)
            .fetch_offset(self.next_offset)
            .max_bytes(self.fetch_bytes)
            .isolation(Isolation::ReadCommitted)
            .smartmodules(self.routing.iter().map(invocation).collect::<Vec<_>>())
            .build()
            .map_err(|error| self.target.refused(READING, error.to_string()))?;
        let version = connection.version::<StreamRequest>()?;
        let responses = connection.stream(&request)?;
        self.stream = Some(Stream { responses, version });
        Ok(())
    }

    fn check_range(&self, Offsets { start, end }: Offsets) -> Result<(), LogError> {
        if (start..=end).contains(&self.next_offset) {
            return Ok(());
        }
        Err(LogError::OffsetOutOfRange { topic: self.target.topic.clone(), partition: self.target.partition, offset: self.next_offset, start, end })
    }

    async fn advance(&mut self) -> Result<Fetched, LogError> {
        loop {
            self.open_stream().await?;
            let response = self.receive().await?;
            let Some(response) = response else { continue };
            if let Some(fetched) = self.take(response)? {
                return Ok(fetched);
            }
        }
    }

    /// Waits for a response, asking meanwhile now and then whether there should be one. `None` if the stream is to be opened anew. Cancel-safe.
    async fn receive(&mut self) -> Result<Option<Bytes>, LogError> {
        let mut ask_at = Instant::now() + self.settings.timeouts.probe;
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            tokio::select! {
                biased;
                response = stream.responses.next() => {
                    (self.probe, self.stalled) = (None, None);
                    return response.map(Some);
                }
                offsets = wait(&mut self.probe), if self.probe.is_some() => {
                    self.probe = None;
                    ask_at = Instant::now() + self.settings.timeouts.probe;
                    self.judge_silence(offsets?)?;
                }
                () = sleep_until(ask_at), if self.probe.is_none() => {
                    let (connection, target) = (Arc::clone(stream.responses.connection()), self.target.clone());
                    self.probe = Some(Box::pin(async move { ask_offsets(&connection, &target).await }));
                }
            }
        }
    }

    /// Decides whether silence is right, given where the log stood when it was asked.
    fn judge_silence(&mut self, offsets: Offsets) -> Result<(), LogError> {
        self.check_range(offsets)?;
        if offsets.end <= self.next_offset {
            self.stalled = None;
            return Ok(());
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        if since.elapsed() < self.settings.timeouts.stall {
            return Ok(());
        }
        self.stalled = None;
        self.missing(offsets.end, Reopening::Stall)
    }

    /// Records from the next offset up to `to` did not come: asks for them again, once.
    fn missing(&mut self, to: i64, reason: Reopening) -> Result<(), LogError> {
        if self.missing_at == Some(self.next_offset) {
            return Err(LogError::Gap { topic: self.target.topic.clone(), partition: self.target.partition, from: self.next_offset, to });
        }
        self.missing_at = Some(self.next_offset);
        self.fetch_bytes = FETCH_BYTES_MAX;
        self.reopen(reason);
        Ok(())
    }

    fn reopen(&mut self, reason: Reopening) {
        let Target { topic, partition } = &self.target;
        tracing::debug!(topic, partition, offset = self.next_offset, ?reason, "opening a new stream");
        self.settings.observer.observe(&Event::StreamReopened { topic, partition: *partition, offset: self.next_offset, reason });
        self.stream = None;
    }

    /// Takes a response apart. `None` if it held nothing for the caller.
    fn take(&mut self, body: Bytes) -> Result<Option<Fetched>, LogError> {
        let Some(Stream { responses, version }) = &self.stream else { return Ok(None) };
        let connection = Arc::clone(responses.connection());
        let bytes = body.len();
        let response: StreamResponse = connection.decode(body, *version)?;
        let (stream_id, partition) = (response.stream_id, response.partition);
        let decoded = batch::decode(partition.records.0, self.next_offset)
            .map_err(|(offset, error)| self.target.refused(READING, format!("the batch at offset {offset} is malformed: {}", error.0)))?;
        let failed = self
            .target
            .check(READING, connection.endpoint(), &partition.error_code)
            .map_err(|error| self.with_range(error, &partition.error_code, partition.log_start_offset));
        let Decoded { records, next_offset, hole, cut } = decoded;
        let advanced = next_offset > self.next_offset;
        self.next_offset = next_offset;
        if advanced {
            self.fetch_bytes = FETCH_BYTES;
        }
        if let Err(error) = failed {
            if !advanced {
                return Err(error);
            }
            self.failed = Some(error);
        } else if let Some(to) = hole {
            self.missing(to, Reopening::Hole)?;
        } else if advanced {
            // The caller has it with this, and the server may send what comes next.
            connection.notify(&UpdateOffsetsRequest::new(vec![OffsetUpdate { offset: next_offset, session_id: stream_id }]))?;
        } else if cut {
            self.ask_for_more()?;
        }
        if !advanced {
            return Ok(None);
        }
        self.settings.observer.observe(&Event::Fetched { records: records.len(), bytes });
        Ok(Some(Fetched { records, next_offset, end_offset: partition.high_watermark.max(next_offset) }))
    }

    /// A batch did not fit into a whole response.
    fn ask_for_more(&mut self) -> Result<(), LogError> {
        if self.fetch_bytes == FETCH_BYTES_MAX {
            return Err(self.target.refused(READING, format!("the batch at offset {} has more than {FETCH_BYTES_MAX} bytes", self.next_offset)));
        }
        self.fetch_bytes = FETCH_BYTES_MAX;
        self.reopen(Reopening::LargeBatch);
        Ok(())
    }

    /// Says where the log stands if a server answers that an offset is out of range and does not say it itself.
    fn with_range(&self, error: LogError, code: &ErrorCode, start: i64) -> LogError {
        if !matches!(code, ErrorCode::OffsetOutOfRange) {
            return error;
        }
        LogError::OffsetOutOfRange { topic: self.target.topic.clone(), partition: self.target.partition, offset: self.next_offset, start, end: -1 }
    }
}

#[async_trait]
impl Reader for PartitionReader {
    async fn next(&mut self) -> Result<Fetched, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let fetched = self.advance().await;
        if let Err(error) = &fetched {
            self.failed = Some(error.clone());
            self.stream = None;
        }
        fetched
    }
}

async fn wait(probe: &mut Option<Probe>) -> Result<Offsets, LogError> {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

fn invocation(routing: &Routing) -> SmartModuleInvocation {
    let name = match routing {
        Routing::Types(_) | Routing::Except(_) => THIN_MAP,
        Routing::Redacted { .. } => REDACT_MAP,
    };
    let params: std::collections::BTreeMap<String, String> = routing.parameters().into_iter().map(|(name, list)| (name.to_owned(), list)).collect();
    SmartModuleInvocation {
        wasm: SmartModuleInvocationWasm::Predefined(name.to_owned()),
        kind: SmartModuleKind::Generic(fluvio_spu_schema::server::smartmodule::SmartModuleContextData::None),
        params: params.into(),
        name: Some(name.to_owned()),
    }
}
