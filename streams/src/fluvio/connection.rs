//! One connection to a server: many requests and streams at once, told apart by correlation id.
//!
//! A task writes what is queued, another reads and hands each response to whoever waits for it; neither ever waits for a user of the connection. When the connection breaks, every
//! user gets [`LogError::Unreachable`]; a broken connection stays broken, the pool opens another one.

mod dial;
mod io;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use fluvio_protocol::Decoder;
use fluvio_protocol::api::Request;
use fluvio_protocol::link::versions::{ApiVersionsRequest, ApiVersionsResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::fluvio::Settings;
use crate::fluvio::limits::{APPEND_BYTES_IN_FLIGHT_MAX, APPEND_UNIT_BYTES, STREAM_RESPONSES_QUEUED_MAX, STREAMS_PER_CONNECTION_MAX};
use crate::fluvio::telemetry::{Event, Purpose};
use crate::fluvio::wire;
use crate::log::LogError;

pub use dial::WithinProcess;

/// Takes the body of a response, or the reason why there will be none. Runs on the task that reads: it must not block.
pub(super) type Completion = Box<dyn FnOnce(Result<Bytes, LogError>) + Send>;

/// Room for an append among the bytes in flight; given back when it is answered.
pub(super) type Room = OwnedSemaphorePermit;

/// A connection. Dropping it closes it.
pub(super) struct Connection {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    versions: Vec<(u16, i16, i16)>,
    room: Arc<Semaphore>,
    streams_opened: AtomicUsize,
    tasks: [AbortHandle; 2],
}

/// What the connection, its two tasks and its streams share.
struct Shared {
    endpoint: String,
    purpose: Purpose,
    settings: Arc<Settings>,
    room: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    closed: Option<LogError>,
    /// Where frames are queued; gone once the connection is closed. Unbounded, since appends take room before, and everything else is at most a few small frames per reader.
    queue: Option<mpsc::UnboundedSender<BytesMut>>,
    correlation: i32,
    waiting: HashMap<i32, Waiter>,
}

enum Waiter {
    Once { completion: Completion, _room: Option<Room> },
    Stream(mpsc::Sender<Bytes>),
}

/// The receiving end of a stream. Dropping it makes the connection forget it; the server forgets it with the connection only.
pub(super) struct Responses {
    receiver: mpsc::Receiver<Bytes>,
    correlation: i32,
    connection: Arc<Connection>,
}

impl Connection {
    /// Connects and asks the server which versions it speaks.
    pub(super) async fn open(endpoint: &str, purpose: Purpose, settings: &Arc<Settings>) -> Result<Arc<Self>, LogError> {
        let limit = settings.timeouts.connect;
        let late = |what: &str| unreachable(endpoint, format!("{what} took more than {} ms", limit.as_millis()));
        let connected = timeout(limit, dial::dial(endpoint, settings)).await.map_err(|_| late("connecting"))?;
        let halves = connected.map_err(|error| unreachable(endpoint, format!("connecting failed: {error}")))?;
        let mut connection = Self::start(halves, endpoint, purpose, settings);
        let greeting = ApiVersionsRequest { client_version: env!("CARGO_PKG_VERSION").to_owned(), ..ApiVersionsRequest::default() };
        let greeted: ApiVersionsResponse =
            timeout(limit, connection.ask(greeting, ApiVersionsRequest::DEFAULT_API_VERSION)).await.map_err(|_| late("the greeting"))??;
        connection.versions = greeted.api_keys.iter().map(|key| (key.api_key as u16, key.min_version, key.max_version)).collect();
        settings.observer.observe(&Event::Connected { endpoint, purpose });
        Ok(Arc::new(connection))
    }

    fn start(halves: dial::Halves, endpoint: &str, purpose: Purpose, settings: &Arc<Settings>) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(APPEND_BYTES_IN_FLIGHT_MAX / APPEND_UNIT_BYTES));
        let shared = Arc::new(Shared {
            endpoint: endpoint.to_owned(),
            purpose,
            settings: Arc::clone(settings),
            room: Arc::clone(&room),
            state: Mutex::new(State { closed: None, queue: Some(queue), correlation: 0, waiting: HashMap::new() }),
        });
        let tasks = [
            tokio::spawn(io::write_frames(halves.writer, queued, Arc::clone(&shared))).abort_handle(),
            tokio::spawn(io::read_frames(halves.reader, Arc::clone(&shared))).abort_handle(),
        ];
        Self { shared, settings: Arc::clone(settings), versions: Vec::new(), room, streams_opened: AtomicUsize::new(0), tasks }
    }

    /// Returns true as long as nothing has broken it.
    pub(super) fn is_open(&self) -> bool {
        self.shared.lock().closed.is_none()
    }

    /// Returns why the connection is of no use any more.
    pub(super) fn failure(&self) -> LogError {
        self.shared.failure()
    }

    /// Gives the connection up: every user gets an error with this detail.
    pub(super) fn close(&self, detail: &str) {
        self.shared.close(detail);
    }

    /// Takes one of the places for streams; false if all have been taken. Places are never given back.
    pub(super) fn take_stream_place(&self) -> bool {
        let taken = |opened| (opened < STREAMS_PER_CONNECTION_MAX).then_some(opened + 1);
        self.streams_opened.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Returns the server's address.
    pub(super) fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    /// Asks and waits for the answer. An answer that is late breaks the connection: a server works through the requests of a connection one after the other, so the others would wait too.
    pub(super) async fn call<R>(&self, request: R) -> Result<R::Response, LogError>
    where
        R: Request,
    {
        let version = self.version::<R>()?;
        let limit = self.settings.timeouts.request;
        match timeout(limit, self.ask(request, version)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.close(&format!("no answer within {} ms", limit.as_millis()));
                Err(self.failure())
            }
        }
    }

    async fn ask<R: Request>(&self, request: R, version: i16) -> Result<R::Response, LogError> {
        let (sender, answer) = oneshot::channel();
        let completion: Completion = Box::new(move |result| drop(sender.send(result)));
        self.submit(self.frame(&request, version)?, completion, None)?;
        let body = answer.await.map_err(|_| self.failure())??;
        self.decode(body, version)
    }

    /// Decodes a response. A server that sends what cannot be decoded is given up.
    pub(super) fn decode<T: Decoder>(&self, body: Bytes, version: i16) -> Result<T, LogError> {
        wire::response(body, version).map_err(|error| {
            self.close(&format!("a response does not decode: {error}"));
            self.failure()
        })
    }

    /// Encodes a request at the version that both sides speak.
    pub(super) fn encode<R: Request>(&self, request: &R) -> Result<BytesMut, LogError> {
        self.frame(request, self.version::<R>()?)
    }

    fn frame<R: Request>(&self, request: &R, version: i16) -> Result<BytesMut, LogError> {
        wire::request(R::API_KEY, version, &self.settings.client_id, request)
            .map_err(|error| LogError::Refused { action: "encoding a request".to_owned(), detail: error.to_string() })
    }

    /// Returns the newest version of a request that both sides speak.
    pub(super) fn version<R: Request>(&self) -> Result<i16, LogError> {
        let (min, max) = self.versions.iter().find(|(key, ..)| *key == R::API_KEY).map_or((0, -1), |(_, min, max)| (*min, *max));
        let version = max.min(R::MAX_API_VERSION);
        if version < min.max(R::MIN_API_VERSION) {
            let detail =
                format!("it speaks versions {min} to {max} of request {}, {} to {} are spoken here", R::API_KEY, R::MIN_API_VERSION, R::MAX_API_VERSION);
            return Err(LogError::Refused { action: format!("a connection to {}", self.shared.endpoint), detail });
        }
        Ok(version)
    }

    /// Waits for room for an append of this size. Those who ask get it in the order in which they asked.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, LogError> {
        let units = bytes.div_ceil(APPEND_UNIT_BYTES).clamp(1, APPEND_BYTES_IN_FLIGHT_MAX / APPEND_UNIT_BYTES);
        // Tokio would make a task that has done much wait without getting in line, and a later one would overtake it.
        let room = tokio::task::unconstrained(Arc::clone(&self.room).acquire_many_owned(units as u32));
        room.await.map_err(|_| self.failure())
    }

    /// Queues a request; requests leave in the order of these calls. After an error the completion is dropped unused.
    pub(super) fn submit(&self, frame: BytesMut, completion: Completion, room: Option<Room>) -> Result<(), LogError> {
        self.shared.queue(frame, Waiter::Once { completion, _room: room }).map(|_| ())
    }

    /// Queues a request whose answer says nothing.
    pub(super) fn notify<R: Request>(&self, request: &R) -> Result<(), LogError> {
        let frame = self.encode(request)?;
        self.submit(frame, Box::new(drop), None)
    }

    /// Queues a request that is answered many times.
    pub(super) fn stream<R: Request>(self: &Arc<Self>, request: &R) -> Result<Responses, LogError> {
        let frame = self.encode(request)?;
        let (sender, receiver) = mpsc::channel(STREAM_RESPONSES_QUEUED_MAX);
        let correlation = self.shared.queue(frame, Waiter::Stream(sender))?;
        Ok(Responses { receiver, correlation, connection: Arc::clone(self) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.close("nobody needs it any more");
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Responses {
    /// Waits for the next response. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Bytes, LogError> {
        if let Some(body) = self.receiver.recv().await {
            return Ok(body);
        }
        if self.connection.is_open() {
            return Err(unreachable(&self.connection.shared.endpoint, "the server sends more than was acknowledged".to_owned()));
        }
        Err(self.connection.failure())
    }

    /// Returns the connection that carries the stream.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        self.connection.shared.lock().waiting.remove(&self.correlation);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> LogError {
        self.lock().closed.clone().unwrap_or_else(|| unreachable(&self.endpoint, "the connection is closed".to_owned()))
    }

    fn queue(&self, mut frame: BytesMut, waiter: Waiter) -> Result<i32, LogError> {
        let mut state = self.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone());
        }
        let correlation = state.next_correlation();
        wire::set_correlation(&mut frame, correlation);
        state.waiting.insert(correlation, waiter);
        if let Some(queue) = &state.queue {
            // The task that writes ends only after the connection was closed, which was excluded above.
            drop(queue.send(frame));
        }
        Ok(correlation)
    }

    /// Hands a response to whoever waits for it. Responses that nobody waits for belong to readers that are gone.
    fn dispatch(&self, correlation: i32, body: Bytes) {
        let waiter = {
            let mut state = self.lock();
            match state.waiting.get(&correlation) {
                Some(Waiter::Stream(sender)) if sender.try_send(body.clone()).is_ok() => return,
                // Answered once, or a stream that overruns its reader, which finds its end then.
                _ => state.waiting.remove(&correlation),
            }
        };
        if let Some(Waiter::Once { completion, .. }) = waiter {
            completion(Ok(body));
        }
    }

    fn close(&self, detail: &str) {
        let error = unreachable(&self.endpoint, detail.to_owned());
        let waiting = {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            state.closed = Some(error.clone());
            state.queue = None;
            std::mem::take(&mut state.waiting)
        };
        self.room.close();
        tracing::debug!(endpoint = self.endpoint, purpose = ?self.purpose, detail, "connection closed");
        self.settings.observer.observe(&Event::Disconnected { endpoint: &self.endpoint, purpose: self.purpose, detail });
        for waiter in waiting.into_values() {
            if let Waiter::Once { completion, .. } = waiter {
                completion(Err(error.clone()));
            }
        }
    }
}

impl State {
    fn next_correlation(&mut self) -> i32 {
        loop {
            self.correlation = self.correlation.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.correlation) {
                return self.correlation;
            }
        }
    }
}

fn unreachable(endpoint: &str, detail: String) -> LogError {
    LogError::Unreachable { endpoint: endpoint.to_owned(), detail }
}

impl Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("endpoint", &self.shared.endpoint).field("purpose", &self.shared.purpose).finish_non_exhaustive()
    }
}
