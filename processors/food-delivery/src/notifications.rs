//! Notifications: tells the customer of every change of status, once.
//!
//! It only follows: nothing waits for it, and it can be taken away. Who sends the message on (a webhook, a messenger) reads `food-delivery-notifications-events`.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::topology::{ProcessorSpec, Source};
use serde::{Deserialize, Serialize};

use crate::orders::event::Event;
use crate::orders::state::Status;
use crate::topics;

/// Name of the processor.
pub const NAME: &str = "notifications";

const STORE: &str = "notified";
const RETENTION_TIMER: &str = "retention";

/// The processor of notifications.
#[derive(Debug)]
pub struct Notifications {
    retention_ms: i64,
}

/// Returns notifications as part of the topology. What was told about an ended order is forgotten after `retention_ms`.
pub fn spec(retention_ms: i64) -> ProcessorSpec {
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![Source::events(topics::ORDERS_EVENTS, &Event::KINDS)],
        sinks: vec![topics::NOTIFICATIONS_EVENTS.to_owned()],
        journal: topics::journal(NAME),
        stores: vec![STORE.to_owned()],
        calls: Vec::new(),
        rejections: topics::REJECTIONS.to_owned(),
        dead_letters: topics::DEAD_LETTERS.to_owned(),
        logic: std::sync::Arc::new(Notifications { retention_ms }),
    }
}

/// What is needed of an event of orders.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    order_id: String,
    #[serde(default)]
    incarnation: String,
    customer_id: String,
    status: Status,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    attempt: Option<u32>,
}

/// What the customer has been told about an order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notified {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incarnation: String,
    status: Option<Status>,
    refunds: Vec<u32>,
}

/// Payload of `CustomerNotified`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    status: Status,
    message: String,
}

impl Processor for Notifications {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => self.follow(message, cx),
            Input::Timer(timer) if timer.name == RETENTION_TIMER => {
                cx.delete(STORE, &timer.key);
                Ok(())
            }
            Input::Timer(_) | Input::CallResult(_) => Ok(()),
        }
    }
}

impl Notifications {
    fn follow(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let change: Change = message.decode()?;
        let mut notified: Notified = cx.get(STORE, &change.order_id)?.unwrap_or_default();
        if notified.incarnation != change.incarnation {
            // The id is used again: nobody was told anything of this order.
            notified = Notified { incarnation: change.incarnation.clone(), ..Notified::default() };
            cx.cancel_timer(RETENTION_TIMER, &change.order_id)?;
        }
        let text = if message.kind == "OrderRefunded" {
            let attempt = change.attempt.ok_or_else(|| Unreadable("OrderRefunded: field `attempt` is missing".to_owned()))?;
            if notified.refunds.contains(&attempt) {
                return Ok(());
            }
            notified.refunds.push(attempt);
            format!("Your payment for order {} was refunded.", change.order_id)
        } else {
            if notified.status == Some(change.status) {
                return Ok(());
            }
            notified.status = Some(change.status);
            text(&change)
        };
        let notification = Notification { order_id: &change.order_id, customer_id: &change.customer_id, status: change.status, message: text };
        cx.emit(topics::NOTIFICATIONS_EVENTS, "CustomerNotified", &change.order_id, &notification);
        if change.status.is_final() {
            cx.set_timer(RETENTION_TIMER, &change.order_id, cx.now_ms().saturating_add(self.retention_ms))?;
        }
        cx.put(STORE, &change.order_id, &notified);
        Ok(())
    }
}

/// Says a status in a sentence.
fn text(change: &Change) -> String {
    let id = &change.order_id;
    match change.status {
        Status::PaymentPending => format!("We received order {id} and are taking the payment."),
        Status::PaymentDeferred => format!("The payment of order {id} takes longer. We will tell you."),
        Status::Placed => format!("Order {id} is placed."),
        Status::Accepted => format!("The store accepted order {id}."),
        Status::Cooking => format!("Order {id} is being cooked."),
        Status::Delivering => format!("Order {id} is on its way."),
        Status::Delivered => format!("Order {id} was delivered."),
        Status::Cancelled => format!("Order {id} was cancelled."),
        Status::Rejected => match change.reason.as_deref() {
            Some("PaymentDeclined") => format!("Order {id} was not placed: the payment was declined."),
            Some("StoreDeclined") => format!("The store could not take order {id}."),
            _ => format!("Order {id} was not placed: the payment did not succeed in time."),
        },
    }
}
