//! Materialized views as pure functions: a projection folds the events of one topic into JSON documents.
//!
//! Where the documents live (MongoDB, embedded) and how they are served is not known here. Each document remembers the position that it includes, so replaying a topic from zero,
//! twice, gives the same bytes.

use serde_json::Value;

use crate::envelope::{Message, Unreadable};
use crate::topology::Routing;

/// A view: which events of which topic go into documents of which collection.
pub trait Projection: Send + Sync + 'static {
    /// Name of the collection, for example `orders`. Unique within its system.
    fn collection(&self) -> &'static str;

    /// Topic whose events are folded.
    fn topic(&self) -> String;

    /// Which events are wanted.
    fn routing(&self) -> Routing;

    /// Fields by which lists are filtered: each gets an index.
    fn indexes(&self) -> &'static [&'static str];

    /// Returns the id of the document that the event changes; `None` if it changes none.
    ///
    /// # Errors
    /// [`Unreadable`] if the event has not the shape that its type promises.
    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable>;

    /// Returns the document with the event folded in; `current` is `None` if there is none yet. Deterministic.
    ///
    /// # Errors
    /// [`Unreadable`] as above.
    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable>;
}
