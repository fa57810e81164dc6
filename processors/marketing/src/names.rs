//! The names of marketing, and of what it reads.

use business::topics;

/// System that it follows.
pub const SYSTEM: &str = "food-delivery";
/// Name of the processor.
pub const NAME: &str = "marketing";
/// Members that the broker takes out of every order before marketing gets it.
pub const REDACTED: [&str; 4] = ["address", "name", "customerName", "phone"];

/// An order with its items, not yet placed.
pub const ORDER_REQUESTED: &str = "OrderRequested";
/// It is placed: its items are sold.
pub const ORDER_PLACED: &str = "OrderPlaced";
/// It will never be placed, or no more.
pub const ORDER_REJECTED: &str = "OrderRejected";
/// By the customer, or by a rule.
pub const ORDER_CANCELLED: &str = "OrderCancelled";

/// Items of a window were sold.
pub const ITEMS_SOLD: &str = "ItemsSold";
/// A partition of orders will tell nothing more of windows that end by a time.
pub const SALES_CLOSED: &str = "SalesClosed";
/// A customer has ordered items.
pub const CUSTOMER_ORDERED: &str = "CustomerOrdered";
/// One customer has ordered an item and others.
pub const ITEMS_RELATED: &str = "ItemsRelated";
/// What else did those order who ordered an item?
pub const RELATED_WANTED: &str = "RelatedWanted";
/// The answer.
pub const RELATED_FOUND: &str = "RelatedFound";
/// Every record that marketing tells itself.
pub const OWN: [&str; 6] = [ITEMS_SOLD, SALES_CLOSED, CUSTOMER_ORDERED, ITEMS_RELATED, RELATED_WANTED, RELATED_FOUND];

/// A window's ranking has changed.
pub const POPULAR_ITEMS_CHANGED: &str = "PopularItemsChanged";
/// A window's ranking is final.
pub const POPULAR_ITEMS_CLOSED: &str = "PopularItemsClosed";
/// What a customer may like has changed.
pub const RECOMMENDATIONS_CHANGED: &str = "RecommendationsChanged";

/// Key of everything about windows: they are ranked in one task, which gets one record a second and partition.
pub const POPULAR: &str = "popular-items";

/// Total: orders that were placed so late that their window was closed.
pub const LATE: &str = "marketing_orders_late";
/// Total: placed orders whose items nobody had told, or that were forgotten.
pub const UNKNOWN: &str = "marketing_orders_unknown";

/// Topic of the orders.
pub fn orders() -> String {
    topics::events(SYSTEM, "orders")
}

/// Topic of what marketing tells itself.
pub fn sales() -> String {
    format!("{SYSTEM}-item-sales")
}

/// Topic of what marketing finds out.
pub fn events() -> String {
    topics::events(SYSTEM, NAME)
}
