//! `orderflow reset`: works out the state of processors anew from their sources, and puts it in place of what their journals say. Nothing leaves meanwhile, and nothing is taken twice.
//!
//! A task has taken its sources up to some position; that stays. Only what it made of them is made again, from an earlier position on, aside, with all effects left out (`rebuild`), and what comes out
//! different is written as one transaction (`journal`). Why so, and which processors it is refused to: `docs/adr/0007-reset.md`.

mod journal;
mod rebuild;
mod schedule;

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use fluvio_streams::assignment::group::Group;
use fluvio_streams::assignment::{Announcement, holds_assignment};
use fluvio_streams::log::Log;
use fluvio_streams::system::System;
use fluvio_streams::time::{Clock as _, SystemClock, format_rfc3339, parse_rfc3339};
use fluvio_streams::topology::ProcessorSpec;
use serde::Serialize;

use self::journal::{Current, difference, of_state};
use self::rebuild::{Plan, rebuild};
use self::schedule::Schedule;
use super::client::run_id;
use super::scan::{connect, find, present, scan};
use crate::limits::RESET_SILENCE_MS;
use crate::{systems, topics};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A processor, `food-delivery/store`, or a system: then all of its processors that can be reset
    #[arg(value_name = "SYSTEM[/PROCESSOR]")]
    target: String,
    #[command(flatten)]
    from: From,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003")]
    fluvio: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct From {
    /// Make the state again from this offset of each source on; what was known from before is forgotten
    #[arg(long, value_name = "N")]
    to_offset: Option<u32>,
    /// Make the state again from this time on (RFC 3339); what was known from before is forgotten
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<i64>,
    /// Make the state again from the beginning; refused if a topic does not hold its beginning any more
    #[arg(long)]
    to_beginning: bool,
}

fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| "this is no time, give for example `2026-01-02T03:04:05Z`".to_owned())
}

/// What came of a task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    task: String,
    partition: u32,
    /// Records that were read again.
    records: u64,
    /// How many of them cannot be taken today; they make no dead letters again.
    unreadable: u64,
    /// Entries of the state as it was.
    entries: usize,
    /// How many of them change, come or go.
    changes: usize,
    /// What prevented it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    let systems = systems::all()?;
    super::tokio_runtime()?.block_on(reset(arguments, &systems))
}

async fn reset(arguments: &Arguments, systems: &[System]) -> anyhow::Result<ExitCode> {
    let (name, only) = arguments.target.split_once('/').map_or((arguments.target.as_str(), None), |(system, processor)| (system, Some(processor)));
    let system = find(systems, name)?;
    let chosen = chosen(system, only)?;
    let log = connect(&arguments.fluvio).await?;
    let partitions = present(&*log, std::slice::from_ref(system)).await?.first().map_or(0, |(_, partitions)| *partitions);
    if !arguments.dry_run {
        nobody_runs(&*log, system, &chosen).await?;
    }
    let mut told = Vec::new();
    for spec in chosen {
        for partition in 0..partitions {
            let task = format!("{}/{}", system.name, spec.name);
            let mut entry = Told { task, partition, records: 0, unreadable: 0, entries: 0, changes: 0, problem: None };
            if let Err(error) = reset_task(&*log, arguments, system, spec, partitions, &mut entry).await {
                entry.problem = Some(format!("{error:#}"));
            }
            told.push(entry);
        }
    }
    print(arguments, &told)?;
    Ok(if told.iter().any(|entry| entry.problem.is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Sees to it that no instance says that it runs one of these. What it does not say is found out later: two cannot have a task.
async fn nobody_runs(log: &dyn Log, system: &System, chosen: &[&ProcessorSpec]) -> anyhow::Result<()> {
    let mut announcements = Vec::new();
    let topic = topics::assignment(system);
    let scanned = scan(log, &topic, 0, 0, None, |record| {
        announcements.extend(Announcement::decode(&record.value).map(|announcement| (record.offset, record.timestamp_ms, announcement)));
        Ok(())
    });
    let start = scanned.await?.start;
    let told: Vec<_> = announcements.iter().map(|(offset, _, announcement)| (*offset, announcement.clone())).collect();
    let mut group = Group::new(start == 0 || !holds_assignment(&told));
    for (offset, announcement) in &told {
        group.admit(*offset, announcement);
    }
    // Who ended without saying so is a member until another one notices.
    let since_ms = SystemClock.now_ms() - RESET_SILENCE_MS;
    let was_heard = |last: i64| announcements.iter().any(|(offset, at_ms, _)| *offset == last && *at_ms >= since_ms);
    let runs = group.members().iter().filter(|seen| was_heard(seen.last) && chosen.iter().any(|spec| seen.listed.processors.contains_key(&spec.name)));
    let runs: Vec<&str> = runs.map(|seen| seen.listed.instance.as_str()).collect();
    ensure!(
        runs.is_empty(),
        "stop the instances that run what is to be reset ({}), as `orderflow instances` shows them; one that was killed counts as running for {} s",
        runs.join(", "),
        RESET_SILENCE_MS / 1_000
    );
    Ok(())
}

/// Returns the processors that are meant.
fn chosen<'s>(system: &'s System, only: Option<&str>) -> anyhow::Result<Vec<&'s ProcessorSpec>> {
    let processors = &system.topology.processors;
    if let Some(only) = only {
        let names = || processors.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
        let spec =
            processors.iter().find(|spec| spec.name == only).with_context(|| format!("{} has no processor `{only}`; it has {}", system.name, names()))?;
        return refusal(spec).map_or_else(|| Ok(vec![spec]), |why| bail!("{}/{only} cannot be reset: {why}", system.name));
    }
    let (refused, chosen): (Vec<_>, Vec<_>) = processors.iter().partition(|spec| refusal(spec).is_some());
    for spec in refused {
        eprintln!("{}/{} is left as it is: {}", system.name, spec.name, refusal(spec).unwrap_or_default());
    }
    Ok(chosen)
}

/// Returns why a processor must not be reset.
fn refusal(spec: &ProcessorSpec) -> Option<String> {
    let is_of_pair = |topic: &&str| topic.ends_with("-requests") || topic.ends_with("-replies");
    let mut topics = spec.sources.iter().map(|source| source.topic.as_str()).chain(spec.sinks.iter().map(String::as_str));
    if let Some(topic) = topics.find(is_of_pair) {
        return Some(format!(
            "it asks or answers others ({topic}), who have acted on what it decided: made again, it might decide otherwise, about money or stock"
        ));
    }
    let calls = spec.calls.join(", ");
    (!calls.is_empty()).then(|| format!("part of its state are the answers of {calls}, which stand in no topic"))
}

async fn reset_task(log: &dyn Log, arguments: &Arguments, system: &System, spec: &ProcessorSpec, partitions: u32, told: &mut Told) -> anyhow::Result<()> {
    let partition = told.partition;
    let owner = format!("reset-{}-{partition}", run_id());
    let mut current = Current::read(log, system.name, spec, partition, partitions, &owner).await?;
    if current.task.last_time_ms() == 0 {
        // It has never taken anything.
        return Ok(());
    }
    if !arguments.dry_run {
        current.hold(log).await?;
    }
    let mut spans = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        let to = current.task.source_offset(index);
        spans.push((from(log, &arguments.from, &source.topic, partition, to).await?, to));
    }
    let before = current.state()?;
    told.entries = before.len();
    let plan = Plan { application: system.name, spec, partition, partitions, spans, until_ms: current.task.last_time_ms() };
    let rebuilt = rebuild(log, &plan, &Schedule::read(log, spec, partition).await?).await?;
    (told.records, told.unreadable) = (rebuilt.records, rebuilt.unreadable);
    let after = of_state(rebuilt.entries);
    told.changes = if arguments.dry_run { difference(&before, &after).len() } else { current.replace(log, &after).await? };
    Ok(())
}

/// Returns where a source is read from: at most the position `to`, up to which the task has taken it.
async fn from(log: &dyn Log, from: &From, topic: &str, partition: u32, to: i64) -> anyhow::Result<i64> {
    let start = log.offsets(topic, partition).await?.start;
    ensure!(start <= to, "{topic}/{partition} begins at offset {start}, behind offset {to} up to which it was taken: there is nothing to make the state of");
    if let Some(offset) = from.to_offset {
        return Ok(i64::from(offset).clamp(start, to));
    }
    let Some(time_ms) = from.to_time else {
        if start == 0 {
            return Ok(0);
        }
        let mut since_ms = None;
        scan(log, topic, partition, start, None, |record| {
            since_ms = since_ms.or(Some(record.timestamp_ms));
            Ok(())
        })
        .await?;
        let since = since_ms.map_or_else(|| "now".to_owned(), format_rfc3339);
        bail!("{topic}/{partition} holds nothing from before {since}; who wants to forget what was known from before gives --to-time {since}");
    };
    let mut first = to;
    scan(log, topic, partition, start, None, |record| {
        if record.timestamp_ms >= time_ms {
            first = first.min(record.offset);
        }
        Ok(())
    })
    .await?;
    Ok(first)
}

fn print(arguments: &Arguments, told: &[Told]) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(told)?);
        return Ok(());
    }
    let verb = if arguments.dry_run { "to change" } else { "changed" };
    println!("{:<28} {:>9} {:>10} {:>10} {:>10} {verb:>10}", "task", "partition", "records", "unreadable", "entries");
    for Told { task, partition, records, unreadable, entries, changes, problem } in told {
        let said = problem.as_ref().map_or_else(|| format!("{changes:>10}"), |problem| format!("NOT RESET: {problem}"));
        println!("{task:<28} {partition:>9} {records:>10} {unreadable:>10} {entries:>10} {said}");
    }
    Ok(())
}
