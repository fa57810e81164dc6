//! An embedded single-node broker that speaks Fluvio's own wire protocol.
//!
//! The official `fluvio` client crate and the `fluvio` command line work against it unchanged: topics,
//! partitions, produce, consume, SmartModules and managed consumer offsets. It is durable: a record is
//! acknowledged after the group fsync that covers it, and nobody reads past that point.
//!
//! What it deliberately is not: a cluster. There is one node, no replication, no mirroring, no TLS and no
//! access control, which is why it listens on the loopback interface unless told otherwise.
//!
//! # Layout
//!
//! | where | what |
//! |---|---|
//! | [`Broker`] | starts and stops everything; start reading in `broker.rs` |
//! | `wire/` | framing, connections, bounded queues: the only code that touches sockets |
//! | `control/` | the control plane (Fluvio's "SC"): topics, partitions, SmartModules, metadata watches |
//! | `data/` | the data plane (Fluvio's "SPU"): produce, offsets, streaming fetch |
//! | `catalogue.rs`, `metadata.rs` | which topics and SmartModules exist, in memory and on disk |
//! | `disk_watch.rs` | whether the disk takes records, and when it does again |
//! | `offset_store.rs` | the durable positions of managed consumers |
//! | `smartmodule/` | runs SmartModules away from the async threads, with true offsets on their output |
//! | `log/`, [`batch`], `encode.rs` | the segment log, the scanner for untrusted batches, batches of our own making |
//! | [`limits`] | every bound in one place |

pub mod batch;
pub mod limits;
pub mod log;

mod broker;
mod catalogue;
mod control;
mod data;
mod disk_watch;
mod encode;
mod error;
mod metadata;
mod offset_store;
mod options;
mod smartmodule;
mod telemetry;
mod wire;

pub use broker::{Broker, WithinProcess};
pub use disk_watch::DiskProblem;
pub use error::Error;
pub use limits::Limits;
pub use log::Durability;
pub use options::{DataDir, Options};
pub use telemetry::{CloseReason, Event, Observer, Plane, Silent};
