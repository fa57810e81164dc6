//! What customers were told, one document a notification.
//!
//! | field | what |
//! |---|---|
//! | `notificationId` | CloudEvents id of the notification |
//! | the business's id field, `customerId`, `status`, `about` | of what, to whom, where it stands, type of the event that the customer is told of; no status if it is forgotten, and perhaps no customer |
//! | `message`, `notifiedAt` | a sentence; RFC 3339 UTC |
//! | `delivery` | `Pending`, `Delivered` or `Undeliverable`; left out if there was no webhook, or nobody to deliver it to |
//! | `attempts`, `deliveryReason` | once it is delivered or given up: how often it was tried; why it was given up |

use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::NAME;
use crate::processor::{DELIVERED, NOTIFIED, REVERSAL_NOTIFIED, UNDELIVERABLE};

/// Projection of the events of notifications.
#[derive(Debug, Clone, Copy)]
pub struct View {
    system: &'static str,
    indexes: &'static [&'static str],
}

impl View {
    /// Returns the projection for a system; lists can be filtered by these fields.
    pub fn new(system: &'static str, indexes: &'static [&'static str]) -> Self {
        Self { system, indexes }
    }
}

impl Projection for View {
    fn collection(&self) -> &'static str {
        NAME
    }

    fn topic(&self) -> String {
        topics::events(self.system, NAME)
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&[NOTIFIED, REVERSAL_NOTIFIED, DELIVERED, UNDELIVERABLE]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        self.indexes
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        if is_notification(event) {
            // The event's id is the same when it is sent again after a crash.
            return Ok(Some(event.id.clone()));
        }
        let data: Map<String, Value> = event.decode()?;
        let id = data.get("notificationId").and_then(Value::as_str);
        id.map(|id| Some(id.to_owned())).ok_or_else(|| Unreadable(format!("{}: field `notificationId` is missing", event.kind)))
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let mut data: Map<String, Value> = event.decode()?;
        let mut document = match current {
            Some(Value::Object(document)) => document,
            _ => Map::new(),
        };
        if is_notification(event) {
            data.insert("notificationId".to_owned(), Value::from(event.id.clone()));
            data.insert("notifiedAt".to_owned(), Value::from(format_rfc3339(event.time_ms)));
            // One that is sent again after a crash takes nothing back of what came after it.
            data.extend(document);
            return Ok(Value::Object(data));
        }
        let reason = data.remove("reason").map(|reason| ("deliveryReason".to_owned(), reason));
        let delivery = if event.kind == DELIVERED { "Delivered" } else { "Undeliverable" };
        document.extend(data.into_iter().chain(reason));
        document.insert("delivery".to_owned(), Value::from(delivery));
        Ok(Value::Object(document))
    }
}

fn is_notification(event: &Message) -> bool {
    event.kind == NOTIFIED || event.kind == REVERSAL_NOTIFIED
}

#[cfg(test)]
mod tests {
    use fluvio_streams::envelope::{self, Format};
    use fluvio_streams::record::Position;
    use serde_json::json;

    use super::*;

    fn fold(current: Option<Value>, offset: i64, kind: &str, id: &str, data: &Value) -> Value {
        let view = View::new("tea-house", &["customerId"]);
        let position = Position { topic: view.topic(), partition: 0, offset };
        let event = json!({"specversion": "1.0", "type": kind, "id": id, "subject": "c-1", "time": "2026-01-01T00:00:00Z", "data": data});
        let event = envelope::read(Format::Event, position, None, event.to_string().as_bytes(), 0).expect("it is an event");
        assert_eq!(view.document_id(&event), Ok(Some("n/0/1/0".to_owned())));
        view.fold(current, &event).expect("it is well formed")
    }

    #[test]
    fn a_notification_that_is_sent_again_after_a_crash_does_not_undo_its_delivery() {
        let told = json!({"cupId": "c-1", "customerId": "kim", "status": "Served", "delivery": "Pending"});
        let ended = json!({"notificationId": "n/0/1/0", "cupId": "c-1", "customerId": "kim", "attempts": 3});
        let pending = fold(None, 0, NOTIFIED, "n/0/1/0", &told);
        assert_eq!((&pending["delivery"], &pending["notifiedAt"]), (&json!("Pending"), &json!("2026-01-01T00:00:00.000Z")));
        let delivered = fold(Some(pending), 1, DELIVERED, "n/0/2/0", &ended);
        assert_eq!((&delivered["delivery"], &delivered["attempts"], &delivered["status"]), (&json!("Delivered"), &json!(3), &json!("Served")));
        assert_eq!(fold(Some(delivered.clone()), 2, NOTIFIED, "n/0/1/0", &told), delivered);
    }
}
