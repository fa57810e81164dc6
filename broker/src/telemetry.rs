//! What the broker tells the outside about itself: typed events, handed to an [`Observer`].
//!
//! Not metrics and not logs: the program that embeds the broker maps events to whatever it exports. Events
//! are emitted per request, batch or round, never per record.

use std::{fmt, time::Duration};

/// One of the two endpoints of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// Topics, SmartModules and metadata watches (Fluvio's SC).
    Control,
    /// Records and offsets (Fluvio's SPU).
    Data,
}

impl Plane {
    /// The value to use as a metric label: `control` or `data`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a connection ended; a small closed set, fit to be a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed it.
    ByPeer,
    /// The broker is stopping.
    Stopping,
    /// The network failed or the client stopped reading.
    Network,
    /// The client sent something that no correct client sends.
    Hostile,
    /// The client connected but sent no request, or half of one, in time.
    TimedOut,
    /// A handler panicked; a defect of the broker or of a decoder below it.
    Panicked,
}

impl CloseReason {
    /// The value to use as a metric label, in kebab case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByPeer => "by-peer",
            Self::Stopping => "stopping",
            Self::Network => "network",
            Self::Hostile => "hostile",
            Self::TimedOut => "timed-out",
            Self::Panicked => "panicked",
        }
    }
}

/// Something that happened inside the broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client connected.
    ConnectionOpened {
        /// Which endpoint it came to.
        plane: Plane,
    },
    /// A connection ended.
    ConnectionClosed {
        /// Which endpoint it was on.
        plane: Plane,
        /// Why it ended.
        reason: CloseReason,
    },
    /// A client was turned away because the endpoint has all the connections it may have.
    ConnectionRefused {
        /// Which endpoint it came to.
        plane: Plane,
    },
    /// One request arrived.
    BytesReceived {
        /// On which endpoint.
        plane: Plane,
        /// Size of the frame, its length prefix included.
        bytes: u64,
    },
    /// Some responses were written.
    BytesSent {
        /// On which endpoint.
        plane: Plane,
        /// Sum of their sizes, length prefixes included.
        bytes: u64,
    },
    /// Records were written to a partition; they are not durable yet.
    RecordsAppended {
        /// Name of the topic.
        topic: &'a str,
        /// How many records.
        records: u64,
        /// Size of their batches as stored.
        bytes: u64,
    },
    /// A produce request became durable and is being acknowledged.
    AppendDurable {
        /// Time from the arrival of the request to its durability.
        latency: Duration,
    },
    /// A produce request, or a part of it, was refused.
    ProduceRefused {
        /// Name of the topic.
        topic: &'a str,
    },
    /// A consumer opened a stream.
    StreamOpened,
    /// A stream ended, with its connection or by an error.
    StreamClosed,
    /// Records were sent to a consumer.
    RecordsSent {
        /// Name of the topic.
        topic: &'a str,
        /// How many offsets the response covers.
        records: u64,
        /// Size of the batches as sent.
        bytes: u64,
    },
    /// A chain of SmartModules processed some records.
    SmartModuleRun {
        /// Records that went in.
        records_in: u64,
        /// Records that came out.
        records_out: u64,
        /// Time spent, waiting for a free slot included.
        latency: Duration,
    },
    /// A chain of SmartModules could not be built, failed or did not end in time.
    SmartModuleFailed,
    /// Size of one partition on disk, reported after each round of retention.
    LogSize {
        /// Name of the topic.
        topic: &'a str,
        /// Index of the partition.
        partition: u32,
        /// Bytes of all its segments.
        bytes: u64,
    },
    /// Everything appended up to now was flushed to disk by one round of the group fsync.
    Synced {
        /// Partitions with new bytes in this round.
        partitions: u64,
        /// How long the round took.
        latency: Duration,
    },
}

/// Receives the broker's events. Called on the hot path and from several threads: be quick, do not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes note of one event.
    fn observe(&self, event: Event<'_>);
}

/// The observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: Event<'_>) {}
}
