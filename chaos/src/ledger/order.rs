//! An order as it follows from its events, by the rules of the contract. The statuses are worked out here; what the events say of them is only compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::event::Event;

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// The order rests on it.
    Kept,
    /// It is to be given back.
    Owed,
    /// It was given back.
    Returned,
}

/// An order, and the document that a view must show of it.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) status: &'static str,
    pub(super) price: i64,
    pub(super) charges: BTreeMap<i64, Charge>,
    pub(super) was_placed: bool,
    /// Attempts that nobody wanted although the order waited: these must have been given up before.
    pub(super) given_up: Vec<i64>,
    pub(super) document: Map<String, Value>,
    /// What the customer must have been told: type of the event and status, in this order.
    pub(super) told: Vec<(String, String)>,
    told_status: &'static str,
}

const STAGES: [&str; 5] = ["Placed", "Accepted", "Cooking", "Delivering", "Delivered"];
const PENDING: &str = "PaymentPending";
const DEFERRED: &str = "PaymentDeferred";
const CANCELLED: &str = "Cancelled";
const REJECTED: &str = "Rejected";

impl Order {
    pub(super) fn is_waiting(&self) -> bool {
        [PENDING, DEFERRED].contains(&self.status)
    }

    pub(super) fn is_live(&self) -> bool {
        STAGES.contains(&self.status)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.status == CANCELLED
    }

    pub(super) fn captured(&self) -> i64 {
        self.price * self.charges.len() as i64
    }

    pub(super) fn refunded(&self) -> i64 {
        self.price * self.charges.values().filter(|charge| **charge == Charge::Returned).count() as i64
    }

    /// Folds an event in. The error says by which rule it cannot follow.
    pub(super) fn take(&mut self, event: &Event) -> Result<(), String> {
        let before = self.status;
        let waits = self.is_waiting();
        let allowed = match event.kind.as_str() {
            "OrderRequested" => {
                let is_new = before.is_empty();
                self.request(event);
                is_new
            }
            "PaymentAttemptStarted" => {
                self.status = PENDING;
                before == DEFERRED
            }
            "PaymentDeferred" => {
                self.status = DEFERRED;
                waits
            }
            "PaymentAbandoned" => before == PENDING,
            "OrderPlaced" => {
                self.status = STAGES[0];
                self.was_placed = true;
                waits && self.charged(event, Charge::Kept)
            }
            "PaymentUnwanted" => {
                self.given_up.extend(event.number("attempt").filter(|_| waits));
                self.charged(event, Charge::Owed)
            }
            "OrderRefunded" => {
                let attempt = event.number("attempt").unwrap_or_default();
                event.number("amount") == Some(self.price) && self.charges.insert(attempt, Charge::Returned) == Some(Charge::Owed)
            }
            "OrderStatusChanged" => self.step(event),
            "OrderRejected" => {
                self.end(REJECTED);
                waits || (before == STAGES[0] && event.text("reason") == Some("StoreDeclined"))
            }
            "OrderCancelled" => {
                self.end(CANCELLED);
                waits || STAGES[..3].contains(&before)
            }
            _ => false,
        };
        self.show(event);
        self.tell(event);
        if !allowed {
            return Err(format!("{} cannot follow on status `{before}`", event.kind));
        }
        self.compare(event)
    }

    fn request(&mut self, event: &Event) {
        *self = Self { price: event.number("price").unwrap_or_default(), status: PENDING, ..Self::default() };
        self.document.insert("requestedAt".to_owned(), json!(event.time));
        for name in ["orderId", "customerId", "storeId", "items", "address", "price"] {
            self.document.extend(event.data.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }

    fn charged(&mut self, event: &Event, charge: Charge) -> bool {
        let attempt = event.number("attempt");
        attempt.is_some_and(|attempt| self.charges.insert(attempt, charge).is_none())
    }

    /// A step of the store: to the next stage, and to no other.
    fn step(&mut self, event: &Event) -> bool {
        let now = STAGES.iter().position(|stage| *stage == self.status);
        let next = now.and_then(|now| STAGES.get(now + 1));
        let is_next = next.is_some_and(|next| event.text("status") == Some(next)) && event.text("previousStatus") == Some(self.status);
        self.status = next.copied().unwrap_or(self.status);
        is_next
    }

    fn end(&mut self, status: &'static str) {
        self.status = status;
        self.charges.values_mut().filter(|charge| **charge == Charge::Kept).for_each(|charge| *charge = Charge::Owed);
    }

    /// Brings the document up to date.
    fn show(&mut self, event: &Event) {
        let attempts = event.data.get("payment").and_then(|payment| payment.get("attempts")).cloned().unwrap_or_default();
        let payment = json!({"attempts": attempts, "captured": self.captured(), "refunded": self.refunded()});
        let reason = event.data.get("reason").cloned();
        match event.kind.as_str() {
            "PaymentDeferred" | "OrderRejected" => self.document.extend(reason.map(|reason| ("reason".to_owned(), reason))),
            "PaymentAttemptStarted" => drop(self.document.remove("reason")),
            "OrderPlaced" => {
                self.document.remove("reason");
                self.document.insert("late".to_owned(), event.data.get("late").cloned().unwrap_or_default());
            }
            "OrderCancelled" => {
                self.document.remove("reason");
                self.document.extend(reason.map(|reason| ("cancelReason".to_owned(), reason)));
            }
            _ => {}
        }
        self.document.insert("payment".to_owned(), payment);
        self.document.insert("status".to_owned(), json!(self.status));
        self.document.insert("updatedAt".to_owned(), json!(event.time));
    }

    /// A customer is told of each change of status, and of each refund.
    fn tell(&mut self, event: &Event) {
        let is_refund = event.kind == "OrderRefunded";
        if is_refund || self.told_status != self.status {
            self.told.push((event.kind.clone(), self.status.to_owned()));
        }
        if !is_refund {
            self.told_status = self.status;
        }
    }

    /// What the event says of the order must be what follows from it.
    fn compare(&self, event: &Event) -> Result<(), String> {
        let payment = event.data.get("payment").cloned().unwrap_or_default();
        let says =
            (event.text("status"), event.number("price"), payment.get("captured").and_then(Value::as_i64), payment.get("refunded").and_then(Value::as_i64));
        let follows = (Some(self.status), Some(self.price), Some(self.captured()), Some(self.refunded()));
        if says == follows { Ok(()) } else { Err(format!("{} says {says:?}, but it follows that {follows:?}", event.kind)) }
    }
}
