//! What the store remembers of one order.

use serde::{Deserialize, Serialize};

/// How far the store is with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
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
}

impl Progress {
    /// Every progress.
    pub const ALL: [Self; 7] = [Self::Placed, Self::Accepted, Self::Declined, Self::Cooking, Self::Delivering, Self::Delivered, Self::Cancelled];

    /// Returns true if it never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Declined | Self::Delivered | Self::Cancelled)
    }
}

/// An order as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOrder {
    /// How far it is.
    pub progress: Progress,
    /// Ids that senders gave to the last commands.
    pub command_ids: Vec<String>,
}

/// A command that waits for its order to arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Command type.
    pub kind: String,
    /// Identity of the command.
    pub id: String,
    /// Id that its sender gave it, if any.
    pub command_id: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Correlation of the command.
    pub correlation: String,
    /// Where the command stands.
    pub position: String,
}
