//! What orders and the inventory tell each other.
//!
//! | request, to `mask-shop-stock-requests`, keyed by product | what the inventory does |
//! |---|---|
//! | `TakeStock` | takes the pieces of an order, once for each order, or says that there are not enough |
//! | `ReturnStock` | gives back what it took for the order, if it took anything: the order will not be delivered |
//! | `SettleStock` | nothing comes back any more: the order is delivered |
//!
//! The only answer is `StockShort`, to `mask-shop-stock-replies`, keyed by order. That an order has its pieces is no news to it.
//!
//! Both name the order by its id and its incarnation, for an id may be used again when the order that had it is forgotten. All requests about one order come from one task and go to one
//! partition, so they arrive in the order in which they were sent.
//!
//! | event, to `mask-shop-inventory-events`, keyed by product | what it says beside the stock after it (`onHand`, `received`, `taken`, `returned`) |
//! |---|---|
//! | `StockReceived` | productId, qty |
//! | `StockTaken`, `StockShort`, `StockReturned` | productId, qty, orderId, incarnation |

use business::schema::records::{event, message};
use business::schema::{Object, count, id, integer, text};
use business::topics;
use fluvio_streams::system::RecordSpec;
use serde::{Deserialize, Serialize};

use super::NAME;
use super::stock::Stock;
use crate::limits::QTY_MAX;
use crate::names::NAMES;

/// Request to take the pieces of an order.
pub const TAKE: &str = "TakeStock";
/// Request to give back what was taken for it.
pub const RETURN: &str = "ReturnStock";
/// News that nothing of it comes back.
pub const SETTLE: &str = "SettleStock";

/// Event: pieces came in.
pub const RECEIVED: &str = "StockReceived";
/// Event: the pieces of an order were taken.
pub const TAKEN: &str = "StockTaken";
/// Event, and reply: there were not enough, and nothing was taken.
pub const SHORT: &str = "StockShort";
/// Event: the pieces of an order are back.
pub const RETURNED: &str = "StockReturned";

/// Returns the topic for requests.
pub fn requests() -> String {
    topics::requests(NAMES.system, "stock")
}

/// Returns the topic for replies.
pub fn replies() -> String {
    topics::replies(NAMES.system, "stock")
}

/// Returns the topic for events.
pub fn events() -> String {
    topics::events(NAMES.system, NAME)
}

/// Returns what is asked of the inventory, what it answers, and what happens there.
pub fn records() -> Vec<RecordSpec> {
    let order = || Object::default().must("orderId", id("For which order.")).must("incarnation", text("Which order of this id."));
    let qty = || integer(1, QTY_MAX, "How many pieces.");
    let told = Object::default()
        .must("productId", id("Of which product."))
        .must("qty", qty())
        .must("onHand", count(0, "Pieces that are there after it."))
        .must("received", count(0, "Pieces that ever came in."))
        .must("taken", count(0, "Pieces that were ever taken for orders."))
        .must("returned", count(0, "Pieces of those that came back."));
    let request = |kind, what| message(&requests(), kind, order().must("qty", qty()), what);
    let short = "There were not enough pieces for an order, and nothing was taken.";
    vec![
        request(TAKE, "To take the pieces of an order, once."),
        request(RETURN, "To give back what was taken for it, if anything was."),
        request(SETTLE, "Nothing of it comes back any more."),
        message(&replies(), SHORT, told.clone().and(order()), short),
        event(&events(), RECEIVED, told.clone(), "Pieces came in."),
        event(&events(), TAKEN, told.clone().and(order()), "The pieces of an order were taken."),
        event(&events(), SHORT, told.clone().and(order()), short),
        event(&events(), RETURNED, told.and(order()), "The pieces of an order are back."),
    ]
}

/// Payload of a request. Its subject is the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// For which order.
    pub order_id: String,
    /// Which order of this id.
    pub incarnation: String,
    /// How many pieces, from 1.
    pub qty: i64,
}

/// Payload of an event and of a reply.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told<'a> {
    /// Of which product.
    pub product_id: &'a str,
    /// For which order; `None` if pieces came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<&'a str>,
    /// Which order of this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<&'a str>,
    /// How many pieces.
    pub qty: i64,
    /// What there is of the product after it.
    #[serde(flatten)]
    pub stock: Stock,
}

impl<'a> Told<'a> {
    /// Returns what is told of the pieces of an order.
    pub fn of(product_id: &'a str, request: &'a Request, stock: Stock) -> Self {
        Self { product_id, order_id: Some(&request.order_id), incarnation: Some(&request.incarnation), qty: request.qty, stock }
    }
}
