//! Every bound of this crate, in one place.

/// Longest aggregate, command or event id, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// Largest payload of one record that a task takes, in bytes; a larger one is dead-lettered.
pub const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Most inputs that one transaction covers.
pub const RUN_INPUTS_MAX: usize = 256;
/// A run ends once its transaction has grown to this many bytes.
pub const RUN_BYTES_MAX: usize = 256 * 1024;
/// Largest journal record, in bytes: one run plus the largest single step.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 900 * 1024;
/// Batches of a source that wait for the task; a full queue stops the reading.
pub const SOURCE_BATCHES_QUEUED_MAX: usize = 2;
/// Outside calls of one task that may run at once; the rest wait in the state.
pub const CALLS_RUNNING_MAX: usize = 64;
/// Transactions whose effects are not yet acknowledged; beyond it the task takes no new input.
pub const TRANSACTIONS_UNSENT_MAX: usize = 64;
/// Timers that fire in one transaction.
pub const TIMERS_FIRED_MAX: usize = 256;
/// Bytes of a record that a dead letter quotes.
pub const DEAD_LETTER_QUOTE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one append of a batching producer; a larger record goes alone.
pub const PRODUCER_BATCH_BYTES_MAX: usize = 512 * 1024;
/// Records of one append of a batching producer.
pub const PRODUCER_BATCH_RECORDS_MAX: usize = 4096;
/// Bytes that wait for one partition in a batching producer; further senders wait.
pub const PRODUCER_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The unit in which they are counted. A record counts as one unit at least, which bounds their number too.
pub const PRODUCER_QUEUE_UNIT_BYTES: usize = 512;
/// Bytes of a task's commits that are not on disk before the writer is asked to hurry.
pub const STORE_WRITE_BYTES: usize = 128 * 1024;
/// Bytes of a task's commits that are not on disk before further commits wait for the disk; one commit may exceed it.
pub const STORE_UNWRITTEN_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(RUN_BYTES_MAX + RECORD_BYTES_MAX < JOURNAL_RECORD_BYTES_MAX);
const _: () = assert!(STORE_WRITE_BYTES < STORE_UNWRITTEN_BYTES_MAX);
