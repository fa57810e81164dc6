//! A release while requests come in: every process is replaced by one of a new build, and no request fails; and the same for replicas that are killed again and again.
//!
//! The work is done by `orderflow-chaos`; this builds the two versions, brings a MongoDB, and prints what was found beside the original's figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use orderflow_chaos::Scene;
use orderflow_chaos::release::{Disturbance, Options, Report};
use orderflow_testkit::Mongod;

/// How the runs are made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Orders per second over HTTP; each that is established is read again
    #[arg(long, default_value_t = 60)]
    rate: u32,
    /// Replicas that take requests, keep the views, and decide
    #[arg(long, value_delimiter = ',', default_values_t = [3, 2, 3])]
    replicas: Vec<usize>,
    /// How long replicas that take requests serve on after they were told to go, in ms
    #[arg(long, default_value_t = 3_000)]
    drain_ms: u64,
    /// How often a replica is killed in the second run, every 5 s
    #[arg(long, default_value_t = 24)]
    kills: usize,
    /// What customers do, and who is killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run these programs as the old and the new version instead of two release builds
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    programs: Option<Vec<PathBuf>>,
    /// Keep topics, books and logs below this directory
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write the reports as JSON into this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A replica is killed so often.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// The longest that anybody may wait during a release.
const STALL_GOAL: Duration = Duration::from_secs(1);

/// Makes the runs and prints their reports.
///
/// # Errors
/// If one cannot be made to its end, something does not hold, or a goal is missed.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let replicas: [usize; 3] = arguments.replicas.as_slice().try_into().context("--replicas: give three numbers, for example 3,2,3")?;
    ensure!(replicas.iter().all(|count| (1..=4).contains(count)), "--replicas: there are 1 to 4 of each role");
    let temporary = tempfile::tempdir().context("cannot create a directory")?;
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let (old, new) = match arguments.programs.as_deref() {
        Some([old, new]) => (old.clone(), new.clone()),
        _ => (crate::release::version(root, "old", temporary.path())?, crate::release::version(root, "new", temporary.path())?),
    };
    let (old_version, new_version) = (version(&old)?, version(&new)?);
    ensure!(old_version != new_version, "both programs are {old_version}");
    println!("from {old_version} to {new_version}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let mut reports = Vec::new();
    for (name, disturbance) in [("release", Disturbance::Replaced(new)), ("kill -9 every 5 s", Disturbance::Killed(KILL_EVERY, arguments.kills))] {
        println!("{name}:");
        let mongod = Mongod::try_start_owned().context("no MongoDB")?;
        let place = directory.join(name.split(' ').next().unwrap_or(name));
        let scene = Scene { mongodb: Some(mongod.uri().to_owned()), ..Scene::short(old.clone(), place, arguments.seed) };
        let options = Options { scene, rate: arguments.rate, replicas, drain: Duration::from_millis(arguments.drain_ms), disturbance };
        let report = runtime.block_on(orderflow_chaos::release::run(&options))?;
        println!("{report}");
        reports.push((name, report));
    }
    println!("{}", table(&reports));
    if let Some(path) = &arguments.json {
        let reports: serde_json::Map<String, serde_json::Value> = reports.iter().map(|(name, report)| ((*name).to_owned(), report.json())).collect();
        fs::write(path, serde_json::Value::from(reports).to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    ensure!(reports.iter().all(|(_, report)| report.is_clean()), "something does not hold");
    let longest = reports[0].1.times().max;
    ensure!(longest <= STALL_GOAL, "during the release somebody waited for {longest:?}, the goal is {STALL_GOAL:?}");
    Ok(())
}

/// Returns what a program says that it is.
fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output().with_context(|| format!("`{}` cannot be started", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the figures beside those of the original.
fn table(reports: &[(&str, Report)]) -> String {
    let line = |name: &str, availability: &str, requests: &str, failed: &str, longest: &str, wrong: &str| {
        format!("{name:<48} {availability:>12} {requests:>9} {failed:>7} {longest:>12} {wrong:>15}\n")
    };
    let mut table = line("", "availability", "requests", "failed", "longest wait", "lost or doubled");
    table += &line("the original, rolling release", "70.45 %", "-", "-", "-", "not looked at");
    table += &line("the original, with a readiness probe", "100 %", "-", "-", "-", "not looked at");
    for (name, report) in reports {
        let (availability, longest) = (format!("{:.2} %", report.availability_percent()), format!("{} ms", report.times().max.as_millis()));
        let (requests, failed) = (report.requests().to_string(), report.answers.failed.to_string());
        let name = format!("orderflow, {name}, {} replicas", report.disturbed);
        table += &line(&name, &availability, &requests, &failed, &longest, &report.verdicts.exceptions().to_string());
    }
    table
}
