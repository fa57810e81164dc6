//! Instances come and go under load, by order and killed: how long the tasks that move stand still, and whether anything is lost or doubled.
//!
//! The work is done by `orderflow-chaos`; this gives it the release binary and compares what it found with goals. Stalls are printed; what is lost or doubled is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use orderflow_chaos::Scene;
use orderflow_chaos::scale::{Kind, Options, Report};

/// How the runs are made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Orders per second
    #[arg(long, default_value_t = 60)]
    rate: u32,
    /// Instances at the beginning and after each move
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 2])]
    sizes: Vec<usize>,
    /// Partitions of every topic
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Instances that follow each task besides its owner; one run for each
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    standbys: Vec<usize>,
    /// How long everything is left alone after each step, in seconds
    #[arg(long, default_value_t = 4)]
    hold_seconds: u64,
    /// What customers do, and who goes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this program instead of the release binary, which is built
    #[arg(long)]
    program: Option<PathBuf>,
    /// Keep topics, books and logs below this directory
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write the reports as JSON into this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Makes the runs and prints their reports.
///
/// # Errors
/// If one cannot be made to its end, something does not hold, or a goal is missed.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.sizes.iter().all(|size| (1..=8).contains(size)), "--sizes: there are 1 to 8 instances");
    let temporary = tempfile::tempdir().context("cannot create a directory")?;
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let program = crate::release::binary_or(arguments.program.as_deref(), root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let mut reports = Vec::new();
    for standbys in &arguments.standbys {
        let scene = Scene { partitions: arguments.partitions, ..Scene::short(program.clone(), directory.join(format!("standbys-{standbys}")), arguments.seed) };
        let options = Options {
            scene,
            rate: arguments.rate,
            sizes: arguments.sizes.clone(),
            rounds: vec![Kind::Leave, Kind::Kill],
            standbys: *standbys,
            hold: Duration::from_secs(arguments.hold_seconds),
        };
        println!("{standbys} standbys:");
        let report = runtime.block_on(orderflow_chaos::scale::run(&options))?;
        println!("{report}");
        reports.push(report);
    }
    if let Some(path) = &arguments.json {
        let reports: Vec<_> = reports.iter().map(Report::json).collect();
        fs::write(path, serde_json::Value::from(reports).to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    ensure!(reports.iter().all(Report::is_clean), "something does not hold");
    let missed: Vec<String> = reports.iter().flat_map(missed).collect();
    ensure!(missed.is_empty(), "goals are missed:\n  {}", missed.join("\n  "));
    Ok(())
}

/// Returns the goals that a run has missed.
fn missed(report: &Report) -> Vec<String> {
    let after_a_crash = if report.standbys == 0 { Duration::from_secs(2) } else { Duration::from_millis(300) };
    let goals = [(Kind::Leave, Duration::from_secs(1)), (Kind::Kill, after_a_crash)];
    let stalls = goals.iter().filter_map(|(kind, goal)| {
        let p99 = report.stalls(*kind).0.p99;
        (p99 > *goal).then(|| format!("{} standbys, {kind}: tasks that moved stood still for {p99:?} (p99), the goal is {goal:?}", report.standbys))
    });
    let slow = report.steps.iter().filter_map(|step| step.took.filter(|took| *took > Duration::from_secs(1)));
    stalls.chain(slow.map(|took| format!("{} standbys: an instance took {took:?} to leave, the goal is 1 s", report.standbys))).collect()
}
