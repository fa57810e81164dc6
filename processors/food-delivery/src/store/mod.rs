//! The store and its riders: a follower that cooks and delivers what is established, and tells orders how far it is.
//!
//! It decides by its own state, which follows `orders-events`; where a cancellation crosses a delivery, the orders' word is final and the store compensates. Start reading at [`decide`]
//! (the rules), then the processor.

pub mod decide;
mod parking;
mod processor;
pub mod state;

pub use processor::{NAME, Store, TOTALS, spec};

/// Commands that the store takes.
pub const COMMANDS: [&str; 5] = ["AcceptOrder", "DeclineOrder", "StartCooking", "StartDelivery", "CompleteDelivery"];
