//! Kills everything while orders come in, and proves from outside that each had its effect once.
//!
//! [`run`] starts real `orderflow` processes with their roles split, a payment provider with books of its own, and customers; kills and stops processes as a seed says, the broker
//! included; waits until everything is quiet; and lets an independent [`ledger`] read topics, books and views. It depends on none of our crates, and looks at the processes through files,
//! signals, HTTP and the official Fluvio client only. What is promised, and how it is proved, is in `docs/guarantees.md`.

pub mod absence;
mod cluster;
mod customers;
pub mod elastic;
mod error;
mod fleet;
pub mod ledger;
pub mod limits;
mod namespace;
mod open;
mod owners;
mod plan;
mod process;
mod programs;
mod provider;
mod proxy;
mod random;
mod reader;
pub mod release;
mod report;
mod run;
pub mod scale;
mod stalls;
mod unrest;
mod views;

pub use error::Error;
pub use report::Report;
pub use run::run;

use std::path::PathBuf;
use std::time::Duration;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `orderflow` program.
    pub program: PathBuf,
    /// Another version of it: each process is started by the one or the other, as the seed says.
    pub other_program: Option<PathBuf>,
    /// Where everything is kept; empty at the beginning.
    pub directory: PathBuf,
    /// Orders that are placed.
    pub orders: usize,
    /// How often a process is killed, at least.
    pub kills: usize,
    /// How often a process is stopped while another one takes over, and then goes on.
    pub pauses: usize,
    /// How long it is stopped.
    pub pause: Duration,
    /// Whom, when and what: the same seed, the same decisions.
    pub seed: u64,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Customers at a time.
    pub customers: usize,
    /// MongoDB for the views, which is not killed; without it they are embedded.
    pub mongodb: Option<String>,
    /// How long things may take.
    pub pace: Pace,
    /// Whether progress is printed.
    pub is_told: bool,
}

/// Where and with what a run takes place.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The `orderflow` program.
    pub program: PathBuf,
    /// Another version of it: each process is started by the one or the other, as the seed says.
    pub other_program: Option<PathBuf>,
    /// Where everything is kept; empty at the beginning.
    pub directory: PathBuf,
    /// What customers do, and who is struck: the same seed, the same decisions.
    pub seed: u64,
    /// Partitions of every topic.
    pub partitions: u32,
    /// MongoDB for the views; without it they are embedded.
    pub mongodb: Option<String>,
    /// How long things may take.
    pub pace: Pace,
    /// Whether progress is printed.
    pub is_told: bool,
}

impl Scene {
    /// For a run of less than a minute.
    pub fn short(program: PathBuf, directory: PathBuf, seed: u64) -> Self {
        Self { program, other_program: None, directory, seed, partitions: 4, mongodb: None, pace: Pace::short(), is_told: true }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("  {}", what());
        }
    }
}

impl Options {
    fn scene(&self) -> Scene {
        let Self { program, other_program, directory, seed, partitions, mongodb, pace, is_told, .. } = self.clone();
        Scene { program, other_program, directory, seed, partitions, mongodb, pace, is_told }
    }

    /// For a run of less than a minute, in which everybody is killed and one hangs for a while.
    pub fn short(program: PathBuf, directory: PathBuf, seed: u64) -> Self {
        Self {
            program,
            other_program: None,
            directory,
            orders: 600,
            kills: 8,
            pauses: 1,
            pause: Duration::from_secs(3),
            seed,
            partitions: 2,
            customers: 16,
            mongodb: None,
            pace: Pace::short(),
            is_told: true,
        }
    }
}

/// How long what waits may take.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How long an unanswered attempt stays open.
    pub give_up_ms: u64,
    /// How long an order waits for a partner that is not available.
    pub unavailable_give_up_ms: u64,
    /// How long one request to the provider may take.
    pub try_timeout_ms: u64,
    /// How long a charge is tried before it is only asked about.
    pub call_timeout_ms: u64,
    /// So long after a request the provider carries it out or never.
    pub settle_ms: u64,
    /// How long the provider takes for charges that are given up meanwhile.
    pub very_slow: Duration,
    /// How long nothing may happen while something does not fit, before it is taken for what it is.
    pub patience: Duration,
}

impl Pace {
    /// For a run of minutes or hours.
    pub fn long() -> Self {
        Self {
            give_up_ms: 5_000,
            unavailable_give_up_ms: 60_000,
            try_timeout_ms: 3_000,
            call_timeout_ms: 60_000,
            settle_ms: 120_000,
            very_slow: Duration::from_secs(7),
            patience: Duration::from_secs(150),
        }
    }

    /// For a run that must be over in a minute.
    pub fn short() -> Self {
        Self {
            give_up_ms: 2_000,
            unavailable_give_up_ms: 10_000,
            try_timeout_ms: 1_000,
            call_timeout_ms: 10_000,
            settle_ms: 10_000,
            very_slow: Duration::from_millis(2_500),
            patience: Duration::from_secs(30),
        }
    }
}
