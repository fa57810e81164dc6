//! Kafka Streams-style stateful stream processing on Fluvio.
//!
//! What it is: a runtime that turns pure, synchronous processors into durable tasks. A task is (processor, partition); each run of inputs is one transaction, appended as one record to
//! the task's journal; effects leave only after the commit and are taken once.
//!
//! What it is not: it knows no business, no HTTP and no database beyond the local cache of a task's state.
//!
//! Where to start reading: [`guide`] leads from one function to an application on a cluster. Then [`topology`] (an application as data), [`processor`] (what you write), [`window`] and
//! [`join`] (what you build with), [`testing`] (how you test it); [`task`] (the transaction) and [`runtime`] (how tasks run on a log) are the machine underneath.

pub mod assignment;
pub mod backoff;
pub mod breaker;
pub mod envelope;
pub mod fluvio;
pub mod guard;
pub mod guide;
pub mod join;
pub mod journal;
pub mod lifeline;
pub mod limits;
pub mod log;
pub mod partitioner;
pub mod processor;
pub mod projection;
pub mod record;
pub mod runtime;
pub mod state;
pub mod system;
pub mod task;
pub mod telemetry;
pub mod testing;
pub mod time;
pub mod topology;
pub mod trace;
pub mod window;
