//! The request/reply pair: `<system>-<pair>-requests` and `-replies`, both keyed by the aggregate's id. Here with the names of a front of orders that are paid.
//!
//! | request | fields |
//! |---|---|
//! | `PaymentRequested` | orderId, customerId, attempt, amount (won), correlationId, incarnation, deadlineAt, giveUpAt; what else the business tells |
//! | `PaymentVoidRequested` | orderId, attempt, correlationId, incarnation: nobody wants the attempt any more |
//! | `RefundRequested` | orderId, customerId, attempt, amount, correlationId, incarnation; `unverified`: true if whoever asks no longer knows the order |
//!
//! | reply | meaning |
//! |---|---|
//! | `PaymentApproved` | it is done: the money is taken |
//! | `PaymentDeclined` | the provider says no; detail |
//! | `PaymentFailed` | the provider could not say; detail |
//! | `PaymentVoided` | the attempt was dropped in time: nothing was done |
//! | `PaymentRefunded` | it is undone: the money is back |
//! | `RefundRefused` | an unverified undoing is not due: nothing was done for the attempt and left unwanted; detail |
//!
//! The correlation id `<orderId>/<attempt>` names an attempt as long as its aggregate is remembered. An id may be used again when the aggregate that had it is forgotten (see the retention),
//! and attempts then count from 1 again; the *incarnation*, which says where the command stands that opened the aggregate, keeps the two apart. A reply repeats the incarnation of its
//! request; one without it is taken for an answer to the aggregate that has the id now.
//!
//! A reply is a CloudEvent or a plain object such as `{"type":"PaymentApproved","orderId":"o-1","attempt":1}`; `"correlationId":"o-1/1"` does as well as the two fields.

use fluvio_streams::envelope::{Message, Unreadable, is_identifier};
use fluvio_streams::time::parse_rfc3339;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::limits::{AMOUNT_WON_MAX, TEXT_BYTES_MAX};
use crate::names::Names;

/// Returns what identifies an attempt: the correlation id of the pair.
pub fn correlation_id(id: &str, attempt: u32) -> String {
    format!("{id}/{attempt}")
}

/// What [`attempt_id`] returns, for stores that are keyed by it.
pub(crate) const ATTEMPT_KEY: &str = "attempt@incarnation";

/// Returns what identifies an attempt for ever: its correlation id, and the aggregate's incarnation if it has one.
pub fn attempt_id(id: &str, attempt: u32, incarnation: &str) -> String {
    of_incarnation(correlation_id(id, attempt), incarnation)
}

/// Adds the incarnation to a name that holds within it. The two cannot be confused, for an incarnation has no `/` and what stands before it ends with a part that has no `@`.
pub(super) fn of_incarnation(name: String, incarnation: &str) -> String {
    if incarnation.is_empty() { name } else { format!("{name}@{incarnation}") }
}

/// Checks the incarnation that a record names.
fn check_incarnation(kind: &str, incarnation: &str) -> Result<(), Unreadable> {
    if incarnation.is_empty() || (is_identifier(incarnation) && !incarnation.contains(['/', '@'])) {
        return Ok(());
    }
    Err(Unreadable(format!("{kind}: field `incarnation` must be an id without `/` and `@`")))
}

/// A request as the partner reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Aggregate.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which aggregate of this id.
    pub incarnation: String,
    /// Whose; empty if whoever asks does not know.
    pub customer_id: String,
    /// How much, in won; 1 where no money is involved; 0 if whoever asks does not know.
    pub amount: i64,
    /// When nobody wants it any more, in ms.
    pub give_up_ms: Option<i64>,
    /// True if whoever asks to undo has no books on the attempt (any more), only the word of a reply.
    pub unverified: bool,
    /// What else was said.
    pub details: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedFields {
    attempt: u32,
    #[serde(default)]
    incarnation: String,
    #[serde(default)]
    customer_id: String,
    amount: Option<i64>,
    give_up_at: Option<String>,
    #[serde(default)]
    unverified: bool,
    #[serde(rename = "correlationId")]
    _correlation_id: Option<String>,
    #[serde(rename = "deadlineAt")]
    _deadline_at: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Unreadable`] naming what is missing or wrong.
    pub fn read(names: &Names, message: &Message) -> Result<Self, Unreadable> {
        let mut fields: AskedFields = message.decode()?;
        check_incarnation(&message.kind, &fields.incarnation)?;
        let amount = match (fields.amount, names.amount_field) {
            (Some(amount), _) => amount,
            (None, None) => 1,
            (None, Some(_)) if message.kind == names.partner.request => return Err(Unreadable(format!("{}: field `amount` is missing", message.kind))),
            (None, Some(_)) => 0,
        };
        let id = match fields.rest.remove(names.id_field) {
            Some(Value::String(id)) => id,
            _ => message.subject.clone().ok_or_else(|| Unreadable(format!("{}: field `{}` is missing", message.kind, names.id_field)))?,
        };
        Ok(Self {
            id,
            attempt: fields.attempt,
            incarnation: fields.incarnation,
            customer_id: fields.customer_id,
            amount,
            give_up_ms: fields.give_up_at.as_deref().and_then(parse_rfc3339),
            unverified: fields.unverified,
            details: fields.rest,
        })
    }
}

/// A request to undo what an attempt did, as a front writes it. It says all that is needed, so that an attempt can be undone that the partner has forgotten, or that a stand-in accepted.
#[derive(Debug)]
pub struct UndoRequest<'a> {
    /// Names of the business.
    pub names: &'a Names,
    /// Aggregate.
    pub id: &'a str,
    /// Whose; empty if it is not known.
    pub customer_id: &'a str,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which aggregate of this id.
    pub incarnation: &'a str,
    /// How much, in won.
    pub amount: i64,
    /// See [`Asked::unverified`].
    pub unverified: bool,
}

impl Serialize for UndoRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.names.id_field, self.id)?;
        map.serialize_entry("customerId", self.customer_id)?;
        map.serialize_entry("attempt", &self.attempt)?;
        if self.names.amount_field.is_some() {
            map.serialize_entry("amount", &self.amount)?;
        }
        map.serialize_entry("correlationId", &correlation_id(self.id, self.attempt))?;
        map.serialize_entry("incarnation", self.incarnation)?;
        if self.unverified {
            map.serialize_entry("unverified", &true)?;
        }
        map.end()
    }
}

/// Payload of every reply, and of every event of the partner.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Names of the business.
    pub names: &'a Names,
    /// Aggregate.
    pub id: &'a str,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which aggregate of this id.
    pub incarnation: &'a str,
    /// Whose.
    pub customer_id: &'a str,
    /// How much, in won.
    pub amount: i64,
    /// What the provider said.
    pub detail: Option<&'a str>,
}

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.names.id_field, self.id)?;
        map.serialize_entry("customerId", self.customer_id)?;
        map.serialize_entry("attempt", &self.attempt)?;
        map.serialize_entry("correlationId", &correlation_id(self.id, self.attempt))?;
        if !self.incarnation.is_empty() {
            map.serialize_entry("incarnation", self.incarnation)?;
        }
        if self.names.amount_field.is_some() {
            map.serialize_entry("amount", &self.amount)?;
        }
        if let Some(detail) = self.detail {
            map.serialize_entry("detail", detail)?;
        }
        map.end()
    }
}

/// A reply as a front reads it: from its partner, or from any program that stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replied {
    /// Aggregate.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which aggregate of this id; `None` for the one that has it now.
    pub incarnation: Option<String>,
    /// Whose, if the reply says and it is an id.
    pub customer_id: Option<String>,
    /// How much, in won, if the reply says; 1 where no money is involved.
    pub amount: Option<i64>,
    /// What the provider said, cut to what an aggregate keeps.
    pub detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepliedFields {
    attempt: Option<u32>,
    correlation_id: Option<String>,
    incarnation: Option<String>,
    amount: Option<i64>,
    detail: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Replied {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Unreadable`] if it does not say which attempt it is about, or names what cannot be.
    pub fn read(names: &Names, message: &Message) -> Result<Self, Unreadable> {
        let fields: RepliedFields = message.decode()?;
        check_incarnation(&message.kind, fields.incarnation.as_deref().unwrap_or_default())?;
        if fields.amount.is_some_and(|amount| !(0..=AMOUNT_WON_MAX).contains(&amount)) {
            return Err(Unreadable(format!("{}: field `amount` must be a whole number from 0 to {AMOUNT_WON_MAX}", message.kind)));
        }
        let correlated = fields.correlation_id.as_deref().and_then(|id| id.rsplit_once('/'));
        let id = fields.rest.get(names.id_field).and_then(Value::as_str).or_else(|| correlated.map(|(id, _)| id)).or(message.subject.as_deref());
        let attempt = fields.attempt.or_else(|| correlated.and_then(|(_, attempt)| attempt.parse().ok()));
        // Nothing depends on it but who is told: a reply is taken without it too.
        let customer_id = fields.rest.get("customerId").and_then(Value::as_str).filter(|customer| is_identifier(customer));
        let missing = |field: &str| Unreadable(format!("{}: field `{field}` is missing", message.kind));
        Ok(Self {
            customer_id: customer_id.map(str::to_owned),
            id: id.ok_or_else(|| missing(names.id_field))?.to_owned(),
            attempt: attempt.ok_or_else(|| missing("attempt"))?,
            amount: if names.amount_field.is_some() { fields.amount } else { Some(1) },
            incarnation: fields.incarnation,
            detail: fields.detail.map(cut),
        })
    }
}

fn cut(mut detail: String) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
    detail.truncate(end);
    detail
}
