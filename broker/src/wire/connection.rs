//! One connection: the reader loop, the tasks it starts, and how it ends.

use std::{
    future::Future,
    io, mem,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fluvio_protocol::{Version, core::Decoder};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, DuplexStream},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Outbound, Request, Server,
    frame::{ReadError, ReadLimits, is_exhausted, read_request},
    outbound::{Outgoing, write_responses},
};
use crate::{CloseReason, Event, limits::READ_BUFFER_BYTES};

/// Handles the requests of one connection.
pub(crate) trait Service: Send + Sync + 'static {
    /// The largest frame for an api key, or `None` for a key that the endpoint does not know.
    fn frame_bytes_max(&self, api_key: u16) -> Option<usize>;

    /// Handles one request. Must not wait for anything slow: that goes to a task of the connection.
    ///
    /// # Errors
    /// A refusal costs the client its connection.
    fn handle(&mut self, request: Request) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Why a request costs its sender the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("malformed request with api key {api_key}: {problem}")]
    Malformed { api_key: u16, problem: String },
    #[error("api key {api_key} has no version {version}")]
    Version { api_key: u16, version: Version },
    #[error("a decoder panicked on a request with api key {api_key}")]
    DecoderPanicked { api_key: u16 },
    #[error("response cannot be encoded: {0}")]
    Response(#[from] io::Error),
    #[error(transparent)]
    Disconnected(#[from] super::Disconnected),
}

/// Decodes the body of a request. The published decoders are not made for hostile input and may panic on
/// it; here that is one more way of being malformed.
pub(crate) fn decode<T: Decoder>(request: &Request) -> Result<T, Refusal> {
    let api_key = request.header.api_key();
    let version = request.version();
    let mut body: Bytes = request.body.clone();
    let decoded = catch_unwind(AssertUnwindSafe(|| T::decode_from(&mut body, version)))
        .map_err(|_| Refusal::DecoderPanicked { api_key })?
        .map_err(|error| Refusal::Malformed { api_key, problem: error.to_string() })?;
    if !is_exhausted(&body) {
        let problem = format!("{} bytes left over", body.len());
        return Err(Refusal::Malformed { api_key, problem });
    }
    Ok(decoded)
}

/// What the handlers of a connection work with: a cheap handle.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) outbound: Outbound,
    /// Cancelled when the connection is to end.
    closing: CancellationToken,
    /// Aborted as a whole when the connection ends.
    tasks: Arc<Mutex<JoinSet<()>>>,
    reason: Arc<Mutex<Option<CloseReason>>>,
    in_flight: Arc<Semaphore>,
}

impl Connection {
    /// Runs a task that lives no longer than the connection. If it panics, the connection ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let connection = self.clone();
        let guarded = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(peer = %connection.peer, "a handler panicked, connection closed");
                connection.close(CloseReason::Panicked);
            }
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(guarded);
    }

    /// Waits until one more request may be worked on; drop the permit when it is answered.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.in_flight).acquire_owned().await;
        permit.map_err(|_| super::Disconnected.into())
    }

    /// Ends the connection; the first reason given is the one reported.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.closing.cancel();
    }

    /// Ends the connection because of what the client sent or left undone.
    pub(crate) fn refuse(&self, refusal: &Refusal) {
        match refusal {
            // Responses find no way out once the writer has failed.
            Refusal::Disconnected(_) => self.close(CloseReason::Network),
            refusal => {
                tracing::warn!(peer = %self.peer, reason = %refusal, "connection closed");
                self.close(CloseReason::Hostile);
            }
        }
    }
}

type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What a client is connected by.
pub(super) enum Stream {
    Tcp(TcpStream),
    /// A client in this process.
    Pipe(DuplexStream),
}

impl Stream {
    fn split(self, peer: SocketAddr) -> (Reader, Writer) {
        let (reader, writer): (Box<dyn AsyncRead + Send + Unpin>, Writer) = match self {
            Self::Tcp(stream) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot switch off delayed sending");
                }
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
            Self::Pipe(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Box::new(reader), Box::new(writer))
            }
        };
        (BufReader::with_capacity(READ_BUFFER_BYTES, reader), writer)
    }
}

/// The two halves of a stream before they are served.
pub(crate) struct Running {
    server: Server,
    connection: Connection,
    reader: Reader,
    writer: Writer,
    outgoing: Outgoing,
}

pub(super) fn open(server: &Server, stream: Stream, peer: SocketAddr) -> (Connection, Running) {
    let (reader, writer) = stream.split(peer);
    let (outbound, outgoing) = Outbound::new(server.limits.outbound_bytes_max);
    let connection = Connection {
        peer,
        outbound,
        closing: server.stopping.child_token(),
        tasks: Arc::new(Mutex::new(JoinSet::new())),
        reason: Arc::new(Mutex::new(None)),
        in_flight: Arc::new(Semaphore::new(server.limits.requests_in_flight_max)),
    };
    let running = Running { server: server.clone(), connection: connection.clone(), reader, writer, outgoing };
    (connection, running)
}

impl Running {
    /// Serves the connection until it ends, then ends all its tasks.
    pub(super) async fn serve(self, mut service: impl Service) {
        let Self { server, connection, mut reader, writer, outgoing } = self;
        let plane = server.plane;
        tracing::debug!(%plane, peer = %connection.peer, "connection opened");
        server.observer.observe(Event::ConnectionOpened { plane });

        let observer = Arc::clone(&server.observer);
        let sent = move |bytes: usize| observer.observe(Event::BytesSent { plane, bytes: bytes as u64 });
        let writing = connection.clone();
        let write_timeout = server.limits.write_timeout;
        connection.spawn(async move {
            if let Err(error) = write_responses(outgoing, writer, write_timeout, sent).await {
                tracing::debug!(peer = %writing.peer, %error, "cannot write to connection");
                writing.close(CloseReason::Network);
            }
        });

        let closing = connection.closing.clone();
        let reading = AssertUnwindSafe(read_requests(&server, &connection, &mut reader, &mut service));
        let ended = tokio::select! {
            () = closing.cancelled() => CloseReason::Stopping,
            ended = reading.catch_unwind() => ended.unwrap_or_else(|_| {
                tracing::error!(peer = %connection.peer, "a handler panicked, connection closed");
                CloseReason::Panicked
            }),
        };
        connection.close(ended);
        let reason = connection.reason.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(ended);
        let mut tasks = mem::take(&mut *connection.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        drop(service);
        // Waits until they are gone, so that nothing of the connection outlives it.
        tasks.shutdown().await;
        tracing::debug!(%plane, peer = %connection.peer, reason = reason.as_str(), "connection closed");
        server.observer.observe(Event::ConnectionClosed { plane, reason });
    }
}

async fn read_requests(server: &Server, connection: &Connection, reader: &mut Reader, service: &mut impl Service) -> CloseReason {
    let mut limits = ReadLimits {
        bytes_max: server.limits.produce_frame_bytes_max.max(server.limits.smartmodule_frame_bytes_max),
        start: Some(server.limits.handshake_timeout),
        rest: server.limits.frame_timeout,
    };
    loop {
        let request = match read_request(reader, limits, |api_key| service.frame_bytes_max(api_key)).await {
            Ok(Some(request)) => request,
            Ok(None) => return CloseReason::ByPeer,
            Err(error) => return describe(connection, &error),
        };
        limits.start = None;
        server.observer.observe(Event::BytesReceived { plane: server.plane, bytes: request.bytes as u64 });
        if let Err(refusal) = service.handle(request).await {
            connection.refuse(&refusal);
            return CloseReason::Hostile;
        }
    }
}

fn describe(connection: &Connection, error: &ReadError) -> CloseReason {
    let reason = match error {
        ReadError::Io(_) => CloseReason::Network,
        ReadError::TimedOut => CloseReason::TimedOut,
        ReadError::Length { .. } | ReadError::UnknownApi { .. } | ReadError::Header(_) => CloseReason::Hostile,
    };
    if reason == CloseReason::Hostile {
        tracing::warn!(peer = %connection.peer, reason = %error, "connection closed");
    } else {
        tracing::debug!(peer = %connection.peer, reason = %error, "connection closed");
    }
    reason
}
