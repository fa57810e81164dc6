//! Runs the protocol of `fluvio-streams` (journal, fencing, effects, calls, timers, snapshots) from a seed on a simulated broker, network, disk and clock.
//!
//! What it is: several instances that each run incarnations of the same tasks, with the production [`fluvio_streams::task::Task`] in them; everything around it is simulated, and every
//! action is drawn from one number: messages are late, lost, doubled and reordered, instances crash between any two actions, stand still, are cut off, lose their disks or find them set back,
//! clocks jump, leaders change, retention removes. All the while, and when everything has come to rest, the laws of [`Law`] are checked against the raw topics. The same seed is the same run.
//!
//! What it is not: it does not run the asynchronous runner, sockets or the Fluvio client; what the runner does is written out again, action by action, in `incarnation.rs`, which names the
//! lines that it stands for. It knows nothing of time: a simulated day takes ms.
//!
//! Where to start reading: `world.rs`, then `chaos.rs` and `rest.rs` (what happens), `oracle.rs` and `invariants.rs` (what must hold), `bug.rs` (that it would notice).
//!
//! ```
//! let report = orderflow_simulator::run(&orderflow_simulator::Options { seed: 7, ..Default::default() });
//! assert_eq!(report.violation, None);
//! ```

mod assignment;
mod broker;
mod bug;
mod business;
mod chaos;
mod disk;
mod incarnation;
mod invariants;
mod limits;
mod network;
mod oracle;
mod plan;
mod provider;
mod rest;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bug::{Bug, UnknownBug};
pub use invariants::{Law, Violation};

use world::World;

/// What to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Everything that is random follows from it.
    pub seed: u64,
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// Brokers lose tails that they had acknowledged: that must be told, or do no harm.
    pub loses_tails: bool,
    /// Writes down what happens.
    pub is_traced: bool,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// Number of the action at which the run ended.
    pub steps: u64,
    /// What happened, a line each, if it was traced.
    pub trace: Vec<String>,
    /// What happened, and how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// Incarnations that were started.
    pub incarnations: u64,
}

impl Report {
    /// Returns the last lines of the trace, for a report.
    pub fn tail(&self) -> &[String] {
        &self.trace[self.trace.len().saturating_sub(limits::REPORT_LINES)..]
    }
}

/// Runs a seed to its end.
pub fn run(options: &Options) -> Report {
    let mut world = World::new(options.seed, options.bug, options.loses_tails, options.is_traced);
    let result = catch_unwind(AssertUnwindSafe(|| chaos::run(&mut world).and_then(|()| rest::run(&mut world))));
    let violation = match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation::new(Law::NoPanic, text.unwrap_or_default()))
        }
    };
    Report { violation, steps: world.steps, trace: world.trace.take().unwrap_or_default(), counts: world.counts, incarnations: world.serials }
}
