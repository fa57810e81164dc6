//! The request/reply pair: `food-delivery-payment-requests` and `-payment-replies`, both keyed by order id.
//!
//! | request | fields |
//! |---|---|
//! | `PaymentRequested` | orderId, customerId, attempt, amount (won), correlationId, incarnation, deadlineAt, giveUpAt |
//! | `PaymentVoidRequested` | orderId, attempt, correlationId, incarnation: nobody wants the attempt any more |
//! | `RefundRequested` | orderId, customerId, attempt, amount, correlationId, incarnation; `unverified`: true if whoever asks no longer knows the order |
//!
//! | reply | meaning |
//! |---|---|
//! | `PaymentApproved` | the money is taken |
//! | `PaymentDeclined` | the provider says no; detail |
//! | `PaymentFailed` | the provider could not say; detail |
//! | `PaymentVoided` | the attempt was dropped in time: no money was taken |
//! | `PaymentRefunded` | the money is back |
//! | `RefundRefused` | an unverified refund is not due: no money was taken by the attempt and left unwanted; detail |
//!
//! The correlation id `<orderId>/<attempt>` names an attempt as long as its order is remembered. An order id may be used again when the order that had it is forgotten (see the retention),
//! and attempts then count from 1 again; the *incarnation*, which says where the command stands that placed the order, keeps the two apart. A reply repeats the incarnation of its request;
//! one without it is taken for an answer to the order that has the id now.
//!
//! A reply is a CloudEvent or a plain object such as `{"type":"PaymentApproved","orderId":"o-1","attempt":1}`; `"correlationId":"o-1/1"` does as well as the two fields.

use fluvio_streams::envelope::{Message, Unreadable, is_identifier};
use serde::{Deserialize, Serialize};

use crate::limits::{PRICE_WON_MAX, TEXT_BYTES_MAX};

/// Returns what identifies an attempt: the correlation id of the pair.
pub fn correlation_id(order_id: &str, attempt: u32) -> String {
    format!("{order_id}/{attempt}")
}

/// Returns what identifies an attempt for ever: its correlation id, and the order's incarnation if it has one.
pub fn attempt_id(order_id: &str, attempt: u32, incarnation: &str) -> String {
    of_incarnation(correlation_id(order_id, attempt), incarnation)
}

/// Adds the incarnation to a name that holds within it. The two cannot be confused, for an incarnation has no `/` and what stands before it ends with a part that has no `@`.
pub(super) fn of_incarnation(name: String, incarnation: &str) -> String {
    if incarnation.is_empty() { name } else { format!("{name}@{incarnation}") }
}

/// Checks the incarnation that a record names.
///
/// # Errors
/// [`Unreadable`] if it is not a short name.
pub fn check_incarnation(kind: &str, incarnation: &str) -> Result<(), Unreadable> {
    if incarnation.is_empty() || (is_identifier(incarnation) && !incarnation.contains(['/', '@'])) {
        return Ok(());
    }
    Err(Unreadable(format!("{kind}: field `incarnation` must be an id without `/` and `@`")))
}

/// `PaymentRequested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequest {
    /// Order to be paid.
    pub order_id: String,
    /// Who pays.
    #[serde(default)]
    pub customer_id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// How much, in won.
    pub amount: i64,
    /// Which order of this id it is.
    #[serde(default)]
    pub incarnation: String,
    /// When nobody wants the money any more, RFC 3339.
    #[serde(default)]
    pub give_up_at: Option<String>,
}

/// `PaymentVoidRequested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoidRequest {
    /// Order.
    pub order_id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Who would have paid.
    #[serde(default)]
    pub customer_id: String,
    /// How much, in won.
    #[serde(default)]
    pub amount: i64,
    /// Which order of this id it is.
    #[serde(default)]
    pub incarnation: String,
}

/// `RefundRequested`. It says all that is needed, so that an attempt can be refunded that payments has forgotten, or that a stand-in took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// Order.
    pub order_id: String,
    /// Who paid; empty if whoever asks does not know.
    #[serde(default)]
    pub customer_id: String,
    /// Attempt that took the money, from 1.
    pub attempt: u32,
    /// How much, in won; 0 if whoever asks does not know.
    #[serde(default)]
    pub amount: i64,
    /// `<orderId>/<attempt>`.
    #[serde(default)]
    pub correlation_id: String,
    /// Which order of this id it is.
    #[serde(default)]
    pub incarnation: String,
    /// True if whoever asks has no books on the attempt (any more), only the word of a reply: the money is given back only if the receiver's own books say that it was taken and not wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
}

impl RefundRequest {
    /// Returns the request to give back what the attempt took.
    pub fn new(order_id: &str, customer_id: &str, attempt: u32, incarnation: &str, amount: i64) -> Self {
        let correlation_id = correlation_id(order_id, attempt);
        let (order_id, customer_id, incarnation) = (order_id.to_owned(), customer_id.to_owned(), incarnation.to_owned());
        Self { order_id, customer_id, attempt, amount, correlation_id, incarnation, unverified: false }
    }
}

/// Payload of every reply, and of every event of `food-delivery-payments-events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply<'a> {
    /// Order.
    pub order_id: &'a str,
    /// Attempt, from 1.
    pub attempt: u32,
    /// `<orderId>/<attempt>`.
    pub correlation_id: String,
    /// Which order of this id it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub incarnation: &'a str,
    /// How much, in won.
    pub amount: i64,
    /// What the provider said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

/// A reply as orders reads it: from payments, or from any program that stands in for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyData {
    order_id: Option<String>,
    attempt: Option<u32>,
    correlation_id: Option<String>,
    incarnation: Option<String>,
    amount: Option<i64>,
    detail: Option<String>,
}

/// Which attempt a reply is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Order.
    pub order_id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which order of this id; `None` for the one that has it now.
    pub incarnation: Option<String>,
    /// How much, in won, if the reply says.
    pub amount: Option<i64>,
}

impl ReplyData {
    /// Returns which attempt of which order the reply is about.
    ///
    /// # Errors
    /// [`Unreadable`] if it does not say, or names what cannot be.
    pub fn about(&self, message: &Message) -> Result<About, Unreadable> {
        check_incarnation(&message.kind, self.incarnation.as_deref().unwrap_or_default())?;
        if self.amount.is_some_and(|amount| !(0..=PRICE_WON_MAX).contains(&amount)) {
            return Err(Unreadable(format!("{}: field `amount` must be a whole number from 0 to {PRICE_WON_MAX}", message.kind)));
        }
        let correlated = self.correlation_id.as_deref().and_then(|id| id.rsplit_once('/'));
        let order_id = self.order_id.as_deref().or_else(|| correlated.map(|(order_id, _)| order_id)).or(message.subject.as_deref());
        let attempt = self.attempt.or_else(|| correlated.and_then(|(_, attempt)| attempt.parse().ok()));
        match (order_id, attempt) {
            (Some(order_id), Some(attempt)) => Ok(About { order_id: order_id.to_owned(), attempt, incarnation: self.incarnation.clone(), amount: self.amount }),
            (None, _) => Err(Unreadable(format!("{}: field `orderId` is missing", message.kind))),
            (_, None) => Err(Unreadable(format!("{}: field `attempt` is missing", message.kind))),
        }
    }

    /// Returns what the provider said, cut to what an order keeps.
    pub fn detail(self) -> Option<String> {
        let mut detail = self.detail?;
        let end = (0..=TEXT_BYTES_MAX.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
        detail.truncate(end);
        Some(detail)
    }
}
