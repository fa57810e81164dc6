//! Every bound of the broker: frames, batches, queues, files. Nothing else in this crate invents a number.

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

/// Capacity that the append buffer of a partition keeps between two appends.
pub const APPEND_BUFFER_BYTES_KEPT: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;

const _: () = assert!(BATCH_BYTES_MAX <= APPEND_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < i32::MAX as usize);
const _: () = assert!(SEGMENT_BYTES_FLOOR <= SEGMENT_BYTES_CEILING);
const _: () = assert!(INDEX_INTERVAL_BYTES_ACTIVE <= INDEX_INTERVAL_BYTES_CLOSED);
