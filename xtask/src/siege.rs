//! The original's load test: `siege -c100 -t60S` posts orders while the payment provider takes 400 to 620 ms, and the report stands beside the original's.
//!
//! Three runs: undisturbed; with the provider down for 20 s in the middle; with a provider that refuses half. In each, every answer must be right by the contract (201 or 202; 402 where the
//! provider refuses), every deferred order must settle in time, and the books of the provider, which run outside of orderflow, must balance with what the views say.
//! Timings are printed and compared with goals; they are no test. Start reading at [`run`].

mod orderflow;
mod provider;
mod report;
mod tool;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use orderflow::Orderflow;
use provider::{Behaviour, Provider};
use report::{Run, Settled};

/// What customers send, over and over. The price lets the books tell orders apart from refunds.
const ORDER: &str = r#"{"item":"chicken","quantity":1,"address":"Seoul","price":18000}"#;
/// How long the provider is down, in the middle of a run.
const OUTAGE: Duration = Duration::from_secs(20);

/// How the load test is made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Customers who order at a time
    #[arg(long, default_value_t = 100)]
    clients: u32,
    /// Length of each run, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Make only this run
    #[arg(long, value_enum)]
    only: Option<Scenario>,
    /// Also write the report as JSON into this file
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

/// What happens to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing.
    Undisturbed,
    /// It is down for 20 s in the middle.
    Outage,
    /// It refuses half of all charges.
    Refusing,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Undisturbed => "undisturbed",
            Self::Outage => "provider down for 20 s",
            Self::Refusing => "provider refuses 50 %",
        }
    }

    fn behaviour(self) -> Behaviour {
        match self {
            Self::Refusing => Behaviour::RefusesHalf,
            Self::Undisturbed | Self::Outage => Behaviour::Approves,
        }
    }
}

/// Makes the runs and prints the report.
///
/// # Errors
/// If something cannot be started, or a run breaks the contract; goals that are missed are printed, and are an error at the end.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let siege = tool::siege()?;
    let program = crate::release::binary(root)?;
    let scenarios = [Scenario::Undisturbed, Scenario::Outage, Scenario::Refusing];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let mut runs = Vec::new();
    for scenario in scenarios.into_iter().filter(|scenario| arguments.only.is_none_or(|only| only == *scenario)) {
        println!("{}: siege -c{} -t{}S ...", scenario.name(), arguments.clients, arguments.seconds);
        runs.push(runtime.block_on(one(&program, &siege, scenario, arguments))?);
    }
    println!("{}", report::table(&runs));
    if let Some(path) = &arguments.json {
        fs::write(path, report::json(&runs)).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let missed: Vec<String> = runs.iter().flat_map(Run::missed).collect();
    ensure!(missed.is_empty(), "{}", missed.join("\n"));
    Ok(())
}

async fn one(program: &Path, siege: &Path, scenario: Scenario, arguments: &Arguments) -> anyhow::Result<Run> {
    let provider = Provider::start(scenario.behaviour()).await?;
    let orderflow = Orderflow::start(program, &provider.url()).await?;
    let load =
        tool::Load { url: format!("http://{}/food-delivery/orders", orderflow.http), body: ORDER, clients: arguments.clients, seconds: arguments.seconds };
    let seconds = Duration::from_secs(arguments.seconds);
    let outage = async {
        if scenario == Scenario::Outage {
            tokio::time::sleep(seconds.saturating_sub(OUTAGE) / 2).await;
            provider.down();
            tokio::time::sleep(OUTAGE).await;
            provider.up();
        }
    };
    let started = Instant::now();
    let (answers, ()) = tokio::join!(tool::besiege(siege, &load), outage);
    let (answers, elapsed) = (answers?, started.elapsed());
    let ended = Instant::now();
    let orders = orderflow.settle().await?;
    let settled = Settled { after_load: ended.elapsed(), orders };
    let ledger = provider.ledger();
    let money = orderflow.money(ledger.captured).await?;
    let resident_mb = orderflow.resident_mb();
    orderflow.stop().await?;
    Ok(Run {
        name: scenario.name(),
        refuses: scenario == Scenario::Refusing,
        is_disturbed: scenario == Scenario::Outage,
        elapsed,
        answers,
        settled,
        ledger,
        money,
        resident_mb,
    })
}
