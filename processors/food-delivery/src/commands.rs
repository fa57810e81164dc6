//! What people may send, and what comes of it: the commands for the HTTP layer, and what all processors of commands share.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Rejection};
use fluvio_streams::system::{CommandSpec, FieldError, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fields::Fields;
use crate::orders::command::Command;
use crate::{store, topics};

/// Returns the commands in the order of an order's life.
pub fn specs() -> Vec<CommandSpec> {
    let on_orders = |kind, verb| CommandSpec { kind, collection: "orders", verb, subject_field: "orderId", id_prefix: "o", check };
    vec![
        on_orders("PlaceOrder", None),
        on_orders("PayOrder", Some("pay")),
        on_orders("CancelOrder", Some("cancel")),
        on_orders("AcceptOrder", Some("accept")),
        on_orders("DeclineOrder", Some("decline")),
        on_orders("StartCooking", Some("start-cooking")),
        on_orders("StartDelivery", Some("start-delivery")),
        on_orders("CompleteDelivery", Some("complete-delivery")),
    ]
}

/// Checks a command object by the rules by which the processors read it.
fn check(body: &Value) -> Result<(), FieldError> {
    let fields = Fields::of(body, "")?;
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_order_id_there = fields.identifier("orderId")?.is_some();
    explicit_id(body)?;
    if store::COMMANDS.contains(&kind) {
        fields.text("reason")?;
    } else if Command::read(kind, body)?.is_none() {
        return Err(fields.wrong("type", "is no command of this system"));
    }
    if kind != "PlaceOrder" && !is_order_id_there {
        return Err(fields.wrong("orderId", "is missing"));
    }
    Ok(())
}

/// Reads an event as the outcome of the command that it correlates with.
///
/// A deferred order's `PlaceOrder` has its outcome; what becomes of the order later is news, not an outcome.
pub fn outcome(command: &str, event: &str, data: &Value) -> Option<(Outcome, Option<String>)> {
    let reason = || data.get("reason").and_then(Value::as_str).map(str::to_owned);
    let outcome = match (command, event) {
        (_, "DeadLetter") => return Some((Outcome::Refused, Some("Unreadable".to_owned()))),
        (_, "CommandRejected") => match reason().as_deref() {
            Some("DuplicateCommand") => Outcome::Repeated,
            Some("OrderUnknown") => Outcome::Unknown,
            _ => Outcome::Refused,
        },
        ("PlaceOrder" | "PayOrder", "OrderPlaced") => return Some((Outcome::Done, None)),
        ("PlaceOrder" | "PayOrder", "PaymentDeferred") => Outcome::Deferred,
        ("PlaceOrder" | "PayOrder", "OrderRejected") if reason().as_deref() == Some("PaymentDeclined") => Outcome::Declined,
        ("PlaceOrder" | "PayOrder", "OrderRejected" | "PaymentAbandoned") => Outcome::Refused,
        ("CancelOrder", "OrderCancelled") | ("DeclineOrder", "OrderRejected") => return Some((Outcome::Done, None)),
        ("AcceptOrder" | "StartCooking" | "StartDelivery" | "CompleteDelivery", "OrderStatusChanged") => return Some((Outcome::Done, None)),
        _ => return None,
    };
    Some((outcome, reason()))
}

/// Returns the id that the sender gave to the command. It is read from the command itself, since a forwarded one travels in an envelope with an id of its own.
pub(crate) fn explicit_id(body: &Value) -> Result<Option<&str>, FieldError> {
    Fields::of(body, "")?.identifier("commandId")
}

/// Refuses a command that was taken before.
pub(crate) fn refuse_duplicate(taken: &[String], command_id: Option<&str>) -> Result<(), Rejection> {
    match command_id.filter(|id| taken.iter().any(|taken| taken == id)) {
        Some(id) => Err(Rejection::new("DuplicateCommand", format!("the order took the command `{id}` before"))),
        None => Ok(()),
    }
}

/// Adds a command's id to those taken; of more than `max`, the oldest go.
pub(crate) fn remember(taken: &mut Vec<String>, command_id: Option<&str>, max: usize) {
    taken.extend(command_id.map(str::to_owned));
    taken.drain(..taken.len().saturating_sub(max));
}

/// A command as its sender knows it: by this it is named if it is refused later than in the step that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Command type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Id that the sender gave it, else where it stood when it was sent.
    pub(crate) id: String,
    /// Where it was read.
    pub(crate) position: String,
}

impl Sent {
    /// Returns the command of a message. One that was forwarded travels in an envelope with an id of its own, but under the correlation of what was sent.
    pub(crate) fn of(message: &Message, command_id: Option<&str>) -> Self {
        let identity = if message.provenance.is_some() { &message.correlation } else { &message.id };
        Self { kind: message.kind.clone(), id: command_id.unwrap_or(identity).to_owned(), position: message.position.to_string() }
    }

    /// Tells the sender that the command is refused, in the shape in which the runtime tells it of any other. The context carries the command's correlation.
    pub(crate) fn refuse(&self, cx: &mut Context<'_>, order_id: &str, rejection: &Rejection) {
        let data = json!({
            "commandType": self.kind,
            "commandId": self.id,
            "subject": order_id,
            "reason": rejection.reason,
            "detail": rejection.detail,
            "position": self.position,
        });
        cx.emit_to(topics::REJECTIONS, cx.partition(), "CommandRejected", order_id, &data);
    }
}

/// Returns the refusal of a command for an order that is not there.
pub(crate) fn order_unknown(id: &str) -> Rejection {
    Rejection::new("OrderUnknown", format!("there is no order `{id}`"))
}

/// Returns the reason why a record about no order cannot be read.
pub(crate) fn no_order_id(kind: &str) -> Unreadable {
    Unreadable(format!("{kind}: field `orderId` is missing, and the record has no key to take its place"))
}
