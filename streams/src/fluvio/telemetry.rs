//! What the adapter tells about itself: typed events, which the binary turns into metrics.

use std::time::Duration;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Metadata.
    Control,
    /// Appends and questions about offsets.
    Append,
    /// Streams of records.
    Stream,
}

/// Why a reader opened its stream anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopening {
    /// Offsets had a hole.
    Hole,
    /// Nothing came although there was something to read.
    Stall,
    /// A batch was larger than what had been asked for.
    LargeBatch,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was established; the second and later ones to an endpoint are reconnects or additional ones.
    Connected {
        /// Server.
        endpoint: &'a str,
        /// What it is for.
        purpose: Purpose,
    },
    /// A connection broke or was given up.
    Disconnected {
        /// Server.
        endpoint: &'a str,
        /// What it was for.
        purpose: Purpose,
        /// What broke it.
        detail: &'a str,
    },
    /// Bytes left in one write.
    Sent {
        /// How many.
        bytes: usize,
    },
    /// Bytes arrived in one read.
    Received {
        /// How many.
        bytes: usize,
    },
    /// An append was acknowledged.
    Appended {
        /// Records in it.
        records: usize,
        /// Bytes on the wire.
        bytes: usize,
        /// From the call to the acknowledgement.
        elapsed: Duration,
    },
    /// An append failed; it is not known whether it landed.
    AppendFailed {
        /// Records in it.
        records: usize,
    },
    /// A reader got records.
    Fetched {
        /// Records, stubs included.
        records: usize,
        /// Bytes of the response.
        bytes: usize,
    },
    /// A reader had to open its stream anew.
    StreamReopened {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: u32,
        /// Where it goes on.
        offset: i64,
        /// Why.
        reason: Reopening,
    },
}

/// Takes events. Called from the paths that carry the records: be quick and do not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes one event.
    fn observe(&self, event: &Event<'_>);
}

/// Takes events and forgets them.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: &Event<'_>) {}
}
