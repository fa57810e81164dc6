//! Group commit: a few threads per broker make what its logs have written durable.
//!
//! A log that has unsynced bytes queues itself once. Whatever is appended to it while the disk is busy shares the next
//! sync, so the number of syncs does not grow with the number of producers. Several threads, because a file system
//! commits the syncs of several files together when they come at the same time; one log is synced by one thread at a time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::limits::SYNC_THREADS;

use super::{Durability, Inner};

/// What one thread of the syncer did before it reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRound {
    /// Number of logs that it synced, one after the other.
    pub logs: usize,
    /// Time that it took.
    pub elapsed: Duration,
}

/// Owns the threads that sync all logs of one broker.
///
/// Dropping it syncs what is queued and stops the threads; logs then refuse further appends.
#[derive(Debug)]
pub struct Syncer {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the threads. Under [`Durability::Os`] there is nothing to do and there are none.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn start(durability: Durability) -> Self {
        Self::start_observed(durability, |_| {})
    }

    /// As [`Syncer::start`]; calls `observe` after every round, on the thread that did it.
    ///
    /// # Panics
    /// When the operating system refuses to start a thread.
    pub fn start_observed(durability: Durability, observe: impl Fn(SyncRound) + Send + Sync + 'static) -> Self {
        let queue = Arc::new(Queue::default());
        let observe = Arc::new(observe);
        let threads = match durability {
            Durability::Fsync => SYNC_THREADS,
            Durability::Os => 0,
        };
        let start = |n| {
            let (queue, observe) = (queue.clone(), observe.clone());
            let thread = thread::Builder::new().name(format!("log-syncer-{n}"));
            thread.spawn(move || run(&queue, &*observe)).expect("a thread can be started")
        };
        let threads = (0..threads).map(start).collect();
        Self { queue, threads }
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Whether logs that want [`Durability::Fsync`] can be served.
    pub(super) fn syncs(&self) -> bool {
        !self.threads.is_empty()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().stopping = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
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
    logs: VecDeque<Arc<Inner>>,
    stopping: bool,
}

impl Queue {
    /// Queues a log for the next round; refuses when the syncer has been stopped.
    pub(super) fn push(&self, log: Arc<Inner>) -> bool {
        let mut state = self.lock();
        if state.stopping {
            return false;
        }
        state.logs.push_back(log);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Queues a log that was just synced once more: behind the others, so that a busy log does not hold them up.
    fn push_again(&self, log: Arc<Inner>) {
        self.lock().logs.push_back(log);
        self.changed.notify_one();
    }

    /// Whether logs should take no more appends.
    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Waits for logs to sync and takes a fair share of them; `None` once the syncer has been stopped and everything
    /// is synced.
    fn next_round(&self) -> Option<Vec<Arc<Inner>>> {
        let state = self.lock();
        let idle = |state: &mut State| state.logs.is_empty() && !state.stopping;
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let share = state.logs.len().div_ceil(SYNC_THREADS);
        let logs: Vec<_> = state.logs.drain(..share).collect();
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

fn run(queue: &Queue, observe: &impl Fn(SyncRound)) {
    while let Some(logs) = queue.next_round() {
        let started = Instant::now();
        let round = logs.len();
        for log in logs {
            if log.sync_queued() {
                queue.push_again(log);
            }
        }
        observe(SyncRound { logs: round, elapsed: started.elapsed() });
    }
}
