//! Kills real processes while orders come in, and proves that every effect happened once: the long version of a test that also runs in CI.
//!
//! The work is done by `orderflow-chaos`; this gives it the release binary, and a MongoDB if the views are to be there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use orderflow_chaos::{Options, Pace};
use orderflow_testkit::Mongod;

/// How the run is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Orders that are placed
    #[arg(long, default_value_t = 100_000)]
    orders: usize,
    /// How often a process is killed
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// How often a process is stopped while another one takes over, and then goes on
    #[arg(long, default_value_t = 5)]
    pauses: usize,
    /// How long it is stopped, in seconds
    #[arg(long, default_value_t = 60)]
    pause_seconds: u64,
    /// Whom, when and what: the same seed, the same decisions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers at a time
    #[arg(long, default_value_t = 48)]
    customers: usize,
    /// Partitions of every topic
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Make the run that is part of the tests, with this seed; orders, kills and the rest are then those of the test
    #[arg(long)]
    short: bool,
    /// The business; one is played so far
    #[arg(long, default_value = orderflow_chaos::ledger::SYSTEM)]
    system: String,
    /// Keep the views in a MongoDB
    #[arg(long)]
    mongodb: bool,
    /// Run this program instead of the release binary, which is built
    #[arg(long)]
    program: Option<PathBuf>,
    /// Another version of the program: each process is started by the one or the other, so that old and new take turns
    #[arg(long, value_name = "PATH")]
    other_binary: Option<PathBuf>,
    /// Keep topics, books and logs in this directory, which must be empty or absent
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write the report as JSON into this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Makes the run and prints the report.
///
/// # Errors
/// If it cannot be made to its end, or something does not hold.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let system = orderflow_chaos::ledger::SYSTEM;
    ensure!(arguments.system == system, "--system: `{}` is not played; there is {system}", arguments.system);
    let temporary = tempfile::tempdir().context("cannot create a directory")?;
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    ensure!(is_empty(&directory), "--keep: `{}` is not empty", directory.display());
    let program = crate::release::binary_or(arguments.program.as_deref(), root)?;
    let mongod = arguments.mongodb.then(Mongod::try_start_owned).transpose().context("no MongoDB")?;
    let other_program = arguments.other_binary.clone();
    ensure!(other_program.as_ref().is_none_or(|other| other.is_file()), "--other-binary: there is no such file");
    let short = Options { other_program, ..Options::short(program, directory, arguments.seed) };
    let long = Options {
        orders: arguments.orders,
        kills: arguments.kills,
        pauses: arguments.pauses,
        pause: Duration::from_secs(arguments.pause_seconds),
        partitions: arguments.partitions,
        customers: arguments.customers,
        mongodb: mongod.as_ref().map(|mongod| mongod.uri().to_owned()),
        pace: Pace::long(),
        ..short.clone()
    };
    let options = if arguments.short { short } else { long };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(orderflow_chaos::run(&options))?;
    println!("{report}");
    if let Some(path) = &arguments.json {
        fs::write(path, report.json().to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    if !report.is_clean() {
        bail!("something does not hold: `--seed {}` makes the same decisions again", arguments.seed);
    }
    Ok(())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}
