//! `orderflow bench`: what this machine does, as JSON on stdout.
//!
//! The system under test is a process of its own, so that its memory is its own; orders are produced through the official Fluvio client, views are read over HTTP. What each figure means:
//!
//! - throughput: from the first send until every order can be read with its outcome over HTTP (see `throughput`).
//! - latency: from when an order was due to be sent until a GET shows it `Placed` (see `latency`).
//! - restore: from the start of the process until `/health/ready` is 200, with the stores of the processors deleted; and then once more with the views deleted too.
//! - memory: of the process under test, as the kernel says.
//! - scrape: of its metrics, after the load (see `scrape`).

mod latency;
mod process;
mod produce;
mod restore;
mod scrape;
mod throughput;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use self::process::Subject;
use super::client::{Api, run_id};

/// How long an instance may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Phase::Throughput, Phase::Latency, Phase::Restore])]
    phases: Vec<Phase>,
    /// Orders of the throughput phase
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    orders: u64,
    /// Orders under way at once in the throughput phase, and while the restore phase places its orders
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    in_flight: usize,
    /// Orders per second of the latency phase
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// Seconds of the latency phase
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u32,
    /// Orders of the restore phase
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    restore_orders: u64,
    /// When the broker under test acknowledges a record: fsync or os
    #[arg(long, value_name = "WHEN", default_value = "fsync")]
    durability: String,
    /// Partitions of each topic of the instance under test
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: u32,
    /// Measure a running instance, which uses the cluster with this SC (with --http)
    #[arg(long, value_name = "HOST:PORT", requires = "http")]
    fluvio: Option<String>,
    /// Measure a running instance with this HTTP API (with --fluvio)
    #[arg(long, value_name = "URL", requires = "fluvio")]
    http: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    Throughput,
    Latency,
    Restore,
}

/// What a phase needs of the system under test.
pub(super) struct Target {
    sc: String,
    api: Api,
    run: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    super::tokio_runtime()?.block_on(measure(arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut figures = Map::new();
    figures.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    figures.insert("cores".to_owned(), std::thread::available_parallelism().map_or(0, usize::from).into());
    figures.insert("build".to_owned(), if cfg!(debug_assertions) { "debug" } else { "release" }.into());
    if let (Some(sc), Some(http)) = (&arguments.fluvio, &arguments.http) {
        if arguments.phases.contains(&Phase::Restore) {
            bail!("--phases: restore needs an instance of its own; leave out --fluvio and --http, or choose other phases");
        }
        let target = Target { sc: sc.clone(), api: Api::new(http)?, run: run_id() };
        load(arguments, &target, &mut figures).await?;
    } else {
        let settings = json!({ "paymentProfile": "instant", "durability": arguments.durability, "partitions": arguments.partitions });
        figures.insert("subject".to_owned(), settings);
        let loads = arguments.phases.iter().any(|phase| *phase != Phase::Restore);
        if loads {
            let subject = Subject::start(arguments).await?;
            load(arguments, &subject.target, &mut figures).await?;
            figures.insert("memory".to_owned(), subject.memory()?);
            figures.insert("scrape".to_owned(), scrape::measure(&subject.metrics).await?);
            subject.stop().await?;
        }
        if arguments.phases.contains(&Phase::Restore) {
            figures.insert("restore".to_owned(), restore::measure(arguments).await?);
        }
    }
    println!("{}", serde_json::to_string_pretty(&Value::Object(figures))?);
    Ok(ExitCode::SUCCESS)
}

async fn load(arguments: &Arguments, target: &Target, figures: &mut Map<String, Value>) -> anyhow::Result<()> {
    target.api.wait_ready(READY_LIMIT).await?;
    if arguments.phases.contains(&Phase::Latency) {
        figures.insert("latency".to_owned(), latency::measure(target, arguments.rate, arguments.seconds).await?);
    }
    if arguments.phases.contains(&Phase::Throughput) {
        figures.insert("throughput".to_owned(), throughput::measure(target, arguments.orders, arguments).await?);
    }
    Ok(())
}

/// Milliseconds with two digits: more would be pretence.
fn milliseconds(microseconds: u64) -> f64 {
    (microseconds as f64 / 10.0).round() / 100.0
}

/// Seconds with three digits.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
