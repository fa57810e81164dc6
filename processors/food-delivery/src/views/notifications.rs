//! What customers were told: one document a notification.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::topics;

/// Projection of `food-delivery-notifications-events`: orderId, customerId, status, message, notifiedAt.
#[derive(Debug, Clone, Copy)]
pub struct Notifications;

impl Projection for Notifications {
    fn collection(&self) -> &'static str {
        "notifications"
    }

    fn topic(&self) -> String {
        topics::NOTIFICATIONS_EVENTS.to_owned()
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
