//! `orderflow breaker`: what the breakers of the systems do, and the operator's hand on them.
//!
//! Each task has a breaker of its own. What they do is read from the events by which they tell it, which say it whoever runs the tasks; an order is a command to each partition, and
//! what became of it is read from the same topic.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use business::front::commands::{BREAKER_FORCED, FORCE_BREAKER, RESET_BREAKER};
use clap::{Args, Subcommand, ValueEnum};
use fluvio_streams::log::Log;
use fluvio_streams::record::NewRecord;
use fluvio_streams::system::System;
use fluvio_streams::topology::{Routing, names};
use futures_util::future::{join_all, try_join_all};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::run_id;
use super::scan::{Event, connect, find, present, scan};
use crate::limits::BREAKER_ANSWER_TIMEOUT_MS;
use crate::systems;

/// Event of a breaker that changed its state.
const TRANSITIONED: &str = "BreakerTransitioned";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003", global = true)]
    fluvio: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the state of every breaker, since when, and what it had measured then (the default)
    List {
        /// Only this system, for example `food-delivery`
        system: Option<String>,
    },
    /// Put the breakers of a system into a state
    Force {
        /// System, for example `food-delivery`
        system: String,
        /// The state
        state: Wanted,
        #[command(flatten)]
        order: Order,
    },
    /// Make the breakers of a system as if new: closed, and nothing measured
    Reset {
        /// System, for example `food-delivery`
        system: String,
        #[command(flatten)]
        order: Order,
    },
}

#[derive(Debug, Args)]
struct Order {
    /// Only the breaker of this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How long the tasks may take to answer, in ms
    #[arg(long, value_name = "MS", default_value_t = BREAKER_ANSWER_TIMEOUT_MS)]
    wait_ms: u64,
    /// Who orders it
    #[arg(long, env = "ORDERFLOW_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    /// Let nothing through until it is forced or reset again: customers are deferred at once
    Open,
    /// Let everything through and measure; deferred orders are retried at the paced rate
    Closed,
    /// Let everything through and do not measure
    Disabled,
    /// Let a few calls through to find out whether to close
    HalfOpen,
}

impl Wanted {
    /// Returns its name in the command.
    fn name(self) -> &'static str {
        match self {
            // Open by itself would end by itself.
            Self::Open => "forced-open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
            Self::HalfOpen => "half-open",
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    let systems = systems::all()?;
    super::tokio_runtime()?.block_on(async {
        match &arguments.action {
            None => list(arguments, &systems).await,
            Some(Action::List { system: None }) => list(arguments, &systems).await,
            Some(Action::List { system: Some(name) }) => list(arguments, std::slice::from_ref(find(&systems, name)?)).await,
            Some(Action::Force { system, state, order }) => {
                let command = json!({"type": FORCE_BREAKER, "state": state.name()});
                give(arguments, find(&systems, system)?, order, command).await
            }
            Some(Action::Reset { system, order }) => give(arguments, find(&systems, system)?, order, json!({"type": RESET_BREAKER})).await,
        }
    })
}

/// The breaker of a task, as its events say.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    system: String,
    partition: u32,
    /// `unknown` if the topic does not hold its last transition any more.
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// What it had measured when it entered the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured>,
    /// Transitions that the topic holds.
    transitions: u64,
    /// The last order of an operator, if it still stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    forced: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    calls: u64,
    failed_calls: u64,
    slow_calls: u64,
}

async fn list(arguments: &Arguments, systems: &[System]) -> anyhow::Result<ExitCode> {
    let log = connect(&arguments.fluvio).await?;
    let mut shown = Vec::new();
    for (system, partitions) in present(&*log, systems).await? {
        let topic = breaker_topic(system)?;
        shown.extend(try_join_all((0..partitions).map(|partition| show(&*log, system.name, topic, partition))).await?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<14} {:>9}  {:<11} {:<24} {:>6} {:>6} {:>6} {:>11}  forced", "system", "partition", "state", "since", "calls", "failed", "slow", "transitions");
    for Shown { system, partition, state, since, measured, transitions, forced } in shown {
        let measured =
            measured.map_or_else(|| ["-".to_owned(), "-".to_owned(), "-".to_owned()], |it| [it.calls, it.failed_calls, it.slow_calls].map(|n| n.to_string()));
        let [calls, failed, slow] = measured;
        let since = since.unwrap_or_else(|| "-".to_owned());
        let said = |name: &str| forced.as_ref().and_then(|forced| forced[name].as_str()).unwrap_or_default();
        let by = [said("operator"), said("reason")].into_iter().filter(|text| !text.is_empty()).map(|text| text.escape_debug().to_string());
        let by = by.collect::<Vec<_>>().join(": ");
        println!("{system:<14} {partition:>9}  {state:<11} {since:<24} {calls:>6} {failed:>6} {slow:>6} {transitions:>11}  {by}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(log: &dyn Log, system: &str, topic: &str, partition: u32) -> anyhow::Result<Shown> {
    let routing = Routing::Types(names(&[TRANSITIONED, BREAKER_FORCED]));
    let mut shown = Shown { system: system.to_owned(), partition, ..Shown::default() };
    let scanned = scan(log, topic, partition, 0, Some(&routing), |record| {
        let Ok(Event { kind, data, .. }) = serde_json::from_slice(&record.value) else { return Ok(()) };
        if kind == BREAKER_FORCED {
            shown.forced = Some(data);
            return Ok(());
        }
        let count = |name: &str| data[name].as_u64().unwrap_or_default();
        shown.state = text(&data, "to");
        shown.since = Some(text(&data, "at"));
        shown.measured = Some(Measured { calls: count("calls"), failed_calls: count("failedCalls"), slow_calls: count("slowCalls") });
        shown.transitions += 1;
        // An order that changed something is told right after its transition.
        shown.forced = None;
        Ok(())
    });
    let start = scanned.await?.start;
    if shown.state.is_empty() {
        shown.state = match &shown.forced {
            Some(forced) => text(forced, "to"),
            None if start > 0 => "unknown".to_owned(),
            None => "closed".to_owned(),
        };
    }
    Ok(shown)
}

/// Gives an order to each partition, and waits until each has answered.
async fn give(arguments: &Arguments, system: &System, order: &Order, mut command: Value) -> anyhow::Result<ExitCode> {
    let log = connect(&arguments.fluvio).await?;
    let topic = breaker_topic(system)?;
    let partitions = present(&*log, std::slice::from_ref(system)).await?.first().map_or(0, |(_, partitions)| *partitions);
    if let Some(partition) = order.partition {
        ensure!(partition < partitions, "--partition: {} has the partitions 0 to {}", system.commands_topic, partitions - 1);
    }
    let id = format!("breaker-{}", run_id());
    command["commandId"] = id.as_str().into();
    for (name, text) in [("operator", &order.operator), ("reason", &order.reason)] {
        text.iter().for_each(|text| command[name] = text.as_str().into());
    }
    let addressed: Vec<u32> = (0..partitions).filter(|partition| order.partition.is_none_or(|only| only == *partition)).collect();
    let answers = join_all(addressed.iter().map(|partition| {
        let answer = ask(&*log, &system.commands_topic, topic, *partition, &command, &id);
        async { timeout(Duration::from_millis(order.wait_ms), answer).await.unwrap_or_else(|_| Ok(None)) }
    }));
    let mut all_answered = true;
    let mut told = Vec::new();
    for (partition, answer) in addressed.iter().zip(answers.await) {
        let problem = match answer {
            Ok(Some(answer)) => {
                told.push(answer);
                continue;
            }
            Ok(None) => {
                format!("no answer within {} ms; does a process run the processors of {}? It may still be obeyed", order.wait_ms, system.name)
            }
            Err(error) => format!("{error:#}"),
        };
        all_answered = false;
        told.push(json!({"partition": partition, "problem": problem}));
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!("{:<14} {:>9}  {:<11} after", "system", "partition", "before");
        for answer in &told {
            let after = if answer["problem"].is_string() { text(answer, "problem") } else { text(answer, "to") };
            println!("{:<14} {:>9}  {:<11} {after}", system.name, answer["partition"].to_string(), answer["from"].as_str().unwrap_or("-"));
        }
    }
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends an order to a partition and reads until it is answered. `None` never comes: whoever calls sets the limit.
async fn ask(log: &dyn Log, commands: &str, events: &str, partition: u32, command: &Value, id: &str) -> anyhow::Result<Option<Value>> {
    let end = log.offsets(events, partition).await?.end;
    let mut reader = log.read(events, partition, end, Some(&Routing::Types(names(&[BREAKER_FORCED])))).await?;
    let writer = log.writer(commands, partition).await?;
    // Without a key: it is meant for whoever reads this partition.
    writer.append(vec![NewRecord { key: None, value: command.to_string().into() }]).await?;
    loop {
        for record in &reader.next().await?.records {
            if let Ok(event) = serde_json::from_slice::<Event>(&record.value)
                && event.correlation == id
            {
                return Ok(Some(event.data));
            }
        }
    }
}

/// Returns the topic in which the breakers of a system tell of themselves.
fn breaker_topic(system: &System) -> anyhow::Result<&str> {
    let record = system.records.iter().find(|record| record.kind == BREAKER_FORCED);
    record.map(|record| record.topic.as_str()).with_context(|| format!("{} has no breaker", system.name))
}

fn text(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap_or_default().to_owned()
}
