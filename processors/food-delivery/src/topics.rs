//! Names of the topics. All are keyed by the order's id and have the same number of partitions, so that everything about one order meets in tasks of one partition.

/// Name of the system: prefix of its topics and paths.
pub const SYSTEM: &str = "food-delivery";
/// What people ask for: plain JSON commands.
pub const COMMANDS: &str = "food-delivery-commands";
/// What happened to orders: all that followers need.
pub const ORDERS_EVENTS: &str = "food-delivery-orders-events";
/// What happened to payment attempts.
pub const PAYMENTS_EVENTS: &str = "food-delivery-payments-events";
/// What happened in the store and on the road.
pub const STORE_EVENTS: &str = "food-delivery-store-events";
/// What customers were told.
pub const NOTIFICATIONS_EVENTS: &str = "food-delivery-notifications-events";
/// What orders asks of payments. Any program may answer.
pub const PAYMENT_REQUESTS: &str = "food-delivery-payment-requests";
/// What payments, or a stand-in, answers.
pub const PAYMENT_REPLIES: &str = "food-delivery-payment-replies";
/// Commands that a rule refused.
pub const REJECTIONS: &str = "food-delivery-rejections";
/// Records that nobody could read.
pub const DEAD_LETTERS: &str = "food-delivery-dead-letters";

/// Returns the name of a processor's journal.
pub fn journal(processor: &str) -> String {
    format!("{SYSTEM}-{processor}-journal")
}
