//! `orderflow topics`: what the systems need on a cluster.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};

use crate::config::check_endpoint;
use crate::limits::REACH_TIMEOUT;
use crate::topics::{self, State};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Cluster (its SC)
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003", global = true)]
    fluvio: String,
    /// Partitions of each topic
    #[arg(long, env = "ORDERFLOW_PARTITIONS", value_name = "N", default_value_t = 4, global = true)]
    partitions: u32,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Show which topics there are and how they are on the cluster (the default)
    List,
    /// Create the topics that are missing, and upload the SmartModules
    Apply,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    check_endpoint("--fluvio", &arguments.fluvio)?;
    super::tokio_runtime()?.block_on(async {
        match arguments.action.unwrap_or(Action::List) {
            Action::List => list(arguments).await,
            Action::Apply => apply(arguments).await,
        }
    })
}

async fn list(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = topics::all(arguments.partitions)?;
    let admin = within(topics::connect(&arguments.fluvio), arguments).await?;
    let states = topics::states(&admin, &wanted).await?;
    println!("{:<40} {:>8} {:>8}", "topic", "wanted", "there");
    for (topic, state) in wanted.iter().zip(states) {
        let there = match state {
            State::Missing => "missing".to_owned(),
            State::Present(partitions) => partitions.to_string(),
        };
        println!("{:<40} {:>8} {there:>8}", topic.name, topic.spec.partitions());
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = topics::all(arguments.partitions)?;
    let admin = within(topics::connect(&arguments.fluvio), arguments).await?;
    let connecting = async { Ok(FluvioLog::connect(FluvioLogOptions::new(&arguments.fluvio)).await?) };
    let log = within(connecting, arguments).await?;
    let created = topics::apply(&admin, &log, &wanted).await?;
    println!("{created} topics created, {} were there; SmartModules: {}", wanted.len() - created, topics::SMARTMODULES.map(|(name, _)| name).join(", "));
    Ok(ExitCode::SUCCESS)
}

async fn within<T>(reached: impl Future<Output = anyhow::Result<T>>, arguments: &Arguments) -> anyhow::Result<T> {
    let endpoint = &arguments.fluvio;
    let no_answer = || format!("--fluvio: no Fluvio cluster answers at {endpoint}; give the address of its SC");
    tokio::time::timeout(REACH_TIMEOUT, reached).await.with_context(no_answer)?.with_context(no_answer)
}
