//! Materialized views and the HTTP API over them, for any business.
//!
//! What it is: [`sink`] runs the projections of a [`System`](fluvio_streams::system::System) from its topics into a [`store`] (MongoDB, or embedded), and [`api`] serves the documents
//! and takes commands. Routes, filters and status codes are made from the system's data.
//!
//! What it is not: it names no business, reads no flags or files of configuration, and exports no metrics (it emits [`telemetry`]).
//!
//! Where to start reading: [`view`] (what a document is), [`store`] (the port and its promises), [`sink`], [`api`].

mod append;
mod backoff;

pub mod api;
pub mod limits;
pub mod sink;
pub mod store;
pub mod telemetry;
pub mod view;

pub use api::{ApiOptions, ApiState, health_router, router};
pub use sink::Sinks;
