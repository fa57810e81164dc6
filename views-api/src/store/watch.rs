//! Wakes readers who wait for a position, where sink and readers share a process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::view::View;

/// The progress of views as far as it was seen in this process: one entry for each partition of each view.
#[derive(Debug, Default)]
pub(crate) struct ProgressWatch {
    entries: Mutex<HashMap<(String, u32), watch::Sender<i64>>>,
}

impl ProgressWatch {
    /// Tells that the view includes everything before `next_offset`.
    pub(crate) fn publish(&self, view: &View, partition: u32, next_offset: i64) {
        self.with_entry(view, partition, |entry| {
            entry.send_if_modified(|seen| {
                let advances = *seen < next_offset;
                *seen = next_offset.max(*seen);
                advances
            });
        });
    }

    /// Tells that the view of the partition has to be made anew.
    pub(crate) fn restart(&self, view: &View, partition: u32) {
        self.with_entry(view, partition, |entry| entry.send_modify(|seen| *seen = 0));
    }

    /// Forgets what was seen, because the view was cleared.
    pub(crate) fn clear(&self, view: &View) {
        let name = view.name();
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).retain(|(entry, _), _| *entry != name);
    }

    /// Returns a receiver of the next offsets to come; its first value is 0 if none was seen yet.
    pub(crate) fn subscribe(&self, view: &View, partition: u32) -> watch::Receiver<i64> {
        self.with_entry(view, partition, |entry| entry.subscribe())
    }

    fn with_entry<T>(&self, view: &View, partition: u32, act: impl FnOnce(&watch::Sender<i64>) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        act(entries.entry((view.name(), partition)).or_insert_with(|| watch::Sender::new(0)))
    }
}
