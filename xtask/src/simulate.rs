//! Runs the simulator in a fast build: `cargo xtask simulate --seeds 100000`.
//!
//! It is a program of its own (`simulator/`), started here and not linked, since xtask shares no code with the runtime that it judges.

use std::path::Path;

use anyhow::{Context, ensure};
use orderflow_testkit::cargo;

/// Which seeds to run, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs this one only
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Plants a bug, to see that it is found; an unknown name lists them
    #[arg(long)]
    bug: Option<String>,
    /// Brokers lose tails that they had acknowledged: that must be told, or do no harm
    #[arg(long)]
    lose_tails: bool,
    /// Prints everything that happens
    #[arg(long)]
    trace: bool,
}

/// Builds the simulator optimised and runs it; fails if a seed breaks a law.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = cargo();
    command.current_dir(root).args(["run", "--quiet", "--release", "--package", "orderflow-simulator", "--"]);
    match arguments.seed {
        Some(seed) => command.args(["--seed", &seed.to_string()]),
        None => command.args(["--seeds", &arguments.seeds.to_string(), "--from", &arguments.from.to_string()]),
    };
    command.args(arguments.bug.iter().flat_map(|bug| ["--bug", bug]));
    command.args(arguments.lose_tails.then_some("--lose-tails")).args(arguments.trace.then_some("--trace"));
    let status = command.status().context("cannot run the simulator")?;
    ensure!(status.success(), "a seed broke a law, or the simulator could not run");
    Ok(())
}
