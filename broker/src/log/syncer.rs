//! Group commit: one thread makes what all logs have written durable, round after round.
//!
//! A log that has unsynced bytes queues itself once. Whatever is appended to it while the disk is busy shares the next
//! sync, so the number of syncs does not grow with the number of producers.

use std::fmt;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Durability, Inner};

/// What one round of the syncer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRound {
    /// Number of logs that were synced.
    pub logs: usize,
    /// Time from the start of the round to its end.
    pub elapsed: Duration,
}

/// Owns the thread that syncs all logs of one broker.
///
/// Dropping it syncs what is queued and stops the thread; logs then refuse further appends.
#[derive(Debug)]
pub struct Syncer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread. Under [`Durability::Os`] there is nothing to do and no thread.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn start(durability: Durability) -> Self {
        Self::start_observed(durability, |_| {})
    }

    /// As [`Syncer::start`]; calls `observe` on the syncer's thread after every round.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn start_observed(durability: Durability, observe: impl Fn(SyncRound) + Send + 'static) -> Self {
        let queue = Arc::new(Queue::default());
        let thread = (durability == Durability::Fsync).then(|| {
            let queue = queue.clone();
            thread::Builder::new().name("log-syncer".to_owned()).spawn(move || run(&queue, observe)).expect("a thread can be started")
        });
        Self { queue, thread }
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Whether logs that want [`Durability::Fsync`] can be served.
    pub(super) fn syncs(&self) -> bool {
        self.thread.is_some()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().stopping = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Logs with unsynced bytes. Each is in it at most once, so it never outgrows the number of logs.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    logs: Vec<Arc<Inner>>,
    stopping: bool,
}

impl Queue {
    /// Queues a log for the next round; refuses when the syncer has been stopped.
    pub(super) fn push(&self, log: Arc<Inner>) -> bool {
        let mut state = self.lock();
        if state.stopping {
            return false;
        }
        state.logs.push(log);
        drop(state);
        self.changed.notify_one();
        true
    }

    fn next_round(&self) -> Option<Vec<Arc<Inner>>> {
        let state = self.lock();
        let mut state = self.changed.wait_while(state, |state| state.logs.is_empty() && !state.stopping).unwrap_or_else(PoisonError::into_inner);
        let logs = mem::take(&mut state.logs);
        if logs.is_empty() { None } else { Some(logs) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").finish_non_exhaustive()
    }
}

fn run(queue: &Queue, observe: impl Fn(SyncRound)) {
    while let Some(logs) = queue.next_round() {
        let started = Instant::now();
        for log in &logs {
            log.sync_written();
        }
        observe(SyncRound { logs: logs.len(), elapsed: started.elapsed() });
    }
}
