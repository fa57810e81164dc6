//! Appends to one partition, pipelined and in order.
//!
//! Both the real server and the embedded one work through the appends of one connection in the order of their arrival, so the order on the wire is the order in the log. One failed
//! append breaks the order, so it fails every later one, those in flight included, until the writer is opened anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use fluvio_spu_schema::Isolation;
use fluvio_spu_schema::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Settings;
use super::batch;
use super::connection::{Connection, Room};
use super::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};
use super::target::Target;
use super::telemetry::Event;
use super::wire::{self, RawRecordSet};
use crate::log::{LogError, Writer};
use crate::record::NewRecord;
use crate::time::{Clock, SystemClock};

const APPENDING: &str = "appending to";

/// A writer of one partition on one connection.
pub(super) struct PartitionWriter {
    connection: Arc<Connection>,
    settings: Arc<Settings>,
    order: Arc<Order>,
}

/// The appends in flight, in the order in which they were sent; acknowledged to their callers in this order.
struct Order {
    target: Target,
    endpoint: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The first failure; everything after it fails with it.
    failed: Option<LogError>,
    /// Ticket of the first append in flight; they are numbered from 0.
    front: u64,
    in_flight: VecDeque<InFlight>,
    /// No acknowledged record may stand before this offset.
    floor: i64,
}

struct InFlight {
    caller: oneshot::Sender<Result<i64, LogError>>,
    records: i64,
    outcome: Option<Result<i64, LogError>>,
}

impl PartitionWriter {
    pub(super) fn new(target: Target, connection: Arc<Connection>, settings: &Arc<Settings>) -> Self {
        let order = Order { target, endpoint: connection.endpoint().to_owned(), state: Mutex::new(State::default()) };
        Self { connection, settings: Arc::clone(settings), order: Arc::new(order) }
    }

    fn encode(&self, records: &[NewRecord]) -> Result<BytesMut, LogError> {
        let target = &self.order.target;
        let refused = |detail: String| target.refused(APPENDING, detail);
        let bytes = batch::size(records);
        if records.is_empty() {
            return Err(refused("there are no records to append".to_owned()));
        }
        if records.len() > APPEND_RECORDS_MAX || bytes > APPEND_BYTES_MAX {
            return Err(refused(format!("{} records of {bytes} bytes, at most {APPEND_RECORDS_MAX} of {APPEND_BYTES_MAX} are allowed", records.len())));
        }
        let batch = batch::encode(records, SystemClock.now_ms(), self.settings.compression).map_err(|error| refused(error.0))?;
        let data = PartitionProduceData { partition_index: target.partition, records: RawRecordSet(batch) };
        self.connection.encode(&ProduceRequest {
            isolation: Isolation::ReadCommitted,
            timeout: self.settings.timeouts.append / 2,
            topics: vec![TopicProduceData { name: target.topic.clone(), partitions: vec![data], ..TopicProduceData::default() }],
            ..ProduceRequest::default()
        })
    }

    /// Puts the append in line and on the wire in one go, so that both orders are the same.
    fn send(&self, frame: BytesMut, records: usize, room: Room) -> Result<oneshot::Receiver<Result<i64, LogError>>, LogError> {
        let version = self.connection.version::<ProduceRequest<RawRecordSet>>()?;
        let (caller, outcome) = oneshot::channel();
        let mut state = self.order.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let ticket = state.front + state.in_flight.len() as u64;
        let order = Arc::clone(&self.order);
        let completion = move |answer: Result<Bytes, LogError>| order.complete(ticket, answer.and_then(|body| order.read_answer(body, version)));
        if let Err(error) = self.connection.submit(frame, Box::new(completion), Some(room)) {
            state.failed = Some(error.clone());
            return Err(error);
        }
        state.in_flight.push_back(InFlight { caller, records: records as i64, outcome: None });
        Ok(outcome)
    }

    async fn append_inner(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        let frame = self.encode(&records)?;
        let count = records.len();
        drop(records);
        let (started, bytes) = (Instant::now(), frame.len());
        let room = self.connection.room(bytes).await?;
        let outcome = self.send(frame, count, room)?;
        let limit = self.settings.timeouts.append;
        let result = match timeout(limit, outcome).await {
            Ok(outcome) => outcome.map_err(|_| self.connection.failure())?,
            Err(_) => {
                self.connection.close(&format!("an append was not acknowledged within {} ms", limit.as_millis()));
                Err(self.connection.failure())
            }
        };
        self.settings.observer.observe(&match result {
            Ok(_) => Event::Appended { records: count, bytes, elapsed: started.elapsed() },
            Err(_) => Event::AppendFailed { records: count },
        });
        result
    }
}

#[async_trait]
impl Writer for PartitionWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        self.append_inner(records).await
    }
}

impl Order {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the answer to a request with one batch.
    fn read_answer(&self, body: Bytes, version: i16) -> Result<i64, LogError> {
        let refused = |detail: String| self.target.refused(APPENDING, detail);
        let answer: ProduceResponse = wire::response(body, version).map_err(|error| refused(format!("the answer does not decode: {error}")))?;
        let partition = answer.responses.first().and_then(|topic| topic.partitions.first()).ok_or_else(|| refused("the answer is empty".to_owned()))?;
        self.target.check(APPENDING, &self.endpoint, &partition.error_code)?;
        Ok(partition.base_offset)
    }

    /// Notes an outcome and tells the callers whose turn it is.
    fn complete(&self, ticket: u64, outcome: Result<i64, LogError>) {
        let mut state = self.lock();
        let place = (ticket - state.front) as usize;
        if let Some(append) = state.in_flight.get_mut(place) {
            append.outcome = Some(outcome);
        }
        while let Some(outcome) = state.in_flight.front_mut().and_then(|append| append.outcome.take()) {
            let Some(append) = state.in_flight.pop_front() else { break };
            state.front += 1;
            let result = state.settle(&self.target, outcome, append.records);
            // A caller that has stopped waiting does not want to know.
            drop(append.caller.send(result));
        }
    }
}

impl State {
    fn settle(&mut self, target: &Target, outcome: Result<i64, LogError>, records: i64) -> Result<i64, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let checked = outcome.and_then(|offset| {
            let detail = format!("acknowledged at offset {offset} after an earlier append had reached {}", self.floor);
            if offset >= self.floor { Ok(offset) } else { Err(target.refused(APPENDING, detail)) }
        });
        match &checked {
            Ok(offset) => self.floor = offset.saturating_add(records),
            Err(error) => self.failed = Some(error.clone()),
        }
        checked
    }
}
