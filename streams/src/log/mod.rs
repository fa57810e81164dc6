//! The port through which the runtime meets a log: append, read from, end offset, topics.
//!
//! Fluvio is the production adapter ([`crate::fluvio`]); tests and the simulator bring an in-memory one ([`memory`]).

pub mod batching;
pub mod memory;

use std::sync::Arc;

use async_trait::async_trait;

use crate::record::{LogRecord, NewRecord};
use crate::topology::Routing;

/// What went wrong at the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Nobody answers there, or the connection broke. Trying again may help.
    #[error("log at {endpoint} is unreachable: {detail}")]
    Unreachable {
        /// Address.
        endpoint: String,
        /// What was tried and what came back.
        detail: String,
    },
    /// There is no such topic (yet).
    #[error("topic `{topic}` does not exist")]
    NoTopic {
        /// Topic.
        topic: String,
    },
    /// The wanted offset is gone (retention) or not there yet.
    #[error("offset {offset} of {topic}/{partition} is not available: the log holds {start} to {end}")]
    OffsetOutOfRange {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u32,
        /// Wanted offset.
        offset: i64,
        /// First offset held.
        start: i64,
        /// One past the last offset held; -1 where the broker does not say.
        end: i64,
    },
    /// Records that must be there were not delivered.
    #[error("records {from} to {to} of {topic}/{partition} were not delivered")]
    Gap {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u32,
        /// First missing offset.
        from: i64,
        /// First delivered offset after the hole.
        to: i64,
    },
    /// The broker refused, for a reason that trying again does not change.
    #[error("log refused {action}: {detail}")]
    Refused {
        /// What was asked.
        action: String,
        /// What the broker said.
        detail: String,
    },
}

/// First and next offset of a partition, as readers may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// First offset held.
    pub start: i64,
    /// One past the last readable offset.
    pub end: i64,
}

/// What a reader got in one go.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Records in offset order without holes; may be empty if the broker moved on without records.
    pub records: Vec<LogRecord>,
    /// Where to go on reading.
    pub next_offset: i64,
    /// One past the last readable offset, as the broker knew it: `end_offset - next_offset` is the lag.
    pub end_offset: i64,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Seconds after which closed segments may be removed; `None` is the broker's default.
    pub retention_seconds: Option<u32>,
    /// Bytes of a segment; `None` is the broker's default.
    pub segment_bytes: Option<u32>,
}

/// A log: topics of partitions of records.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Creates the topic if it is not there; waits until it can be used. An existing topic is left as it is.
    ///
    /// # Errors
    /// [`LogError`].
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError>;

    /// Returns the number of partitions of a topic.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] and others.
    async fn partitions(&self, topic: &str) -> Result<u32, LogError>;

    /// Returns the offsets of a partition.
    ///
    /// # Errors
    /// [`LogError`].
    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError>;

    /// Opens a reader at `from`. With routing, records that it leaves out arrive with the value [`crate::topology::STUB`] and no key, and members that it redacts do not arrive.
    ///
    /// # Errors
    /// [`LogError`].
    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError>;

    /// Opens a writer. Appends through one writer land in the order in which they were called.
    ///
    /// # Errors
    /// [`LogError`].
    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError>;
}

/// Reads one partition in order.
#[async_trait]
pub trait Reader: Send {
    /// Waits for the next records. Cancel-safe.
    ///
    /// # Errors
    /// [`LogError`]; the reader is of no use afterwards, open another one.
    async fn next(&mut self) -> Result<Fetched, LogError>;
}

/// Appends to one partition.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Appends the records as one batch and returns the offset of the first once they are durable.
    ///
    /// After an error it is not known whether the records landed, or will.
    ///
    /// # Errors
    /// [`LogError`].
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError>;
}
