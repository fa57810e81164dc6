//! The lives of a view.
//!
//! A database can be dropped, or a server come back without its disk, while sinks write to it. A sink that went on would fold events into nothing, and what it wrote would look like whole
//! documents. So each partition of a view has a number, its *life*, in its progress entry: the time at which the entry was made. A sink writes progress only into the life that it began
//! with. If that is gone, it begins anew, and so a later life, in which every document of an earlier one counts as older, whatever its offset: what sinks wrote between the loss and their
//! noticing it is overwritten.
//!
//! Entries without a number are of programs from before there was one: their life is 0.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mongodb::bson::{Bson, Document as BsonDocument, doc};

use super::codec;
use crate::view::View;

/// Field of progress entries and documents.
pub(super) const FIELD: &str = "life";

/// The lives that this process writes to.
#[derive(Debug, Default)]
pub(super) struct Lives {
    entries: Mutex<HashMap<(String, u32), Life>>,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    number: i64,
    is_over: bool,
}

impl Lives {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u32), Life>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the life that goes on, if any.
    pub(super) fn of(&self, view: &View, partition: u32) -> Option<i64> {
        self.lock().get(&(view.name(), partition)).filter(|life| !life.is_over).map(|life| life.number)
    }

    pub(super) fn begins(&self, view: &View, partition: u32, number: i64) {
        self.lock().insert((view.name(), partition), Life { number, is_over: false });
    }

    pub(super) fn ends(&self, view: &View, partition: u32) {
        self.lock().entry((view.name(), partition)).and_modify(|life| life.is_over = true);
    }

    /// All partitions of the view end.
    pub(super) fn clear(&self, view: &View) {
        let name = view.name();
        self.lock().iter_mut().filter(|((view, _), _)| *view == name).for_each(|(_, life)| life.is_over = true);
    }

    /// Returns the number of a life that would begin now: later than any that this process knows, whatever its clock says.
    pub(super) fn next(&self, view: &View, partition: u32) -> i64 {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as i64);
        self.lock().get(&(view.name(), partition)).map_or(now_ms, |life| now_ms.max(life.number + 1))
    }
}

/// Returns the life of an entry.
pub(super) fn of(entry: &BsonDocument) -> i64 {
    codec::integer(entry, FIELD).unwrap_or(0)
}

/// Returns what matches this life.
pub(super) fn equal(life: i64) -> Bson {
    if life == 0 { doc! { "$in": [Bson::Null, 0_i64] }.into() } else { Bson::Int64(life) }
}

/// Returns what matches a document of an earlier life, or of this one with a smaller offset.
pub(super) fn older(life: i64, offset: i64) -> BsonDocument {
    let mut earlier = vec![doc! { FIELD: equal(life), "offset": { "$lt": offset } }];
    if life > 0 {
        earlier.push(doc! { FIELD: { "$not": { "$gte": life } } });
    }
    doc! { "$or": earlier }
}
