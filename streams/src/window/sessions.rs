//! Finds the sessions of a key.
//!
//! Open sessions of a key never overlap, or they would be one. So in the order of their ends they are in the order of their starts too, and the first one that ends after a time is the only
//! one that may have begun before it.

use super::places;
use super::windows::Window;
use crate::processor::Context;
use crate::state::StateError;

/// Sessions that a session of one record may overlap: each is as long as it, at least.
const NEIGHBOURS_MAX: usize = 2;

/// Returns what all places of a key begin with, and those of no other: its length says where it ends.
fn prefix(key: &str) -> String {
    format!("{:x}/{key}/", key.len())
}

fn place(key: &str, session: Window) -> String {
    prefix(key) + &places::time(session.end_ms)
}

/// Returns the sessions of a key that overlap `alone`, in the order of their times, without those that end by `closed_to_ms`: they are closed, whether or not they were told yet.
pub(super) fn overlapping(cx: &Context<'_>, store: &str, key: &str, alone: Window, closed_to_ms: i64) -> Result<Vec<Window>, StateError> {
    let prefix = prefix(key);
    let after = format!("{prefix}{}", places::time(alone.start_ms.max(closed_to_ms)));
    let mut sessions = Vec::new();
    for (place, start_ms) in cx.scan::<i64>(store, &prefix, Some(&after), NEIGHBOURS_MAX)? {
        let end_ms = places::parse_time(&place[prefix.len()..]);
        let end_ms = end_ms.ok_or_else(|| StateError::Entry { key: place.clone(), detail: "key does not end with the end of a session".to_owned() })?;
        sessions.push(Window { start_ms, end_ms });
    }
    sessions.retain(|session| session.overlaps(&alone));
    Ok(sessions)
}

/// Remembers a session.
pub(super) fn insert(cx: &mut Context<'_>, store: &str, key: &str, session: Window) {
    cx.put(store, &place(key, session), &session.start_ms);
}

/// Forgets a session.
pub(super) fn remove(cx: &mut Context<'_>, store: &str, key: &str, session: Window) {
    cx.delete(store, &place(key, session));
}
