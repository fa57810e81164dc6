//! Reading the state of a task from outside: of one that this instance runs, or that it follows for another.

use tokio::sync::{mpsc, oneshot};

use crate::assignment::TaskId;
use crate::state::StateError;
use crate::task::{Stop, Task};

/// An entry of a task's state, and how old that state may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The entry as JSON, if there is one.
    pub value: Option<Vec<u8>>,
    /// True if this instance runs the task: the entry is as of its last transaction. Whether it is still the owner shows at the next one.
    pub is_owner: bool,
    /// Journal records by which the state is behind, as far as is known; 0 if it is the owner's.
    pub behind_records: i64,
    /// Time of the last transaction that the state includes, ms since the Unix epoch.
    pub as_of_ms: i64,
}

/// Why an entry cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// This instance neither runs nor follows the task.
    #[error("this instance neither runs nor follows task {task}: ask the one that does")]
    NotHere {
        /// Task.
        task: TaskId,
    },
    /// The task has too much to do, or is not there yet.
    #[error("task {task} did not answer in time: ask again")]
    Busy {
        /// Task.
        task: TaskId,
    },
    /// The store cannot be read.
    #[error("state cannot be read")]
    State(#[from] StateError),
}

/// A question to an incarnation.
pub(super) struct Query {
    pub(super) store: String,
    pub(super) key: String,
    pub(super) answer: oneshot::Sender<Result<Read, QueryError>>,
}

impl Query {
    /// Answers from the state as it is.
    ///
    /// # Errors
    /// [`Stop::State`] if the store fails.
    pub(super) fn answer(self, task: &mut Task, is_owner: bool, behind_records: i64) -> Result<(), Stop> {
        let value = task.peek(&self.store, &self.key)?;
        // Whoever asked may have gone.
        let _ = self.answer.send(Ok(Read { value, is_owner, behind_records, as_of_ms: task.last_time_ms() }));
        Ok(())
    }
}

/// Waits for the next question. Cancel-safe; never returns once nobody can ask any more.
pub(super) async fn next(queries: &mut mpsc::Receiver<Query>) -> Query {
    match queries.recv().await {
        Some(query) => query,
        None => std::future::pending().await,
    }
}
