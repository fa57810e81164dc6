//! What happens to aggregates: the facts that `<system>-<collection>-events` carries.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::state::{Aggregate, Status};
use crate::names::{Names, Words};

/// A change of an aggregate. On the wire its type is [`Event::kind`], and its members stand beside those of [`Published`].
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It is on record, not yet established.
    Requested {
        /// What is told once and not remembered.
        told: Map<String, Value>,
    },
    /// The customer asks for a new attempt.
    AttemptStarted {
        /// Attempt, from 1.
        attempt: u32,
    },
    /// The partner has said yes.
    Established {
        /// The attempt that the partner accepted.
        attempt: u32,
        /// True if the answer came after the deadline.
        late: bool,
    },
    /// It will never be established, or no more.
    Rejected {
        /// Reason code.
        reason: String,
        /// What the partner or a follower said.
        detail: Option<String>,
    },
    /// Not yet.
    Deferred {
        /// Reason code.
        reason: String,
        /// The attempt without an answer, if the partner was asked.
        attempt: Option<u32>,
    },
    /// It ends while somebody waits for the partner's answer. It gives the opening command (or the one for a new attempt) its outcome.
    Abandoned {
        /// Reason code.
        reason: String,
    },
    /// By the customer, or by a rule.
    Cancelled {
        /// Why: as the customer said, or a reason code.
        reason: Option<String>,
    },
    /// A follower went on.
    StatusChanged {
        /// Status before.
        from: Status,
        /// Status after.
        to: Status,
    },
    /// The partner accepted what nobody wants any more. It is undone.
    Unwanted {
        /// The attempt that it accepted.
        attempt: u32,
    },
    /// What the partner did for an attempt is undone.
    Undone {
        /// The attempt that it had accepted.
        attempt: u32,
    },
}

impl Event {
    /// Returns the event type.
    pub fn kind(&self, words: &Words) -> &'static str {
        match self {
            Self::Requested { .. } => words.requested,
            Self::AttemptStarted { .. } => words.attempt_started,
            Self::Established { .. } => words.established,
            Self::Rejected { .. } => words.rejected,
            Self::Deferred { .. } => words.deferred,
            Self::Abandoned { .. } => words.abandoned,
            Self::Cancelled { .. } => words.cancelled,
            Self::StatusChanged { .. } => words.status_changed,
            Self::Unwanted { .. } => words.unwanted,
            Self::Undone { .. } => words.undone,
        }
    }

    /// Returns what it says beside what every event says.
    fn members(&self, names: &Names, amount: i64) -> Vec<(&'static str, Value)> {
        let mut members = match self {
            Self::Requested { .. } => Vec::new(),
            Self::AttemptStarted { attempt } | Self::Unwanted { attempt } => vec![("attempt", json!(attempt))],
            Self::Undone { attempt } if names.amount_field.is_none() => vec![("attempt", json!(attempt))],
            Self::Undone { attempt } => vec![("attempt", json!(attempt)), ("amount", json!(amount))],
            Self::Established { attempt, late } => vec![("attempt", json!(attempt)), ("late", json!(late))],
            Self::Rejected { reason, detail } => vec![("reason", json!(reason)), ("detail", json!(detail))],
            Self::Deferred { reason, attempt } => vec![("reason", json!(reason)), ("attempt", json!(attempt))],
            Self::Abandoned { reason } => vec![("reason", json!(reason))],
            Self::Cancelled { reason } => vec![("reason", json!(reason))],
            Self::StatusChanged { from, .. } => vec![("previousStatus", json!(from.name(names)))],
        };
        members.retain(|(_, value)| !value.is_null());
        members
    }
}

/// The payload of every event of a front: who and what, the status after the event, the account, and what changed. A reader needs nothing else.
#[derive(Debug)]
pub struct Published<'a, D> {
    names: &'a Names,
    id: &'a str,
    aggregate: &'a Aggregate<D>,
    change: &'a Event,
}

impl<'a, D> Published<'a, D> {
    /// Returns the payload of `change`, which the aggregate already includes.
    pub fn new(names: &'a Names, id: &'a str, aggregate: &'a Aggregate<D>, change: &'a Event) -> Self {
        Self { names, id, aggregate, change }
    }
}

impl<D: Serialize> Serialize for Published<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { names, id, aggregate, change } = self;
        let account = aggregate.account();
        let [done, undone] = names.partner.account;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.id_field, id)?;
        map.serialize_entry("incarnation", &aggregate.incarnation)?;
        map.serialize_entry("customerId", &aggregate.customer_id)?;
        let details = serde_json::to_value(&aggregate.details).map_err(serde::ser::Error::custom)?;
        for (name, value) in details.as_object().into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("status", aggregate.status.name(names))?;
        if let Some(field) = names.amount_field {
            map.serialize_entry(field, &aggregate.amount)?;
        }
        let account = json!({"attempts": aggregate.attempts, (done): account.accepted, (undone): account.undone});
        map.serialize_entry(names.partner.pair, &account)?;
        if let Event::Requested { told } = change {
            for (name, value) in told.iter().filter(|(_, value)| !value.is_null()) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in change.members(names, aggregate.amount) {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
