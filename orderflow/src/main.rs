//! The one binary: order and payment pipelines on Fluvio, on a laptop or on a cluster.
//!
//! What it is: the only place that reads flags, environment and files, that lists the systems, and that maps events to metrics. What it is not: it decides nothing about orders, and it
//! knows no protocol; that is in the libraries.
//!
//! Where to start reading: [`instance`] (what is started, in which order), `cli` (the subcommands), `systems` (which businesses there are).

mod cli;
mod config;
mod contracts;
mod data_dir;
mod delivery_desk;
mod instance;
mod limits;
mod provider;
mod roles;
mod server;
mod systems;
mod telemetry;
mod topics;
mod webhook;

use std::process::ExitCode;

/// What this build is called: the package's version, unless whoever builds a release says otherwise (`ORDERFLOW_VERSION`, when it is compiled).
pub(crate) const VERSION: &str = match option_env!("ORDERFLOW_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Many short-lived allocations of a few threads: a quarter more orders per second than with the C library's allocator. `.cargo/config.toml` says how it is tuned.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
