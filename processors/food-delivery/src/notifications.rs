//! Notifications: tells the customer of every change of status, once.
//!
//! It only follows: nothing waits for it, and it can be taken away. Who sends the message on (a webhook, a messenger) reads `food-delivery-notifications-events`.

use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, names};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::NAMES;

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
        sources: vec![Source::events(&topics::events(NAMES.system, NAMES.collection), &NAMES.words.events())],
        sinks: vec![topics::events(NAMES.system, NAME)],
        journal: topics::journal(NAMES.system, NAME),
        stores: vec![STORE.to_owned()],
        calls: Vec::new(),
        rejections: topics::rejections(NAMES.system),
        dead_letters: topics::dead_letters(NAMES.system),
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
    status: String,
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
    status: Option<String>,
    refunds: Vec<u32>,
}

/// Payload of `CustomerNotified`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    status: &'a str,
    /// Type of the event that the customer is told of.
    about: &'a str,
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
            if notified.status.as_ref() == Some(&change.status) {
                return Ok(());
            }
            notified.status = Some(change.status.clone());
            text(&change)
        };
        let notification =
            Notification { order_id: &change.order_id, customer_id: &change.customer_id, status: &change.status, about: &message.kind, message: text };
        cx.emit(&topics::events(NAMES.system, NAME), "CustomerNotified", &change.order_id, &notification);
        if ["Delivered", "Cancelled", "Rejected"].contains(&change.status.as_str()) {
            cx.set_timer(RETENTION_TIMER, &change.order_id, cx.now_ms().saturating_add(self.retention_ms))?;
        }
        cx.put(STORE, &change.order_id, &notified);
        Ok(())
    }
}

/// Says a status in a sentence.
fn text(change: &Change) -> String {
    let id = &change.order_id;
    match change.status.as_str() {
        "PaymentPending" => format!("We received order {id} and are taking the payment."),
        "PaymentDeferred" => format!("The payment of order {id} takes longer. We will tell you."),
        "Placed" => format!("Order {id} is placed."),
        "Accepted" => format!("The store accepted order {id}."),
        "Cooking" => format!("Order {id} is being cooked."),
        "Delivering" => format!("Order {id} is on its way."),
        "Delivered" => format!("Order {id} was delivered."),
        "Cancelled" => format!("Order {id} was cancelled."),
        "Rejected" => match change.reason.as_deref() {
            Some("PaymentDeclined") => format!("Order {id} was not placed: the payment was declined."),
            Some("StoreDeclined") => format!("The store could not take order {id}."),
            _ => format!("Order {id} was not placed: the payment did not succeed in time."),
        },
        status => format!("Order {id}: {status}."),
    }
}

/// Projection of what customers were told, one document a notification: orderId, customerId, status, message, notifiedAt.
#[derive(Debug, Clone, Copy)]
pub struct View;

impl Projection for View {
    fn collection(&self) -> &'static str {
        "notifications"
    }

    fn topic(&self) -> String {
        topics::events(NAMES.system, NAME)
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&["CustomerNotified"]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["customerId", "orderId"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        // The event's id is the same when it is sent again after a crash.
        Ok(Some(event.id.clone()))
    }

    fn fold(&self, _current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let mut document: Map<String, Value> = event.decode()?;
        document.insert("notificationId".to_owned(), Value::from(event.id.clone()));
        document.insert("notifiedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)));
        Ok(Value::Object(document))
    }
}
