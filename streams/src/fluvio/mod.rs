//! The production adapter of the log port: Fluvio, a real cluster or the embedded broker alike.
//!
//! What it is: topics, leaders and SmartModules through the official admin client (`control`), records over connections of its own on the published protocol types (`servers`,
//! `connection`). Of its own because the official client loses records silently when a backlog is larger than one response, and adds 44 ms to every hop on a real cluster.
//!
//! What it is not: it does not retry. An append whose acknowledgement is missing may have landed, and only the caller knows what that means. A reader or writer that has failed is
//! replaced by opening another one, which connects anew. It speaks no TLS.
//!
//! Where to start reading: [`FluvioLog`], then `reader` and `writer`.

mod batch;
mod connection;
mod control;
pub mod limits;
mod reader;
mod servers;
mod slot;
mod target;
pub mod telemetry;
mod wire;
mod writer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use connection::WithinProcess;
pub use fluvio::Compression;
pub use reader::{REDACT_MAP, THIN_MAP};
use tokio::time::{Instant, sleep};

use self::control::Control;
use self::limits::{TOPIC_POLL, Timeouts};
use self::reader::PartitionReader;
use self::servers::Servers;
use self::target::Target;
use self::telemetry::{Observer, Silent};
use self::writer::PartitionWriter;
use crate::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use crate::topology::Routing;

/// How to reach a cluster.
#[derive(Clone)]
pub struct FluvioLogOptions {
    /// Address `host:port` of the control plane ("SC").
    pub endpoint: String,
    /// Name by which the servers know this client.
    pub client_id: String,
    /// Replicas of the topics that are created. One means that a lost disk loses the records.
    pub replication: u32,
    /// Connections per server that appends share.
    pub append_connections: usize,
    /// Compression of what is appended.
    pub compression: Compression,
    /// True if the servers are to be reached at their local addresses, as in a profile with `use_spu_local_address`.
    pub use_spu_local_address: bool,
    /// True if the kernel is told to acknowledge at once what it receives. Saves 40 ms per response on a real cluster.
    pub quick_ack: bool,
    /// How to reach servers of this process without the network, records only; `None`: there are none.
    pub within_process: Option<WithinProcess>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Receives the adapter's events.
    pub observer: Arc<dyn Observer>,
}

impl FluvioLogOptions {
    /// Returns the defaults for a cluster: no replication, no compression.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            client_id: "orderflow".to_owned(),
            replication: 1,
            append_connections: 2,
            compression: Compression::None,
            use_spu_local_address: false,
            quick_ack: true,
            within_process: None,
            timeouts: Timeouts::default(),
            observer: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for FluvioLogOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FluvioLogOptions").field("endpoint", &self.endpoint).field("replication", &self.replication).finish_non_exhaustive()
    }
}

/// The options as the parts of the adapter share them.
use FluvioLogOptions as Settings;

/// A Fluvio cluster as a log.
pub struct FluvioLog {
    settings: Arc<Settings>,
    control: Arc<Control>,
    servers: Arc<Servers>,
}

impl fmt::Debug for FluvioLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FluvioLog").field("endpoint", &self.settings.endpoint).finish_non_exhaustive()
    }
}

impl FluvioLog {
    /// Connects to the control plane. Connections to the servers are made when they are needed, and again when they have broken.
    ///
    /// # Errors
    /// [`LogError::Unreachable`] if nobody answers there.
    pub async fn connect(options: FluvioLogOptions) -> Result<Arc<Self>, LogError> {
        let settings = Arc::new(options);
        let control = Arc::new(Control::new(&settings));
        control.connect().await?;
        let servers = Arc::new(Servers::new(&settings, &control));
        Ok(Arc::new(Self { settings, control, servers }))
    }

    /// Makes the cluster hold this SmartModule under this name; it is uploaded only if the content differs. Routing needs [`THIN_MAP`] and [`REDACT_MAP`].
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn ensure_smartmodule(&self, name: &str, wasm: &[u8]) -> Result<(), LogError> {
        self.control.ensure_smartmodule(name, wasm).await
    }

    /// Waits until every partition has a leader that answers as one.
    async fn wait_until_ready(&self, topic: &str, partitions: u32) -> Result<(), LogError> {
        let deadline = Instant::now() + self.settings.timeouts.topic_ready;
        let (mut pause, longest) = TOPIC_POLL;
        let mut ready = 0;
        loop {
            let error = match self.servers.append_connection(&Target::new(topic, ready)).await {
                Ok(_) => {
                    ready += 1;
                    if ready >= partitions {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => error,
            };
            if Instant::now() + pause > deadline {
                return Err(self
                    .control
                    .unreachable(format!("topic `{topic}` cannot be used after {} s: {error}", self.settings.timeouts.topic_ready.as_secs())));
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

#[async_trait]
impl Log for FluvioLog {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        let partitions = self.control.create_topic(topic).await?;
        self.wait_until_ready(&topic.name, partitions).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.control.topic_partitions(topic).await?.ok_or_else(|| LogError::NoTopic { topic: topic.to_owned() })
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        let (_, offsets) = self.servers.append_connection(&Target::new(topic, partition)).await?;
        Ok(offsets)
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        let reader = PartitionReader::open(Target::new(topic, partition), from, routing, &self.servers, &self.settings).await?;
        Ok(Box::new(reader))
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        let target = Target::new(topic, partition);
        let (connection, _) = self.servers.append_connection(&target).await?;
        Ok(Arc::new(PartitionWriter::new(target, connection, &self.settings)))
    }
}
