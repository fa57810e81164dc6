//! The orders as customers and stores see them.
//!
//! | field | what |
//! |---|---|
//! | `orderId`, `customerId`, `storeId` | whose |
//! | `items`, `price`, `address` | what, for how much in won, where to |
//! | `status`, `reason` | where it stands, and the reason code while it is deferred or rejected |
//! | `late` | true if the approval came after the deadline |
//! | `cancelReason` | what the customer said |
//! | `payment` | attempts, captured, refunded, in won |
//! | `requestedAt`, `updatedAt` | RFC 3339 UTC |

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::orders::event::Event;
use crate::topics;

/// Projection of `food-delivery-orders-events`.
#[derive(Debug, Clone, Copy)]
pub struct Orders;

impl Projection for Orders {
    fn collection(&self) -> &'static str {
        "orders"
    }

    fn topic(&self) -> String {
        topics::ORDERS_EVENTS.to_owned()
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&Event::KINDS))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["customerId", "storeId", "status"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        event.subject.clone().map(Some).ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", event.kind)))
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let data: Map<String, Value> = event.decode()?;
        let mut document = match current {
            // A request begins anew, also if an order that is forgotten had the id before.
            Some(Value::Object(document)) if event.kind != "OrderRequested" => document,
            _ => Map::from_iter([("requestedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)))]),
        };
        for name in ["orderId", "customerId", "storeId", "status", "price", "payment", "items", "address", "late"] {
            if let Some(value) = data.get(name) {
                document.insert(name.to_owned(), value.clone());
            }
        }
        let reason = data.get("reason").cloned();
        match event.kind.as_str() {
            "PaymentDeferred" | "OrderRejected" => drop(reason.map(|reason| document.insert("reason".to_owned(), reason))),
            "OrderCancelled" => {
                document.remove("reason");
                reason.map(|reason| document.insert("cancelReason".to_owned(), reason));
            }
            "PaymentAttemptStarted" | "OrderPlaced" => drop(document.remove("reason")),
            _ => {}
        }
        document.insert("updatedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)));
        Ok(Value::Object(document))
    }
}
