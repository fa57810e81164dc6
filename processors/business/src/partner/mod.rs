//! The partner of a front: asks an outside provider about each attempt, once, and answers whoever asked.
//!
//! It decides nothing about aggregates, and any program that consumes the requests and produces the replies can stand in for it. Start reading at [`message`] (what goes in and out), then
//! [`attempt`] (the rules), then the processor. [`provider`] is what is said to the provider, [`simulator`] what a simulated one answers.

pub mod attempt;
pub mod message;
mod processor;
pub mod provider;
pub mod simulator;

pub use processor::{Partner, spec};
