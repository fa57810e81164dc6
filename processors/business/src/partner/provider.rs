//! What a partner and its provider say to each other, in JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Do it: take the money, take the delivery on.
    Accept,
    /// Undo it: give the money back, drop the delivery.
    Undo,
}

/// A request to the provider. Repeated with the same idempotency key, it must have the effect and the answer of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRequest {
    /// What is asked.
    pub operation: Operation,
    /// Id of the aggregate.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// How much, in won; 1 where no money is involved.
    pub amount: i64,
    /// Whose.
    pub customer_id: String,
    /// `<system>/<id>/<attempt>/accept@<incarnation>` or `.../undo@...`: never the same for two aggregates, also if they have the same id in two systems that share a provider, or one after
    /// the other.
    pub idempotency_key: String,
    /// 1 at first; an undoing that failed is asked for again under the same key with the next number.
    pub try_number: u32,
    /// What else the front said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl ProviderRequest {
    /// Returns what an operation on an attempt is called within its system; with the system and the incarnation, the idempotency key.
    pub fn key(operation: Operation, id: &str, attempt: u32) -> String {
        let operation = match operation {
            Operation::Accept => "accept",
            Operation::Undo => "undo",
        };
        format!("{id}/{attempt}/{operation}")
    }
}

/// What the provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProviderOutcome {
    /// It is done.
    Accepted,
    /// No.
    Declined,
    /// It could not find out, and has done nothing.
    Failed,
    /// It is undone.
    Undone,
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
