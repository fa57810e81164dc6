//! The front: it takes what customers ask for, guards that nothing is established before the partner has said yes, and follows the followers.
//!
//! Whatever the partner did in vain is undone from here: nobody else knows whether it is wanted. Start reading at [`decide`] (the rules), then [`state`], then the processor.

pub mod commands;
pub mod decide;
pub mod event;
pub mod operator;
mod processor;
pub mod state;
mod stray;

pub use processor::{Front, spec};
