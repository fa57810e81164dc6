//! The request/reply pair: `food-delivery-payment-requests` and `-payment-replies`, both keyed by order id.
//!
//! | request | fields |
//! |---|---|
//! | `PaymentRequested` | orderId, customerId, attempt, amount (won), correlationId, deadlineAt, giveUpAt |
//! | `PaymentVoidRequested` | orderId, attempt, correlationId: nobody wants the attempt any more |
//! | `RefundRequested` | orderId, customerId, attempt, amount, correlationId |
//!
//! | reply | meaning |
//! |---|---|
//! | `PaymentApproved` | the money is taken |
//! | `PaymentDeclined` | the provider says no; detail |
//! | `PaymentFailed` | the provider could not say; detail |
//! | `PaymentVoided` | the attempt was dropped in time: no money was taken |
//! | `PaymentRefunded` | the money is back |
//!
//! A reply is a CloudEvent or a plain object such as `{"type":"PaymentApproved","orderId":"o-1","attempt":1}`; `"correlationId":"o-1/1"` does as well as the two fields.

use fluvio_streams::envelope::{Message, Unreadable};
use serde::{Deserialize, Serialize};

use crate::limits::TEXT_BYTES_MAX;

/// Returns what identifies an attempt: the correlation id of the pair.
pub fn correlation_id(order_id: &str, attempt: u32) -> String {
    format!("{order_id}/{attempt}")
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
}

/// `RefundRequested`. It says all that is needed, so that an attempt can be refunded that payments has forgotten, or that a stand-in took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest {
    /// Order.
    pub order_id: String,
    /// Who paid.
    #[serde(default)]
    pub customer_id: String,
    /// Attempt that took the money, from 1.
    pub attempt: u32,
    /// How much, in won.
    pub amount: i64,
    /// `<orderId>/<attempt>`.
    #[serde(default)]
    pub correlation_id: String,
}

impl RefundRequest {
    /// Returns the request to give back what the attempt took.
    pub fn new(order_id: &str, customer_id: &str, attempt: u32, amount: i64) -> Self {
        let correlation_id = correlation_id(order_id, attempt);
        Self { order_id: order_id.to_owned(), customer_id: customer_id.to_owned(), attempt, amount, correlation_id }
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
    detail: Option<String>,
}

impl ReplyData {
    /// Returns which attempt of which order the reply is about.
    ///
    /// # Errors
    /// [`Unreadable`] if it does not say.
    pub fn about(&self, message: &Message) -> Result<(String, u32), Unreadable> {
        let correlated = self.correlation_id.as_deref().and_then(|id| id.rsplit_once('/'));
        let order_id = self.order_id.as_deref().or_else(|| correlated.map(|(order_id, _)| order_id)).or(message.subject.as_deref());
        let attempt = self.attempt.or_else(|| correlated.and_then(|(_, attempt)| attempt.parse().ok()));
        match (order_id, attempt) {
            (Some(order_id), Some(attempt)) => Ok((order_id.to_owned(), attempt)),
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
