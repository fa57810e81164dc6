//! Deliveries as people see them, one document an order: orderId, customerId, status (`Registered`, `Completed`, `Cancelled`), and when it came to that.
//!
//! Two processors tell of them, the delivery team and the couriers, and their events have no common order: a delivery may be completed before it is seen to be registered, and completed after
//! it was cancelled, which the front then refuses. So a document keeps what became of each attempt, and its status follows from all that is known.

use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{COURIERS, DELIVERY, NAMES};

/// Projection of the events of the delivery team and the couriers.
#[derive(Debug, Clone, Copy)]
pub struct View;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The delivery team has taken it.
    Registered,
    /// The courier has brought it.
    Completed,
    /// It is dropped.
    Cancelled,
}

/// What is needed of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    order_id: String,
    #[serde(default)]
    incarnation: String,
    customer_id: Option<String>,
    attempt: Option<u32>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    order_id: String,
    /// Which order of this id.
    incarnation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    status: Status,
    /// Attempts that are registered, and not cancelled.
    registered: Vec<u32>,
    /// Attempts that are cancelled.
    cancelled: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<String>,
    updated_at: String,
}

impl Delivery {
    fn new(change: &Change) -> Self {
        Self {
            order_id: change.order_id.clone(),
            incarnation: change.incarnation.clone(),
            customer_id: None,
            status: Status::Registered,
            registered: Vec::new(),
            cancelled: Vec::new(),
            registered_at: None,
            completed_at: None,
            cancelled_at: None,
            updated_at: String::new(),
        }
    }

    fn fold(&mut self, event: &Message, change: Change) -> Result<(), Unreadable> {
        let at = || Some(format_rfc3339(event.time_ms));
        let attempt = || change.attempt.ok_or_else(|| Unreadable(format!("{}: field `attempt` is missing", event.kind)));
        match event.kind.as_str() {
            kind if kind == DELIVERY.accepted => {
                let attempt = attempt()?;
                if !self.registered.contains(&attempt) && !self.cancelled.contains(&attempt) {
                    self.registered.push(attempt);
                    self.registered_at = at();
                }
            }
            kind if kind == DELIVERY.undone => {
                let attempt = attempt()?;
                self.registered.retain(|registered| *registered != attempt);
                if !self.cancelled.contains(&attempt) {
                    self.cancelled.push(attempt);
                    self.cancelled_at = at();
                }
            }
            _ => self.completed_at = at(),
        }
        self.status = match (self.registered.is_empty(), self.cancelled.is_empty(), &self.completed_at) {
            (true, false, _) => Status::Cancelled,
            (_, _, Some(_)) => Status::Completed,
            _ => Status::Registered,
        };
        self.customer_id = change.customer_id.or_else(|| self.customer_id.take());
        self.updated_at = format_rfc3339(event.time_ms);
        Ok(())
    }
}

impl Projection for View {
    fn collection(&self) -> &'static str {
        COURIERS.collection
    }

    fn topic(&self) -> String {
        topics::events(NAMES.system, COURIERS.events)
    }

    fn routing(&self) -> Routing {
        let completed = COURIERS.commands.iter().map(|command| command.event);
        Routing::Types(names(&[DELIVERY.accepted, DELIVERY.undone].into_iter().chain(completed).collect::<Vec<_>>()))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["customerId", "status"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        Ok(Some(event.decode::<Change>()?.order_id))
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let change: Change = event.decode()?;
        let known: Option<Delivery> = current.map(serde_json::from_value).transpose().map_err(|error| Unreadable(format!("delivery: {error}")))?;
        let mut delivery = match known {
            // One of an order that had the id before, and is forgotten.
            Some(known) if begun_before(&change.incarnation, &known.incarnation) => return Ok(to_value(&known)),
            Some(known) if change.incarnation.is_empty() || change.incarnation == known.incarnation => known,
            _ => Delivery::new(&change),
        };
        delivery.fold(event, change)?;
        Ok(to_value(&delivery))
    }
}

/// Returns true if one order of an id was opened before another: an incarnation ends with the offset of the command that opened it. A stand-in may leave it out, and then it is not known.
fn begun_before(incarnation: &str, other: &str) -> bool {
    let begun_at = |incarnation: &str| incarnation.rsplit_once('-').and_then(|(_, offset)| offset.parse::<i64>().ok());
    matches!((begun_at(incarnation), begun_at(other)), (Some(begun_at), Some(other)) if begun_at < other)
}

fn to_value(delivery: &Delivery) -> Value {
    serde_json::to_value(delivery).unwrap_or_else(|error| panic!("a delivery serializes: {error}"))
}
