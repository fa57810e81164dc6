//! What the store remembers of one order.

use serde::{Deserialize, Serialize};

use crate::commands::Sent;

/// How far the store is with an order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// There is such an order, but it is not paid yet.
    #[default]
    NotPlaced,
    /// Established; the store has not answered.
    Placed,
    /// Taken.
    Accepted,
    /// Refused. Final.
    Declined,
    /// In the kitchen.
    Cooking,
    /// On the road.
    Delivering,
    /// With the customer. Final.
    Delivered,
    /// The customer cancelled it. Final.
    Cancelled,
    /// It was never paid. Final.
    Rejected,
}

impl Progress {
    /// Every progress.
    pub const ALL: [Self; 9] =
        [Self::NotPlaced, Self::Placed, Self::Accepted, Self::Declined, Self::Cooking, Self::Delivering, Self::Delivered, Self::Cancelled, Self::Rejected];

    /// Returns true if it never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Declined | Self::Delivered | Self::Cancelled | Self::Rejected)
    }
}

/// An order as the store knows it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOrder {
    /// Which order of this id it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// How far it is.
    pub progress: Progress,
    /// Ids that senders gave to the last commands.
    pub command_ids: Vec<String>,
}

/// A command that waits for its order to arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What it is, as its sender knows it.
    #[serde(flatten)]
    pub(crate) sent: Sent,
    /// Id that its sender gave it, if any.
    pub command_id: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Correlation of the command.
    pub correlation: String,
}
