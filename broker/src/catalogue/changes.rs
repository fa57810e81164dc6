//! Tells watches that the catalogue has changed, and its changers that the watches know.
//!
//! Watches are level-triggered: they compare what they last told their client with what is there now. So a
//! missed or merged notification loses nothing.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::limits::WATCH_PUSH_TIMEOUT;

/// The generation of the catalogue, to be waited for.
pub(crate) struct Changes {
    generation: watch::Sender<u64>,
    watches: Mutex<Vec<Weak<AtomicU64>>>,
    pushed: Arc<Notify>,
}

/// One watch of one client.
pub(crate) struct Watch {
    generation: watch::Receiver<u64>,
    /// Up to which generation the client has been told.
    told: Arc<AtomicU64>,
    pushed: Arc<Notify>,
}

impl Changes {
    pub(super) fn new(generation: u64) -> Self {
        Self { generation: watch::Sender::new(generation), watches: Mutex::new(Vec::new()), pushed: Arc::new(Notify::new()) }
    }

    pub(super) fn watch(&self) -> Watch {
        let told = Arc::new(AtomicU64::new(u64::MAX));
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&told));
        Watch { generation: self.generation.subscribe(), told, pushed: Arc::clone(&self.pushed) }
    }

    /// Announces a generation and waits until all watches have been told, so that whoever made the change
    /// finds it in his own metadata once he is answered. A client that does not read is not waited for long.
    pub(super) async fn publish(&self, generation: u64) {
        self.generation.send_modify(|current| *current = generation.max(*current));
        let all_told = async {
            loop {
                let pushed = self.pushed.notified();
                if self.all_told(generation) {
                    return;
                }
                pushed.await;
            }
        };
        if timeout(WATCH_PUSH_TIMEOUT, all_told).await.is_err() {
            tracing::debug!(generation, "some watches are slow to take a change of metadata");
        }
    }

    fn all_told(&self, generation: u64) -> bool {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().filter_map(Weak::upgrade).all(|told| told.load(Ordering::Acquire) >= generation)
    }
}

impl Watch {
    /// Returns the generation that is about to be told. From here on changes wait for this watch.
    pub(crate) fn begin(&mut self) -> u64 {
        let generation = *self.generation.borrow_and_update();
        // A watch that has told nothing yet is behind, but must not hold up changes made before it existed.
        let _ = self.told.compare_exchange(u64::MAX, generation.saturating_sub(1), Ordering::AcqRel, Ordering::Acquire);
        generation
    }

    /// Notes that the client has been told everything up to `generation`.
    pub(crate) fn told(&self, generation: u64) {
        self.told.store(generation, Ordering::Release);
        self.pushed.notify_waiters();
    }

    /// Waits for the next change; `false` when the broker is stopping.
    pub(crate) async fn changed(&mut self) -> bool {
        self.generation.changed().await.is_ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Nobody needs to wait for a watch that has ended.
        self.told.store(u64::MAX, Ordering::Release);
        self.pushed.notify_waiters();
    }
}
