//! What orders remembers of one order, and how an event changes it.

use std::collections::BTreeMap;

use fluvio_streams::record::Position;
use serde::{Deserialize, Serialize};

use super::event::{Event, Reason};
use crate::limits::COMMAND_IDS_MAX;

/// Where an order stands. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The provider has been asked and the customer waits.
    PaymentPending,
    /// Not paid yet; the customer was told.
    PaymentDeferred,
    /// Paid and established.
    Placed,
    /// The store takes it.
    Accepted,
    /// The store cooks it.
    Cooking,
    /// On the road.
    Delivering,
    /// With the customer. Final.
    Delivered,
    /// By the customer. Final.
    Cancelled,
    /// Not paid, or the store said no. Final.
    Rejected,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::PaymentPending,
        Self::PaymentDeferred,
        Self::Placed,
        Self::Accepted,
        Self::Cooking,
        Self::Delivering,
        Self::Delivered,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// Returns true for an order that is established: paid, and neither cancelled nor declined by the store.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Placed | Self::Accepted | Self::Cooking | Self::Delivering | Self::Delivered)
    }

    /// Returns true if the order still waits for its payment.
    pub fn is_unpaid(self) -> bool {
        matches!(self, Self::PaymentPending | Self::PaymentDeferred)
    }

    /// Returns true if the status never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Rejected)
    }
}

/// Money that a payment attempt took. It only ever moves forward, so that an attempt is refunded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capture {
    /// It pays for the order.
    Kept,
    /// It is on its way back.
    Refunding,
    /// It is back.
    Refunded,
}

/// Payment so far, as events and views show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Attempts made.
    pub attempts: u32,
    /// Taken by the provider in all, in won.
    pub captured: i64,
    /// Given back in all, in won.
    pub refunded: i64,
}

/// The money of one order, or the sum over many, in won.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Taken by the provider.
    pub captured: i64,
    /// Given back.
    pub refunded: i64,
    /// Price of the order while it is live.
    pub live: i64,
    /// Taken for nothing, and not yet given back.
    pub open: i64,
}

impl Money {
    /// Returns by how much the money law is broken: captured - refunded = live + open. 0 at every step; anything else is an alarm.
    pub fn imbalance(&self) -> i64 {
        (self.captured - self.refunded) - (self.live + self.open)
    }
}

/// Returns what tells an order from every other that had or will have its id: where the command stands that placed it. An id may be used again when the order that had it is forgotten.
pub fn incarnation(placed_by: &Position) -> String {
    format!("{}-{}", placed_by.partition, placed_by.offset)
}

/// What is remembered of an order. Items and address are not: no rule needs them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which order of this id it is, see [`incarnation`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// Who pays.
    pub customer_id: String,
    /// Who cooks.
    pub store_id: String,
    /// Price of all items, in won.
    pub price: i64,
    /// Where it stands.
    pub status: Status,
    /// Why its payment is deferred, while it is.
    pub deferred: Option<Reason>,
    /// Payment attempts made so far.
    pub attempts: u32,
    /// What attempts took, by attempt.
    pub captures: BTreeMap<u32, Capture>,
    /// Correlation of the last command that changed it: what follows from replies and timers belongs to that.
    pub correlation: String,
    /// Ids that senders gave to the last commands.
    pub command_ids: Vec<String>,
}

impl Order {
    /// Returns a new order that waits for its payment.
    pub fn new(incarnation: String, customer_id: String, store_id: String, price: i64, correlation: String) -> Self {
        Self {
            incarnation,
            customer_id,
            store_id,
            price,
            status: Status::PaymentPending,
            deferred: None,
            attempts: 0,
            captures: BTreeMap::new(),
            correlation,
            command_ids: Vec::new(),
        }
    }

    /// Folds an event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Requested { .. } | Event::PaymentAbandoned { .. } => {}
            Event::PaymentAttemptStarted { attempt } => {
                self.status = Status::PaymentPending;
                self.attempts = self.attempts.max(*attempt);
            }
            Event::Placed { attempt, .. } => {
                self.status = Status::Placed;
                self.captures.insert(*attempt, Capture::Kept);
            }
            Event::PaymentDeferred { reason, .. } => {
                self.status = Status::PaymentDeferred;
                self.deferred = Some(*reason);
            }
            Event::Rejected { .. } => self.end(Status::Rejected),
            Event::Cancelled { .. } => self.end(Status::Cancelled),
            Event::StatusChanged { status, .. } => self.status = *status,
            Event::PaymentUnwanted { attempt } => {
                self.captures.insert(*attempt, Capture::Refunding);
            }
            Event::Refunded { attempt, .. } => {
                self.captures.insert(*attempt, Capture::Refunded);
            }
        }
        if self.status != Status::PaymentDeferred {
            self.deferred = None;
        }
    }

    /// Ends the order unfulfilled: what was kept for it goes back.
    fn end(&mut self, status: Status) {
        self.status = status;
        for capture in self.captures.values_mut().filter(|capture| **capture == Capture::Kept) {
            *capture = Capture::Refunding;
        }
    }

    /// Remembers the id that a sender gave to a command. The oldest of too many is forgotten.
    pub fn remember(&mut self, command_id: Option<&str>) {
        crate::commands::remember(&mut self.command_ids, command_id, COMMAND_IDS_MAX);
    }

    /// Returns the attempts whose money is on its way back.
    pub fn refunding(&self) -> impl Iterator<Item = u32> + '_ {
        self.captures.iter().filter(|(_, capture)| **capture == Capture::Refunding).map(|(attempt, _)| *attempt)
    }

    /// Returns payment so far.
    pub fn payment(&self) -> Payment {
        let money = self.money();
        Payment { attempts: self.attempts, captured: money.captured, refunded: money.refunded }
    }

    /// Returns its money. What is live follows from the status, what is open from the captures, so that the money law compares two accounts.
    pub fn money(&self) -> Money {
        let sum = |wanted: &[Capture]| self.price * self.captures.values().filter(|capture| wanted.contains(capture)).count() as i64;
        Money {
            captured: self.price * self.captures.len() as i64,
            refunded: sum(&[Capture::Refunded]),
            live: if self.status.is_live() { self.price } else { 0 },
            open: sum(&[Capture::Refunding]),
        }
    }
}
