//! The aggregates as customers see them: the front's events folded into one document each.
//!
//! | field (of an order that is paid) | what |
//! |---|---|
//! | `orderId`, `customerId`, and what the business remembers and tells | whose, what |
//! | `status`, `reason` | where it stands, and the reason code while it is deferred or rejected |
//! | `price`, `payment` | amount in won; attempts, captured, refunded |
//! | `late` | true if the approval came after the deadline |
//! | `cancelReason` | why it was cancelled |
//! | `requestedAt`, `updatedAt` | RFC 3339 UTC |

use std::marker::PhantomData;

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::rules::Business;
use crate::topics;

/// What an event says of itself rather than of the aggregate.
const OF_THE_EVENT: [&str; 6] = ["incarnation", "reason", "detail", "attempt", "previousStatus", "amount"];

/// Projection of the events of a front.
#[derive(Debug)]
pub struct Documents<B> {
    indexes: &'static [&'static str],
    business: PhantomData<B>,
}

impl<B> Documents<B> {
    /// Returns the projection; lists can be filtered by these fields.
    pub fn new(indexes: &'static [&'static str]) -> Self {
        Self { indexes, business: PhantomData }
    }
}

impl<B: Business> Projection for Documents<B> {
    fn collection(&self) -> &'static str {
        B::NAMES.collection
    }

    fn topic(&self) -> String {
        topics::events(B::NAMES.system, B::NAMES.collection)
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&B::NAMES.words.events()))
    }

    fn indexes(&self) -> &'static [&'static str] {
        self.indexes
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        event.subject.clone().map(Some).ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", event.kind)))
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let words = &B::NAMES.words;
        let mut data: Map<String, Value> = event.decode()?;
        let mut document = match current {
            // A request begins anew, also if an aggregate that is forgotten had the id before.
            Some(Value::Object(document)) if event.kind != words.requested => document,
            _ => Map::from_iter([("requestedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)))]),
        };
        let reason = data.get("reason").cloned();
        data.retain(|name, _| !OF_THE_EVENT.contains(&name.as_str()));
        document.extend(data);
        match event.kind.as_str() {
            kind if kind == words.deferred || kind == words.rejected => drop(reason.map(|reason| document.insert("reason".to_owned(), reason))),
            kind if kind == words.cancelled => {
                document.remove("reason");
                reason.map(|reason| document.insert("cancelReason".to_owned(), reason));
            }
            kind if kind == words.attempt_started || kind == words.established => drop(document.remove("reason")),
            _ => {}
        }
        document.insert("updatedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)));
        B::complete(&mut document);
        Ok(Value::Object(document))
    }
}
