//! What can go wrong with a partition's log.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be opened, written or read. Every variant names the file or directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `create`, `read`, `write`, `sync`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory holds segments of another version or another program.
    #[error("log directory {} is not in a format that this version reads (expected {expected:?} in its file \"format\")", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// First line of the marker file that this version writes.
        expected: &'static str,
    },
    /// Stored data are not what was written. Nothing was changed: cutting here would lose records.
    #[error("log segment {} is damaged at byte {position}: {problem}", path.display())]
    Damaged {
        /// The segment file.
        path: PathBuf,
        /// Where the first damaged batch starts in it.
        position: u64,
        /// What is wrong there, in words.
        problem: String,
    },
    /// The offset is not in the log, or no longer.
    #[error("offset {offset} is outside of the log, which holds {start} to {end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: i64,
        /// First offset that can be read.
        start: i64,
        /// Offset after the last record that can be read.
        end: i64,
    },
    /// A batch does not fit into a segment, or a group of batches into one append.
    #[error("append of {bytes} bytes to {} exceeds the limit of {bytes_max}", dir.display())]
    TooLarge {
        /// The log's directory.
        dir: PathBuf,
        /// Size of the batch or group.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The log takes no appends and promises no durability any more. What was durable can still be read.
    #[error("log {} is closed for appends: {reason}", dir.display())]
    Closed {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        reason: CloseReason,
    },
}

/// Why a log stopped taking appends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The disk failed to make data durable. What it holds is unknown until the log is opened again.
    #[error("the disk failed to sync ({error})")]
    SyncFailed {
        /// What the operating system said.
        error: String,
    },
    /// A failed write left bytes behind that could not be cut away.
    #[error("a failed write could not be undone ({error})")]
    WriteNotUndone {
        /// What the operating system said.
        error: String,
    },
    /// The log was deleted.
    #[error("it was deleted")]
    Deleted,
    /// The broker's syncer was stopped.
    #[error("the broker is stopping")]
    Stopping,
}

impl Error {
    /// A constructor for `map_err`: what was tried on which file.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, position: u64, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), position, problem: problem.into() }
    }
}
