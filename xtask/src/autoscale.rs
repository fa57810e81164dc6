//! Shows that the processors scale by their lag: the HPA's algorithm, with the numbers of its manifest, decides once a second by what a real Prometheus answers to the adapter's query, and real
//! processes start and end. Time runs faster: the windows and periods of the manifest are so many times shorter.
//!
//! No API server takes part. What moves the processes is `orderflow-chaos`; start reading at [`run`], the algorithm is in [`hpa`].

pub(crate) mod asking;
pub(crate) mod hpa;
mod picture;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use orderflow_chaos::elastic::{self, Decision, Options, Report};
use orderflow_chaos::{Pace, Scene};
use orderflow_testkit::Prometheus;

use self::asking::Asking;
use self::hpa::{Hpa, Spec};
use crate::kubernetes::Document;
use crate::kubernetes::agreement::Scaler;

/// What the processes are scaled by.
pub(crate) const RULES: &str = "k8s/scaling/rules.yaml";
const HPA: &str = "k8s/components/autoscaling-hpa/hpa.yaml";
const KEDA: &str = "k8s/components/autoscaling-keda/scaled-object.yaml";
/// Which of the Deployments is played.
const DEPLOYMENT: &str = "food-delivery-processors";
/// The namespace of the overlays.
pub(crate) const NAMESPACE: &str = "orderflow";
/// The time over which the rules look back.
const LOOK_BACK: &str = "[2m]";
const LOOK_BACK_SECONDS: u32 = 120;
/// With a sample a second, less time has no rate.
const LOOK_BACK_SECONDS_MIN: u32 = 5;
/// The lag itself, of the system that is played.
const MEASURED: &str = r#"sum(orderflow:scaling_lag_measured:records{namespace="orderflow",system="food-delivery"})"#;

/// How the run is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Orders per second, all the time
    #[arg(long, default_value_t = 5)]
    rate: u32,
    /// Orders per second that come on top for a while
    #[arg(long, default_value_t = 130)]
    rate_on_top: u32,
    /// How long they come, in seconds
    #[arg(long, default_value_t = 50)]
    step_seconds: u64,
    /// How long everything is left alone before they come, in seconds
    #[arg(long, default_value_t = 15)]
    calm_seconds: u64,
    /// Part of a CPU's time for which an instance may run, in percent
    #[arg(long, default_value_t = 2)]
    cpu_percent: u32,
    /// How many times faster time runs than the manifest says; pauses of the processes do not get shorter with it
    #[arg(long, default_value_t = 5)]
    faster: u32,
    /// What customers do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this program instead of the release binary, which is built
    #[arg(long)]
    program: Option<PathBuf>,
    /// Keep topics, books and logs below this directory
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write the report as JSON into this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also draw it into this file, as SVG
    #[arg(long)]
    picture: Option<PathBuf>,
}

/// Makes the run and prints its report.
///
/// # Errors
/// If it cannot be made to its end, or does not show what it should: up to the most, the lag gone, down again, no other turn, nothing lost or doubled.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.faster > 0 && arguments.rate > 0 && arguments.rate_on_top > 0, "--faster, --rate and --rate-on-top: give at least 1");
    let (hpa, keda) = (scaler(root, HPA)?, scaler(root, KEDA)?);
    let spec = Spec::of(&hpa)?;
    let temporary = tempfile::tempdir().context("cannot create a directory")?;
    let prometheus = Prometheus::try_start_labelled(&[], &[("namespace", NAMESPACE)], &[faster_rules(root, temporary.path(), arguments.faster)?])?;
    let mut controller = Controller {
        asking: Asking::of(prometheus.address())?,
        prometheus,
        queries: [hpa.query, keda.query],
        hpa: Hpa::new(spec.clone().faster(arguments.faster)),
        targets: Vec::new(),
        disagreements: 0,
    };
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().join("run"));
    let program = crate::release::binary_or(arguments.program.as_deref(), root)?;
    let scene = Scene { partitions: spec.replicas_max, pace: Pace::long(), ..Scene::short(program, directory, arguments.seed) };
    let options = Options {
        scene,
        instances: spec.replicas_min as usize,
        rate: arguments.rate,
        rate_on_top: arguments.rate_on_top,
        calm: Duration::from_secs(arguments.calm_seconds),
        step: Duration::from_secs(arguments.step_seconds),
        // Whoever flaps does so within the window.
        rest: spec.down.window / arguments.faster,
        cpu_percent: arguments.cpu_percent,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(elastic::run(&options, &mut controller))?;
    println!("{report}");
    if let Some(path) = &arguments.json {
        fs::write(path, report.json().to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    if let Some(path) = &arguments.picture {
        fs::write(path, picture::draw(&report, spec.replicas_max)).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    ensure!(controller.disagreements == 0, "the adapter and KEDA were told different numbers {} times", controller.disagreements);
    let failed = failed(&report, &spec);
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Returns what the run does not show.
fn failed(report: &Report, spec: &Spec) -> Vec<String> {
    let mut failed = Vec::new();
    if !report.is_clean() {
        failed.push("something does not hold".to_owned());
    }
    if report.instances_max() != spec.replicas_max as usize {
        failed.push(format!("there were {} instances at most, not {}", report.instances_max(), spec.replicas_max));
    }
    if report.turns() != 1 {
        failed.push(format!("it went up and down {} times instead of once", report.turns()));
    }
    let lag = report.looks.last().and_then(|look| look.lag);
    if lag.is_none_or(|lag| lag > spec.target_value) {
        failed.push(format!("the lag is {lag:?} in the end"));
    }
    failed
}

/// Writes the rules with the time over which they look back so many times shorter.
fn faster_rules(root: &Path, directory: &Path, times: u32) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(root.join(RULES)).with_context(|| format!("cannot read `{RULES}`"))?;
    ensure!(text.contains(LOOK_BACK), "`{RULES}` does not look back {LOOK_BACK}");
    let seconds = (LOOK_BACK_SECONDS / times).max(LOOK_BACK_SECONDS_MIN);
    let path = directory.join("rules.yaml");
    fs::write(&path, text.replace(LOOK_BACK, &format!("[{seconds}s]"))).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn scaler(root: &Path, path: &str) -> anyhow::Result<Scaler> {
    let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read `{path}`"))?;
    let scalers = Document::all(&text)?.iter().map(Scaler::of).collect::<anyhow::Result<Vec<_>>>()?;
    scalers.into_iter().find(|scaler| scaler.target == DEPLOYMENT).with_context(|| format!("`{path}` does not scale `{DEPLOYMENT}`"))
}

/// The controller: asks Prometheus, and lets the algorithm decide.
struct Controller {
    prometheus: Prometheus,
    asking: Asking,
    /// The adapter's, and KEDA's.
    queries: [String; 2],
    hpa: Hpa,
    targets: Vec<String>,
    disagreements: usize,
}

impl elastic::Scaler for Controller {
    async fn decide(
        &mut self,
        elapsed: Duration,
        wanted: usize,
        _running: usize,
        targets: &[String],
    ) -> Result<Decision, Box<dyn std::error::Error + Send + Sync>> {
        if targets != self.targets {
            self.prometheus.set_targets(targets)?;
            self.targets = targets.to_vec();
        }
        let metric = self.asking.number(&self.queries[0]).await?;
        let (other, again) = (self.asking.number(&self.queries[1]).await?, self.asking.number(&self.queries[0]).await?);
        // A rule may have been evaluated between two of the questions.
        if other != metric && other != again {
            self.disagreements += 1;
        }
        let lag = self.asking.number(MEASURED).await?;
        let replicas = self.hpa.decide(elapsed, wanted as u32, metric);
        Ok(Decision { lag, metric, wanted: replicas as usize })
    }
}
