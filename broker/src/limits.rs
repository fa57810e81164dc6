//! Every bound of the broker: frames, batches, queues, files. Nothing else in this crate invents a number.

use std::time::Duration;

// Batches and the segment log.

/// Largest batch in wire form, header included; what the real server accepts too.
pub const BATCH_BYTES_MAX: usize = 32 * MIB;

/// Largest size of a batch's records after decompression.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 32 * MIB;

/// Most records in one batch: a decoded record costs about a hundred bytes however short it is.
pub const BATCH_RECORDS_MAX: u32 = 256 * 1024;

/// Largest window (as a power of two) that a zstd frame may ask the decoder to allocate.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Largest group of batches that one append writes.
pub const APPEND_BYTES_MAX: usize = 64 * MIB;

/// Largest slice that one read returns, unless a single batch is larger.
pub const READ_BYTES_MAX: usize = 32 * MIB;

/// Smallest size at which a segment may be closed.
pub const SEGMENT_BYTES_FLOOR: u64 = 1024;

/// Largest size that a segment may be configured to.
pub const SEGMENT_BYTES_CEILING: u64 = 2 * 1024 * MIB as u64;

/// Distance between two index entries in the segment that is written: what a read at the tail scans in vain.
pub const INDEX_INTERVAL_BYTES_ACTIVE: u64 = 8 * 1024;

/// Distance between two index entries in a closed segment: bounds the memory of a large partition.
pub const INDEX_INTERVAL_BYTES_CLOSED: u64 = 64 * 1024;

/// Window in which recovery scans a segment.
pub const SCAN_WINDOW_BYTES: usize = MIB;

/// Threads that sync logs: how many syncs the file system may commit together.
pub const SYNC_THREADS: usize = 4;

/// Capacity that the append buffer of a partition keeps between two appends.
pub const APPEND_BUFFER_BYTES_KEPT: usize = 64 * 1024;

/// Written to a log that refused an append, to see whether it takes one again: a common size of a batch.
pub(crate) const PROBE_BYTES: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;

const _: () = assert!(BATCH_BYTES_MAX <= APPEND_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < i32::MAX as usize);
const _: () = assert!(SEGMENT_BYTES_FLOOR <= SEGMENT_BYTES_CEILING);
const _: () = assert!(INDEX_INTERVAL_BYTES_ACTIVE <= INDEX_INTERVAL_BYTES_CLOSED);

// The server: connections, requests, streams, metadata, SmartModules.

/// Bounds on what clients may ask for. The default suits a laptop and continuous integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections per endpoint; further ones are closed at once.
    pub connections_max: usize,
    /// Streams (consumers, watches) one connection may have open.
    pub streams_per_connection_max: usize,
    /// Requests of one connection that may be worked on at a time; its reader waits beyond that.
    pub requests_in_flight_max: usize,
    /// Bytes of responses that may wait for one slow reader.
    pub outbound_bytes_max: usize,
    /// Largest produce request. The client sends at most 1 MiB by default, and never above 32 MiB.
    pub produce_frame_bytes_max: usize,
    /// Largest request that carries a SmartModule (as compressed WASM).
    pub smartmodule_frame_bytes_max: usize,
    /// Largest answer to one fetch, whatever the client asks for; a single larger batch is still sent whole.
    pub fetch_bytes_max: usize,
    /// Topics in total.
    pub topics_max: usize,
    /// Partitions of one topic.
    pub partitions_per_topic_max: u32,
    /// Partitions of all topics together.
    pub partitions_max: usize,
    /// SmartModules in total.
    pub smartmodules_max: usize,
    /// Largest SmartModule, after decompression.
    pub smartmodule_wasm_bytes_max: usize,
    /// Memory of one chain of SmartModules.
    pub smartmodule_memory_bytes_max: usize,
    /// SmartModules in one chain.
    pub smartmodule_chain_length_max: usize,
    /// Chains that may exist at a time, each with a thread of its own.
    pub smartmodule_chains_max: usize,
    /// Chains that may compute at a time.
    pub smartmodule_running_max: usize,
    /// Time one call of a chain may take before it is given up.
    pub smartmodule_call_timeout: Duration,
    /// Positions of managed consumers in total.
    pub consumer_offsets_max: usize,
    /// No records are taken while the disk of the data directory has fewer bytes left: what is kept beside the logs must
    /// still find room, and a disk that was never quite full needs no restart once there is room again.
    pub disk_free_bytes_min: u64,
    /// Time between two looks at how much room the disk has, and whether it takes again what it refused.
    pub disk_check_interval: Duration,
    /// Time between two rounds of retention.
    pub retention_interval: Duration,
    /// Time a new connection has for its first request.
    pub handshake_timeout: Duration,
    /// Time the rest of a request has after its first byte.
    pub frame_timeout: Duration,
    /// Time a client may refuse to read before its connection is given up.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            streams_per_connection_max: 1024,
            requests_in_flight_max: 64,
            outbound_bytes_max: 16 * MIB,
            produce_frame_bytes_max: 36 * MIB,
            smartmodule_frame_bytes_max: 16 * MIB,
            fetch_bytes_max: 4 * MIB,
            topics_max: 1024,
            partitions_per_topic_max: 256,
            partitions_max: 4096,
            smartmodules_max: 256,
            smartmodule_wasm_bytes_max: 64 * MIB,
            smartmodule_memory_bytes_max: 256 * MIB,
            smartmodule_chain_length_max: 16,
            smartmodule_chains_max: 512,
            smartmodule_running_max: 4,
            smartmodule_call_timeout: Duration::from_secs(30),
            consumer_offsets_max: 100_000,
            disk_free_bytes_min: 64 * MIB as u64,
            disk_check_interval: Duration::from_secs(1),
            retention_interval: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(120),
        }
    }
}

/// Largest request that carries neither records nor a SmartModule.
pub(crate) const PLAIN_FRAME_BYTES_MAX: usize = MIB;

/// Smallest request: api key, api version, correlation id and an empty client id.
pub(crate) const FRAME_BYTES_MIN: usize = 10;

/// Memory set aside for a request before its bytes arrive; more is added as they do.
pub(crate) const FRAME_BYTES_INITIAL: usize = 64 * 1024;

/// Buffer between a socket and the reader of frames.
pub(crate) const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Responses that may wait for one slow reader.
pub(crate) const OUTBOUND_FRAMES_MAX: usize = 256;

/// Responses that one system call writes.
pub(crate) const WRITE_FRAMES_MAX: usize = 32;

/// Connections the operating system queues before they are accepted.
pub(crate) const LISTEN_BACKLOG: u32 = 1024;

/// What each direction of a connection within the process holds before its writer waits.
pub(crate) const PIPE_BYTES: usize = 256 * 1024;

/// Pause after the operating system refused to hand out a connection (out of file descriptors, say).
pub(crate) const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Entries that one produce request may hold over all its topics.
pub(crate) const PRODUCE_ENTRIES_MAX: usize = 4096;

/// Time a change of metadata waits for open watches to be told, before its author is answered anyway.
pub(crate) const WATCH_PUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Time for which the log does not say again that a stream was refused for the same reason.
pub(crate) const REFUSAL_REPEAT_PAUSE: Duration = Duration::from_secs(60);

/// Time after which a stream whose consumer no longer acknowledges makes room for a new one.
pub(crate) const STREAM_ABANDONED_AFTER: Duration = Duration::from_secs(300);

/// Longest consumer id.
pub(crate) const CONSUMER_ID_BYTES_MAX: usize = 256;

/// Longest name of a SmartModule, with its group and version.
pub(crate) const SMARTMODULE_NAME_BYTES_MAX: usize = 128;

/// Records that a look-back may feed to a SmartModule.
pub(crate) const LOOKBACK_RECORDS_MAX: usize = 256 * 1024;

/// Bytes of batches that a look-back may read.
pub(crate) const LOOKBACK_BYTES_MAX: usize = 64 * MIB;

/// Stack of the thread that runs a chain of SmartModules; the engine lets WASM use 512 KiB of it.
pub(crate) const SMARTMODULE_STACK_BYTES: usize = 2 * MIB;

/// Commits of consumer positions that one write to disk covers.
pub(crate) const OFFSET_COMMITS_PER_WRITE_MAX: usize = 1024;

/// Size from which the file of consumer positions is rewritten without its superseded lines.
pub(crate) const OFFSET_FILE_COMPACT_BYTES: u64 = 4 * MIB as u64;

/// Time that open connections are given to end when the broker stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_millis(500);
