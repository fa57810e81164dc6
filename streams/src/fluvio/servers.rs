//! The data plane: connections to the servers that lead partitions.
//!
//! Appends share a few connections per server: those of one partition always the same one, which keeps their order. A real server waits for the followers of an append before it
//! looks at the next request of the connection, so one connection for all would make partitions wait for each other.
//!
//! Streams share connections too, but each connection carries only [`STREAMS_PER_CONNECTION_MAX`](super::limits::STREAMS_PER_CONNECTION_MAX) streams in its life: the protocol has no
//! message that ends a stream, so what dropped readers leave behind at the server ends with the connection. A full connection belongs to its readers and closes with the last of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;

use super::Settings;
use super::connection::Connection;
use super::control::Control;
use super::limits::APPEND_CONNECTIONS_MAX;
use super::slot::Slot;
use super::target::Target;
use super::telemetry::Purpose;
use crate::log::{LogError, Offsets};

/// The servers of one cluster.
pub(super) struct Servers {
    settings: Arc<Settings>,
    control: Arc<Control>,
    servers: Mutex<HashMap<String, Arc<Server>>>,
}

struct Server {
    endpoint: String,
    append: Vec<Slot<Connection>>,
    /// The one connection that has places for streams left; full ones belong to their readers alone.
    streams: Slot<Connection>,
}

impl Servers {
    pub(super) fn new(settings: &Arc<Settings>, control: &Arc<Control>) -> Self {
        Self { settings: Arc::clone(settings), control: Arc::clone(control), servers: Mutex::new(HashMap::new()) }
    }

    /// Returns a connection for appends to a partition's leader, and the offsets that the leader names.
    pub(super) async fn append_connection(&self, target: &Target) -> Result<(Arc<Connection>, Offsets), LogError> {
        self.at_leader(target, Purpose::Append).await
    }

    /// Returns a connection to a partition's leader that may carry one more stream, and the offsets that the leader names.
    pub(super) async fn stream_connection(&self, target: &Target) -> Result<(Arc<Connection>, Offsets), LogError> {
        self.at_leader(target, Purpose::Stream).await
    }

    /// Finds the leader and has it confirm that it is the leader. What the cache says about it may be old, so a failure is followed by a look at the control plane and a second try.
    async fn at_leader(&self, target: &Target, purpose: Purpose) -> Result<(Arc<Connection>, Offsets), LogError> {
        let endpoint = self.control.leader(target).await?;
        let error = match self.at(&endpoint, target, purpose).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        tracing::debug!(%target, endpoint, %error, "leader does not answer as a leader");
        if !matches!(error, LogError::Unreachable { .. } | LogError::NoTopic { .. }) {
            return Err(error);
        }
        self.control.refresh(&target.topic).await?;
        let endpoint = self.control.leader(target).await?;
        self.at(&endpoint, target, purpose).await
    }

    async fn at(&self, endpoint: &str, target: &Target, purpose: Purpose) -> Result<(Arc<Connection>, Offsets), LogError> {
        let server = self.server(endpoint);
        let connection = match purpose {
            Purpose::Stream => server.stream_connection(&self.settings).await?,
            Purpose::Append | Purpose::Control => server.append_connection(target, &self.settings).await?,
        };
        let offsets = ask_offsets(&connection, target).await?;
        Ok((connection, offsets))
    }

    fn server(&self, endpoint: &str) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(endpoint.to_owned()).or_insert_with(|| Arc::new(Server::new(endpoint, self.settings.append_connections)));
        Arc::clone(server)
    }
}

impl Server {
    fn new(endpoint: &str, append_connections: usize) -> Self {
        let append = (0..append_connections.clamp(1, APPEND_CONNECTIONS_MAX)).map(|_| Slot::default()).collect();
        Self { endpoint: endpoint.to_owned(), append, streams: Slot::default() }
    }

    async fn append_connection(&self, target: &Target, settings: &Arc<Settings>) -> Result<Arc<Connection>, LogError> {
        let mut hasher = DefaultHasher::new();
        (&target.topic, target.partition).hash(&mut hasher);
        let slot = &self.append[(hasher.finish() % self.append.len() as u64) as usize];
        slot.get(|connection| connection.is_open(), Connection::open(&self.endpoint, Purpose::Append, settings)).await
    }

    async fn stream_connection(&self, settings: &Arc<Settings>) -> Result<Arc<Connection>, LogError> {
        let open = async {
            let connection = Connection::open(&self.endpoint, Purpose::Stream, settings).await?;
            connection.take_stream_place();
            Ok(connection)
        };
        self.streams.get(|connection| connection.is_open() && connection.take_stream_place(), open).await
    }
}

/// Asks a leader for the offsets of a partition.
pub(super) async fn ask_offsets(connection: &Connection, target: &Target) -> Result<Offsets, LogError> {
    const ASKING: &str = "asking for the offsets of";
    let answer = connection.call(FetchOffsetsRequest::new(target.topic.clone(), target.partition)).await?;
    let partition = answer
        .topics
        .into_iter()
        .find(|topic| topic.name == target.topic)
        .and_then(|topic| topic.partitions.into_iter().find(|found| found.partition_index == target.partition));
    let partition = partition.ok_or_else(|| target.refused(ASKING, "the answer is about something else".to_owned()))?;
    target.check(ASKING, connection.endpoint(), &partition.error_code)?;
    Ok(Offsets { start: partition.start_offset, end: partition.last_stable_offset })
}
