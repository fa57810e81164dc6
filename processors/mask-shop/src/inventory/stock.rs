//! The stock of one product. Its law: received = on hand + taken - returned, and on hand is never negative.

use serde::{Deserialize, Serialize};

/// What there is of a product, and what has become of the rest: two books, so that the law compares them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stock {
    /// Pieces that are there.
    pub on_hand: i64,
    /// Pieces that ever came in.
    pub received: i64,
    /// Pieces that were ever taken for orders.
    pub taken: i64,
    /// Pieces of those that came back.
    pub returned: i64,
}

/// There are not enough pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short;

impl Stock {
    /// Pieces come in.
    pub fn receive(&mut self, qty: i64) {
        self.on_hand += qty;
        self.received += qty;
    }

    /// Takes pieces for an order.
    ///
    /// # Errors
    /// [`Short`] if there are not enough; nothing is taken then.
    pub fn take(&mut self, qty: i64) -> Result<(), Short> {
        if self.on_hand < qty {
            return Err(Short);
        }
        self.on_hand -= qty;
        self.taken += qty;
        Ok(())
    }

    /// Pieces of an order come back.
    pub fn give_back(&mut self, qty: i64) {
        self.on_hand += qty;
        self.returned += qty;
    }

    /// Returns by how much the law is broken. 0 at every step; anything else is an alarm.
    pub fn imbalance(&self) -> i64 {
        self.received - (self.on_hand + self.taken - self.returned)
    }

    /// Returns the counters in the order of [`TOTALS`](super::TOTALS).
    pub fn totals(&self) -> [i64; 4] {
        [self.received, self.on_hand, self.taken, self.returned]
    }
}
