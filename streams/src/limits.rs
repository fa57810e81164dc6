//! Every bound of this crate, in one place.

use std::time::Duration;

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
/// Bytes of a snapshot that one transaction takes along: three times as many as the run itself has, within these bounds and what the record has room for.
pub const KEPT_BYTES_MIN: usize = 4 * 1024;
/// See [`KEPT_BYTES_MIN`].
pub const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Most entries that are looked at together for a snapshot.
pub const KEPT_ENTRIES_PAGE_MAX: usize = 1_024;
/// A guess at the size of an entry, in bytes, from which follows how many are looked at together.
pub const KEPT_ENTRY_BYTES: usize = 128;
/// A journal that has grown by less needs no snapshot, in bytes.
pub const SNAPSHOT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// After so long everything that is alive is written again, in ms: six hours.
pub const SNAPSHOT_EVERY_MS: i64 = 6 * 60 * 60 * 1_000;
/// Records at the end of a journal in which a restore point is looked for.
pub const RESTORE_POINT_RECORDS: i64 = 16;
/// A store that is behind by so many records may better be thrown away for a restore point.
pub const REPLAY_RECORDS_CHEAP: i64 = 1_000;
/// Records of the assignment topic after which an assignment is written again, so that whoever comes reads no more of it.
pub const ASSIGNMENT_RECORDS_MAX: i64 = 2_000;
/// Lifelines that others hold on to at a time; further ones are not taken, and those learn of a death later.
pub const LIFELINES_MAX: usize = 256;
/// Longest name of a lifeline, in bytes.
pub const LIFELINE_BYTES_MAX: usize = 128;
/// How long it may take to get hold of one.
pub const LIFELINE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before that is tried again; it doubles.
pub const LIFELINE_PAUSE: Duration = Duration::from_millis(2);
/// Tries to get hold of one, over about two minutes, before it is given up: what is not within reach by then hardly ever will be.
pub const LIFELINE_TRIES_MAX: u32 = 16;
/// Reads of a task's state that wait to be answered.
pub const QUERIES_QUEUED_MAX: usize = 256;
/// How long such a read may take.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Batches of a source that wait while the task takes one; a full queue stops the reading.
pub const SOURCE_BATCHES_QUEUED_MAX: usize = 1;
/// How often the end of a source is asked for while the task takes nothing from it.
pub const SOURCE_END_EVERY: Duration = Duration::from_secs(1);
/// Ends of a source, with the times at which they were seen, that are remembered to tell how long a task is behind: two a second while it is.
pub const LAG_ENDS_MAX: usize = 1_024;
/// How long a task that is behind takes nothing from other sources because of one that is known to have more, or was not heard of since the task started, and delivers nothing. Long
/// enough for a broker under load to open the streams of everybody who comes back at once. What is no record (timers, answers to calls) does not wait.
pub const SOURCE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Partners of one record of a stream-stream join; a record with more goes to the dead letters, as one does whose pairs do not fit into a transaction.
pub const JOIN_PARTNERS_MAX: usize = 10_000;
/// Records of the other side that a join looks at together.
pub const JOIN_PARTNERS_PAGE: usize = 256;
/// How long a task that takes over reads nothing of its journal before it looks whether its fence, which was acknowledged, is still there.
pub const FENCE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a source fails, however often it is opened again, before people are told.
pub const SOURCE_FAILING_UNTOLD_MAX: Duration = Duration::from_secs(1);
/// How long the stream of a source that failed must last, if nothing comes, before the source is said to be read again: a broker that refuses a stream says so a moment after it was opened.
pub const SOURCE_STEADY_AFTER: Duration = Duration::from_secs(2);
/// Outside calls of one task that may be under way at once, those among them that wait for their turn or for their next try; the rest wait in the state. How many an outside system gets at a time
/// is its handler's to say: one that is in doubt for minutes must not keep others from being made.
pub const CALLS_RUNNING_MAX: usize = 1_024;
/// Turns of a guard's queue that passed longer ago than this are not made up for, in ms.
pub const RETRY_CATCH_UP_MS: i64 = 250;
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
/// Entries of a store that are removed together when it is cleared.
pub const STORE_CLEAR_ENTRIES: usize = 4_096;
/// Bytes of what a replay brings that are gathered for one write; as many again may be on their way to the disk.
pub const STORE_LOAD_BYTES: usize = 8 * 1024 * 1024;
/// From so many bytes on, what is written together becomes tables of its own instead of going through the write-ahead log.
pub const STORE_INGEST_BYTES: usize = 2 * 1024 * 1024;
/// Windows to which one record may belong: sizes of hopping windows in their advances.
pub const WINDOWS_PER_RECORD_MAX: i64 = 256;
/// Windows of one aggregate that close in one step; the rest follows in the next one.
pub const WINDOWS_CLOSED_MAX: usize = 500;
/// Bytes of the keys and values of windows that close in one step; a single window may exceed it.
pub const WINDOWS_CLOSED_BYTES_MAX: usize = 64 * 1024;
/// Longest size, gap, grace or idle time of windows, in ms: some 278 years.
pub const WINDOW_SPAN_MS_MAX: i64 = 1 << 43;
/// Event times of windows that are further from the Unix epoch, in ms, count as if they were just so far from it: some 142,000 years.
pub const EVENT_TIME_MS_MAX: i64 = 1 << 52;

const _: () = assert!(RUN_BYTES_MAX + RECORD_BYTES_MAX + KEPT_BYTES_MIN < JOURNAL_RECORD_BYTES_MAX);
const _: () =
    assert!(STORE_WRITE_BYTES < STORE_UNWRITTEN_BYTES_MAX && STORE_UNWRITTEN_BYTES_MAX < STORE_INGEST_BYTES && STORE_INGEST_BYTES <= STORE_LOAD_BYTES);
