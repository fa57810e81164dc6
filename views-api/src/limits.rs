//! Every bound of this crate, in one place.

use std::time::Duration;

/// Longest document id, in bytes.
pub const DOCUMENT_ID_BYTES_MAX: usize = 1_024;
/// Largest document, in bytes of JSON; an event that makes a larger one is dead-lettered.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a field's value by which lists can be filtered; a longer value is found by its beginning and compared whole.
pub const INDEX_VALUE_BYTES_MAX: usize = 512;
/// Nested levels of a document that MongoDB gets as its own objects; a deeper one is stored as JSON text.
pub const BSON_DEPTH_MAX: usize = 64;

/// Records that a sink folds into one write.
pub const BATCH_RECORDS_MAX: usize = 1_000;
/// A batch of a sink ends once its records have this many bytes.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Answers of the log that wait for a sink; a full queue stops the reading.
pub const FETCHES_QUEUED_MAX: usize = 2;
/// Bytes of statements in one `update` command to MongoDB; its own limit is 48 MB.
pub const UPDATE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a record that a dead letter quotes.
pub const DEAD_LETTER_QUOTE_BYTES_MAX: usize = 64 * 1024;

/// Documents of a page if the reader does not say.
pub const PAGE_DOCUMENTS_DEFAULT: usize = 20;
/// Most documents of a page.
pub const PAGE_DOCUMENTS_MAX: usize = 100;
/// Entries that the embedded store looks at for one page: beyond it the page ends early, with a cursor.
pub const LIST_SCAN_MAX: usize = 10_000;

/// First wait after a failure of the log or the store.
pub const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);
/// Longest wait after repeated failures.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long MongoDB may take for one command.
pub const STORE_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the MongoDB driver looks for a server that can take a command.
pub const STORE_SELECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a reader that waits for a position asks MongoDB, because the sink may run in another process.
pub const POSITION_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How often a view that does not go on is asked how far it is behind.
pub const LAG_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Memory of the embedded store's block cache, in bytes.
pub const EMBEDDED_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Memory of each of the embedded store's three write buffers, in bytes, before it is written out. Up to four more may wait to be written.
pub const EMBEDDED_WRITE_BUFFER_BYTES: u64 = 1024 * 1024;
/// Disk space of the embedded store's journal, in bytes; the least that fjall takes.
pub const EMBEDDED_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Largest body of a command over HTTP, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a sender may take for the body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a body that nobody has read which are read before the answer leaves, so that its connection can be used again.
pub const LEFTOVER_BYTES_MAX: usize = 1024 * 1024;
/// How long they may take.
pub const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands over HTTP that may be under way at once.
pub const COMMANDS_IN_FLIGHT_MAX: usize = 1_024;
/// Reads over HTTP that may be under way at once.
pub const READS_IN_FLIGHT_MAX: usize = 1_024;
/// How long a command's sender waits for its outcome.
pub const OUTCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for the position that it asks for.
pub const POSITION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an append to the log, or a question to it, may take.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `ready` waits for the store.
pub const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// What `Retry-After` says, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// Commands that wait for one partition's writer; a full queue refuses.
pub const APPENDS_QUEUED_MAX: usize = 1_024;
/// Commands in one append.
pub const APPEND_RECORDS_MAX: usize = 512;
/// An append ends once its records have this many bytes.
pub const APPEND_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(APPEND_BYTES_MAX + BODY_BYTES_MAX * 2 < 1024 * 1024, "an append fits into one Fluvio request of 1 MiB");
const _: () = assert!(COMMANDS_IN_FLIGHT_MAX <= APPENDS_QUEUED_MAX * 4, "queues are sized for the requests in flight");
