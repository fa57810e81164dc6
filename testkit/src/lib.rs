//! Real servers for tests, and the pinned tools that they are.
//!
//! A test that needs MongoDB gets a real one: it never skips and never meets a mock. [`Mongod::start`] takes the
//! server that `MONGODB_URI` names, else starts a `mongod` of its own, from `PATH` or from the pinned package that
//! [`tools`] brings into the workspace's `.tools`.
//!
//! It is not for production code: only tests and `xtask` depend on it, and it knows nothing of orders or Fluvio.
//! Start reading at [`Mongod`].

pub mod limits;
pub mod tools;

mod mongod;

pub use mongod::{Mongod, MongodError};
