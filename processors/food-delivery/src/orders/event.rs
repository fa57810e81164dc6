//! What happens to orders: the facts that `food-delivery-orders-events` carries.

use serde::{Deserialize, Serialize};

use super::command::Item;
use super::state::{Order, Payment, Status};

/// Why an order waits for its payment, or is rejected. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The provider said no.
    PaymentDeclined,
    /// The provider did not answer in time.
    PaymentTimedOut,
    /// The provider failed, or was not asked because it keeps failing.
    PaymentUnavailable,
    /// The store said no.
    StoreDeclined,
}

/// A change of an order. On the wire its type is [`Event::kind`], and its members stand beside those of [`Published`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Event {
    /// `OrderRequested`: it is on record, not yet established.
    Requested {
        /// What is ordered.
        items: Vec<Item>,
        /// Where to.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// `PaymentAttemptStarted`: the customer pays again.
    PaymentAttemptStarted {
        /// Attempt, from 1.
        attempt: u32,
    },
    /// `OrderPlaced`: paid and established.
    Placed {
        /// The attempt that paid it.
        attempt: u32,
        /// True if the approval came after the deadline.
        late: bool,
    },
    /// `OrderRejected`: it will never be established, or no more.
    Rejected {
        /// Reason code.
        reason: Reason,
        /// What the provider or the store said.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// `PaymentDeferred`: not yet.
    PaymentDeferred {
        /// Reason code.
        reason: Reason,
        /// The attempt without an answer, if the provider was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// `PaymentAbandoned`: the order is cancelled while somebody waits for its payment. It gives `PlaceOrder` (or `PayOrder`) its outcome; `OrderCancelled` follows.
    PaymentAbandoned {
        /// Reason code.
        reason: &'static str,
    },
    /// `OrderCancelled`: by the customer.
    Cancelled {
        /// Why, as the customer said.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// `OrderStatusChanged`: the store or the rider went on.
    StatusChanged {
        /// Status before.
        previous_status: Status,
        /// Status after.
        #[serde(skip)]
        status: Status,
    },
    /// `PaymentUnwanted`: the provider took money for an order that does not want it. A refund follows.
    PaymentUnwanted {
        /// The attempt that took it.
        attempt: u32,
    },
    /// `OrderRefunded`: the money of an attempt is back with the customer.
    Refunded {
        /// The attempt that took it.
        attempt: u32,
        /// How much, in won.
        amount: i64,
    },
}

impl Event {
    /// Every event type, in the order in which they are usually seen.
    pub const KINDS: [&'static str; 10] = [
        "OrderRequested",
        "PaymentAttemptStarted",
        "OrderPlaced",
        "OrderRejected",
        "PaymentDeferred",
        "PaymentAbandoned",
        "OrderCancelled",
        "OrderStatusChanged",
        "PaymentUnwanted",
        "OrderRefunded",
    ];

    /// Returns the event type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "OrderRequested",
            Self::PaymentAttemptStarted { .. } => "PaymentAttemptStarted",
            Self::Placed { .. } => "OrderPlaced",
            Self::Rejected { .. } => "OrderRejected",
            Self::PaymentDeferred { .. } => "PaymentDeferred",
            Self::PaymentAbandoned { .. } => "PaymentAbandoned",
            Self::Cancelled { .. } => "OrderCancelled",
            Self::StatusChanged { .. } => "OrderStatusChanged",
            Self::PaymentUnwanted { .. } => "PaymentUnwanted",
            Self::Refunded { .. } => "OrderRefunded",
        }
    }
}

/// The payload of every event of `food-delivery-orders-events`: who and what, the status after the event, and what changed. A reader needs nothing else.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published<'a> {
    order_id: &'a str,
    incarnation: &'a str,
    customer_id: &'a str,
    store_id: &'a str,
    status: Status,
    price: i64,
    payment: Payment,
    #[serde(flatten)]
    change: &'a Event,
}

impl<'a> Published<'a> {
    /// Returns the payload of `change`, which `order` already includes.
    pub fn new(order_id: &'a str, order: &'a Order, change: &'a Event) -> Self {
        let (customer_id, store_id) = (order.customer_id.as_str(), order.store_id.as_str());
        Self { order_id, incarnation: &order.incarnation, customer_id, store_id, status: order.status, price: order.price, payment: order.payment(), change }
    }
}
