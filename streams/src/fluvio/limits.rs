//! Every bound of the Fluvio adapter, in one place.

use std::time::Duration;

/// Largest response that is taken from a server, in bytes: its largest batch (32 MiB), the fetch limit and headers fit.
pub const FRAME_BYTES_MAX: usize = 72 * MIB;
/// What a stream asks for at most in one response, in bytes.
pub const FETCH_BYTES: i32 = MIB as i32;
/// What a stream asks for when a batch did not fit into [`FETCH_BYTES`], in bytes: more than the largest batch that a server stores.
pub const FETCH_BYTES_MAX: i32 = 33 * MIB as i32;
/// Largest size of a batch's records after decompression, in bytes.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 64 * MIB;
/// Largest window (as a power of two) that a zstd frame may ask for.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Largest append, in bytes before compression. A server takes 32 MiB; journals and effects need far less.
pub const APPEND_BYTES_MAX: usize = 16 * MIB;
/// Most records in one append.
pub const APPEND_RECORDS_MAX: usize = 128 * 1024;
/// Appends of one connection that are not acknowledged yet, in bytes: further ones wait.
pub const APPEND_BYTES_IN_FLIGHT_MAX: usize = 32 * MIB;
/// The unit in which bytes in flight are counted. An append counts as one unit at least, which bounds their number too.
pub const APPEND_UNIT_BYTES: usize = 4 * 1024;
/// Bytes of small requests that leave in one write.
pub const WRITE_BYTES: usize = 256 * 1024;
/// Room that a connection's reader makes before each read, in bytes.
pub const READ_BYTES: usize = 64 * 1024;
/// Streams that one connection carries in its whole life. The protocol has no message that ends a stream, so what abandoned readers leave behind at the server lives as long as
/// their connection; this number bounds it.
pub const STREAMS_PER_CONNECTION_MAX: usize = 8;
/// Responses of one stream that wait for its reader. A server sends the next response only after the last one was acknowledged, so more than this is a fault of the server.
pub const STREAM_RESPONSES_QUEUED_MAX: usize = 4;
/// Times that one connection may be opened per server for appends.
pub const APPEND_CONNECTIONS_MAX: usize = 16;
/// Largest SmartModule that is uploaded, in bytes.
pub const SMARTMODULE_BYTES_MAX: usize = 16 * MIB;
/// Largest text from a server that is quoted in an error, in bytes.
pub const DETAIL_BYTES_MAX: usize = 512;

/// How long the adapter waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to a server, greeting included.
    pub connect: Duration,
    /// For the answer to a question: offsets, metadata.
    pub request: Duration,
    /// For the acknowledgement of an append. The server is told half of it as its time to make the append durable.
    pub append: Duration,
    /// Until a new topic can be used.
    pub topic_ready: Duration,
    /// Silence of a stream after which the reader asks whether there is something to read, which also finds out that a connection is dead.
    pub probe: Duration,
    /// How long a stream may deliver nothing although there is something to read, before it is opened anew.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(15),
            append: Duration::from_secs(15),
            topic_ready: Duration::from_secs(60),
            probe: Duration::from_secs(5),
            // Behind a SmartModule a server may work through a whole segment before it answers.
            stall: Duration::from_secs(60),
        }
    }
}

/// Pause before the readiness of a topic is asked for again: the first, and the longest.
pub const TOPIC_POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

const MIB: usize = 1024 * 1024;

const _: () = assert!(APPEND_BYTES_MAX <= APPEND_BYTES_IN_FLIGHT_MAX);
const _: () = assert!(2 * FETCH_BYTES_MAX as usize <= FRAME_BYTES_MAX);
