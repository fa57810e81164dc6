//! The command line: which subcommands there are, and what they share.

mod bench;
mod breaker;
mod client;
mod contracts;
mod demo;
mod dlq;
mod instances;
mod metrics;
mod reconcile;
mod reset;
mod scan;
mod topics;
mod topology;
mod up;
mod why;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Order and payment pipelines as stream processors on Fluvio.
///
/// Without a subcommand: `up`.
#[derive(Debug, Parser)]
#[command(name = "orderflow", version = crate::VERSION, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything in one process: broker, processors, views, HTTP API and metrics
    Up(Box<up::Arguments>),
    /// Play a scripted evening of orders and check what becomes of them
    Demo(demo::Arguments),
    /// Print the running topology, made from the code
    Topology(topology::Arguments),
    /// List the topics and SmartModules that the systems need, or create them on a cluster
    Topics(topics::Arguments),
    /// Show what the circuit breakers do, force them into a state, or reset them; exits with 1 if one does not answer
    Breaker(breaker::Arguments),
    /// Show which instance runs which task, who follows it, and how far it is behind
    Instances(instances::Arguments),
    /// Tell everything that happened to an order, in the order in which it happened; exits with 1 if nothing did
    Why(why::Arguments),
    /// List the records that nobody could take, show them, and send them again
    Dlq(dlq::Arguments),
    /// Make the state of followers again from their topics, with nothing leaving; exits with 1 if a task is not reset
    Reset(reset::Arguments),
    /// Compare what was captured and refunded with the payment provider's own record; exits with 1 if they differ, with 2 if they could not be compared
    Reconcile(reconcile::Arguments),
    /// Write the schemas of all records and the AsyncAPI documents to files, or compare the files with the code
    Contracts(contracts::Arguments),
    /// List the metrics that there are
    Metrics(metrics::Arguments),
    /// Measure throughput, latency, restore time and memory; prints JSON
    Bench(bench::Arguments),
}

/// Runs the program to its end.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or_else(|| Command::Up(Box::new(cli.up))) {
        Command::Up(arguments) => up::run(*arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Topology(arguments) => topology::run(&arguments),
        Command::Topics(arguments) => topics::run(&arguments),
        Command::Breaker(arguments) => breaker::run(&arguments),
        Command::Instances(arguments) => instances::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Dlq(arguments) => dlq::run(&arguments),
        Command::Reset(arguments) => reset::run(&arguments),
        Command::Reconcile(arguments) => Ok(reconcile::run(&arguments)),
        Command::Contracts(arguments) => contracts::run(&arguments),
        Command::Metrics(arguments) => metrics::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        tell(&error);
        ExitCode::FAILURE
    })
}

/// Says on stderr what went wrong and why.
fn tell(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// The official client logs as an error that its connection ends, also when we end it.
const LOG_DEFAULT: &str = "warn,fluvio::sync=off";

/// Sends logs to stderr by this filter.
fn log_to_stderr(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(LOG_DEFAULT)).context("--log: this is not a filter (`info`, `orderflow=debug,warn`)")?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // Already set only if a test runs several commands in one process.
    let _ = subscriber.try_init();
    Ok(())
}

/// Returns the runtime that everything asynchronous runs on.
fn tokio_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the asynchronous runtime")
}
