//! Where a record stands, and the records that go in and out of the log port.

use std::fmt;

use bytes::Bytes;

/// The place of one record: it identifies the record for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Topic name.
    pub topic: String,
    /// Partition of the topic, from 0.
    pub partition: u32,
    /// Offset in the partition, from 0.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A record as read from a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Offset in the partition. Dense: a hole between two records of one reader is a loss and reported as an error by the reader.
    pub offset: i64,
    /// Producer's wall clock in ms since the Unix epoch; -1 where the broker lost it.
    pub timestamp_ms: i64,
    /// Record key, any bytes.
    pub key: Option<Bytes>,
    /// Record value, any bytes.
    pub value: Bytes,
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Record key, any bytes.
    pub key: Option<Bytes>,
    /// Record value, any bytes.
    pub value: Bytes,
}

impl NewRecord {
    /// Returns a record with a text key.
    pub fn keyed(key: &str, value: impl Into<Bytes>) -> Self {
        Self { key: Some(Bytes::copy_from_slice(key.as_bytes())), value: value.into() }
    }
}
