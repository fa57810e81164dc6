//! Which sinks follow their topics at the moment, and why the others do not.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::api::ReadyCheck;
use crate::view::View;

/// The sinks that do not follow, with the reason.
#[derive(Debug, Default)]
pub(super) struct Following {
    waiting: Mutex<BTreeMap<String, String>>,
}

impl Following {
    /// Notes that a partition of a view, or the whole view, does not go on.
    pub(super) fn waits(&self, view: &View, partition: Option<u32>, why: &str) {
        self.change(|waiting| drop(waiting.insert(name(view, partition), why.to_owned())));
    }

    /// Notes that it goes on.
    pub(super) fn goes_on(&self, view: &View, partition: Option<u32>) {
        self.change(|waiting| drop(waiting.remove(&name(view, partition))));
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn name(view: &View, partition: Option<u32>) -> String {
    partition.map_or_else(|| view.name(), |partition| format!("{}/{partition}", view.name()))
}

#[async_trait]
impl ReadyCheck for Following {
    fn name(&self) -> &str {
        "views"
    }

    async fn check(&self) -> Result<(), String> {
        let waiting = self.change(|waiting| waiting.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>());
        if waiting.is_empty() { Ok(()) } else { Err(waiting.join("; ")) }
    }
}
