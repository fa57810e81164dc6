//! What payments and the payment provider say to each other, in JSON.

use serde::{Deserialize, Serialize};

/// What is asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Take the money.
    Authorize,
    /// Give it back.
    Refund,
}

/// A request to the provider. Repeated with the same idempotency key, it must have the effect and the answer of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRequest {
    /// What is asked.
    pub operation: Operation,
    /// Order.
    pub order_id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// How much, in won.
    pub amount: i64,
    /// Who pays.
    pub customer_id: String,
    /// `<orderId>/<attempt>/authorize@<incarnation>` or `.../refund@...`: never the same for two orders, also if they have the same id one after the other.
    pub idempotency_key: String,
    /// 1 at first; a refund that failed is asked for again under the same key with the next number.
    pub try_number: u32,
}

impl ProviderRequest {
    /// Returns what an operation on an attempt is called among those of the order; with the order's incarnation, the idempotency key.
    pub fn key(operation: Operation, order_id: &str, attempt: u32) -> String {
        let operation = match operation {
            Operation::Authorize => "authorize",
            Operation::Refund => "refund",
        };
        format!("{order_id}/{attempt}/{operation}")
    }
}

/// What the provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProviderOutcome {
    /// The money is taken.
    Approved,
    /// No.
    Declined,
    /// It could not find out, and has done nothing.
    Failed,
    /// The money is back.
    Refunded,
}

/// An answer of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderResponse {
    /// What it says.
    pub outcome: ProviderOutcome,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How often the reply is published: 1, but for a simulated provider that repeats itself.
    #[serde(default = "once")]
    pub answers: u8,
}

impl ProviderResponse {
    /// Returns an answer that is given once.
    pub fn new(outcome: ProviderOutcome, detail: Option<&str>) -> Self {
        Self { outcome, detail: detail.map(str::to_owned), answers: once() }
    }
}

fn once() -> u8 {
    1
}
