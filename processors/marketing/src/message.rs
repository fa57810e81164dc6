//! What marketing reads of orders, and what it tells itself and others.

use std::collections::BTreeMap;

use fluvio_streams::window::Window;
use serde::{Deserialize, Serialize};

use crate::limits::ITEM_BYTES_MAX;

/// What is needed of an event of orders.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) order_id: String,
    #[serde(default)]
    pub(crate) incarnation: String,
    pub(crate) customer_id: String,
    /// Only in the request.
    #[serde(default)]
    pub(crate) items: Vec<Line>,
}

/// A line of an order.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) item: String,
    pub(crate) quantity: i64,
}

/// How much of an item was sold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// Pieces.
    pub quantity: i64,
    /// Orders with it.
    pub orders: i64,
}

impl Sold {
    /// Adds what was sold besides.
    pub(crate) fn add(&mut self, other: Self) {
        self.quantity = self.quantity.saturating_add(other.quantity);
        self.orders += other.orders;
    }
}

/// Sales of one window, as one partition of orders has them: payload of `ItemsSold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sales {
    /// When.
    pub window: Window,
    /// Orders in all.
    pub orders: i64,
    /// By item.
    pub items: BTreeMap<String, Sold>,
}

/// Payload of `SalesClosed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// Partition of orders.
    pub partition: u32,
    /// Windows that end by then are complete, as far as this partition goes; ms since the Unix epoch.
    pub until_ms: i64,
}

/// Payload of `CustomerOrdered`: different items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// What.
    pub items: Vec<String>,
}

/// Payload of `ItemsRelated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// What the customer ordered beside the item.
    pub others: Vec<String>,
}

/// Payload of `RelatedWanted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Who is to be told.
    pub customer_id: String,
}

/// Payload of `RelatedFound`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Item that was asked about.
    pub item: String,
    /// What else those ordered who ordered it, and how many of them; most first.
    pub others: Vec<(String, i64)>,
}

/// A place in a ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// Place, from 1.
    pub rank: usize,
    /// What.
    pub item: String,
    /// How much of it.
    #[serde(flatten)]
    pub sold: Sold,
}

/// Payload of `PopularItemsChanged` and `PopularItemsClosed`: the window as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Popular {
    /// Which window.
    pub window_id: String,
    /// RFC 3339 UTC.
    pub window_start: String,
    /// RFC 3339 UTC.
    pub window_end: String,
    /// `Open`, or `Closed` once nothing changes any more.
    pub status: String,
    /// Orders in all.
    pub orders: i64,
    /// The most sold first; those of which as much was sold by name.
    pub items: Vec<Ranked>,
    /// Pieces of items that are too many to be counted one by one.
    pub other_quantity: i64,
}

/// What a customer ordered often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Favourite {
    /// What.
    pub item: String,
    /// Orders with it.
    pub times: i64,
}

/// What a customer may like, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// What.
    pub item: String,
    /// The customer ordered this,
    pub because: String,
    /// and so many who ordered that also ordered the item.
    pub customers: i64,
}

/// Payload of `RecommendationsChanged`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recommendations {
    /// To whom.
    pub customer_id: String,
    /// What they ordered most.
    pub favourites: Vec<Favourite>,
    /// What they have not ordered yet.
    pub suggestions: Vec<Suggestion>,
}

/// Returns a window's key in a store: windows sort by time.
pub(crate) fn key(window: Window) -> String {
    format!("{:020}", window.start_ms)
}

/// Returns an item's name as it is counted: without control characters, and no longer than it may be. `None` if nothing is left.
pub(crate) fn label(item: &str) -> Option<String> {
    let plain: String = item.chars().filter(|letter| !letter.is_control()).collect();
    let plain = plain.trim();
    let end = (0..=ITEM_BYTES_MAX.min(plain.len())).rev().find(|&at| plain.is_char_boundary(at)).unwrap_or(0);
    let cut = plain[..end].trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_counted_under_names_that_can_be_keys() {
        assert_eq!(label(" fried\tchicken\n").as_deref(), Some("friedchicken"));
        assert_eq!(label("\u{0}  "), None);
        let long = "치".repeat(200);
        assert_eq!(label(&long), Some("치".repeat(ITEM_BYTES_MAX / 3)));
    }
}
