//! The inventory: what there is of each product. It follows the orders, and may be down for an hour: nothing waits for it.
//!
//! It is keyed by product, another key than the orders', so what they tell each other crosses partitions. Start reading at [`message`] (what goes in and out), then [`stock`] (the law), then
//! the processor.

pub mod command;
pub mod message;
mod processor;
pub mod stock;
pub mod view;

pub use processor::{Inventory, spec};

/// Name of the processor, of its collection's commands, and middle of the name of its events' topic.
pub const NAME: &str = "inventory";
/// Collection to whose members its commands are sent.
pub const COLLECTION: &str = "inventories";
/// Totals over all products, in the order of the law: received = on hand + taken - returned.
pub const TOTALS: &[&str; 4] = &["stock_received", "stock_on_hand", "stock_taken", "stock_returned"];
