//! Tickets as customers see them: one document a booking that was paid: bookingId, status (`Waiting`, `Printed`, `Void`), issuedAt, updatedAt.
//!
//! Who issues and prints them is the shared follower with the names [`crate::names::TICKETS`].

use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde_json::{Map, Value};

use crate::names::{NAMES, TICKET_ISSUED, TICKET_PRINTED, TICKET_VOIDED, TICKETS};

/// Projection of the events of the ticket desk.
#[derive(Debug, Clone, Copy)]
pub struct View;

impl Projection for View {
    fn collection(&self) -> &'static str {
        TICKETS.collection
    }

    fn topic(&self) -> String {
        topics::events(NAMES.system, TICKETS.events)
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&[TICKET_ISSUED, TICKET_PRINTED, TICKET_VOIDED]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        event.subject.clone().map(Some).ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", event.kind)))
    }

    fn fold(&self, current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let status = match event.kind.as_str() {
            TICKET_ISSUED => "Waiting",
            TICKET_PRINTED => "Printed",
            TICKET_VOIDED => "Void",
            kind => return Err(Unreadable(format!("`{kind}` is no event of tickets"))),
        };
        let now = Value::from(format_rfc3339(event.time_ms));
        let mut document = match current {
            // A booking that is forgotten may have had the id, and a ticket, before.
            Some(Value::Object(document)) if event.kind != TICKET_ISSUED => document,
            _ => Map::from_iter([(NAMES.id_field.to_owned(), Value::from(event.subject.as_deref())), ("issuedAt".to_owned(), now.clone())]),
        };
        document.insert("status".to_owned(), Value::from(status));
        document.insert("updatedAt".to_owned(), now);
        Ok(Value::Object(document))
    }
}
