//! The documents of marketing: what its events say, and when it was said.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::names::{POPULAR_ITEMS_CHANGED, POPULAR_ITEMS_CLOSED, RECOMMENDATIONS_CHANGED, events};

/// Collection of windows.
pub const POPULAR_ITEMS: &str = "popular-items";
/// Collection of customers.
pub const RECOMMENDATIONS: &str = "recommendations";

/// One document a window, the newest first in the list: `windowId`, `windowStart`, `windowEnd`, `status`, `orders`, `items` by rank, `otherQuantity`, `updatedAt`.
#[derive(Debug, Clone, Copy)]
pub struct PopularItems;

/// One document a customer: `customerId`, `favourites`, `suggestions` with their reasons, `updatedAt`.
#[derive(Debug, Clone, Copy)]
pub struct Recommendations;

impl Projection for PopularItems {
    fn collection(&self) -> &'static str {
        POPULAR_ITEMS
    }

    fn topic(&self) -> String {
        events()
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&[POPULAR_ITEMS_CHANGED, POPULAR_ITEMS_CLOSED]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        subject(event)
    }

    fn fold(&self, _current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        document(event)
    }
}

impl Projection for Recommendations {
    fn collection(&self) -> &'static str {
        RECOMMENDATIONS
    }

    fn topic(&self) -> String {
        events()
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&[RECOMMENDATIONS_CHANGED]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &[]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        subject(event)
    }

    fn fold(&self, _current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        document(event)
    }
}

fn subject(event: &Message) -> Result<Option<String>, Unreadable> {
    event.subject.clone().map(Some).ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", event.kind)))
}

/// Every event says everything.
fn document(event: &Message) -> Result<Value, Unreadable> {
    let mut document: Map<String, Value> = event.decode()?;
    document.insert("updatedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)));
    Ok(Value::Object(document))
}
