//! Orders: the front. It takes what customers ask for, guards that no unpaid order is ever established, and follows the store.
//!
//! All refunds are decided here: nobody else knows whether money that was taken is wanted. Start reading at [`decide`] (the rules), then [`state`], then the processor.

pub mod command;
pub mod decide;
pub mod event;
mod processor;
pub mod state;
mod stray;

pub(crate) use processor::GUARD_TOTALS;
pub use processor::{NAME, Orders, TOTALS, spec};
