//! `orderflow instances`: which instance runs which task, who follows it, and how far it is behind.
//!
//! All of it is read from topics: who shares the tasks from the assignment topic, how far a task is from the last transaction of its journal.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use fluvio_streams::assignment::TaskId;
use fluvio_streams::assignment::group::Group;
use fluvio_streams::assignment::{Announcement, holds_assignment};
use fluvio_streams::journal::JournalRecord;
use fluvio_streams::log::Log;
use fluvio_streams::state::keys;
use fluvio_streams::system::System;
use fluvio_streams::time::{Clock as _, SystemClock};
use fluvio_streams::topology::ProcessorSpec;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::scan::{connect, find, present, scan};
use crate::limits::INSTANCES_JOURNAL_RECORDS;
use crate::{systems, topics};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only this system, for example `food-delivery`
    system: Option<String>,
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003")]
    fluvio: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A system and who shares it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shared {
    system: String,
    /// Number of the assignment in force.
    generation: u64,
    /// Names of the instances in the order in which they came; the first one leads.
    instances: Vec<String>,
    tasks: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    task: String,
    /// Name of the instance that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Names of the instances that follow it; with `true` those that could take it over at once.
    standbys: Vec<(String, bool)>,
    /// Records of its sources that it has not taken. `None`: its journal says nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_records: Option<i64>,
    /// How old the oldest of them is.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    let systems = systems::all()?;
    let wanted = match &arguments.system {
        Some(name) => std::slice::from_ref(find(&systems, name)?),
        None => &systems,
    };
    super::tokio_runtime()?.block_on(async {
        let log = connect(&arguments.fluvio).await?;
        let mut all = Vec::new();
        for (system, partitions) in present(&*log, wanted).await? {
            all.push(show(&*log, system, partitions).await.with_context(|| format!("the instances of {} cannot be told", system.name))?);
        }
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&all)?);
        } else {
            all.iter().for_each(print);
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn print(shared: &Shared) {
    let instances = match shared.instances.is_empty() {
        true => "nobody runs it".to_owned(),
        false => format!("{} (the first one leads)", shared.instances.join(", ")),
    };
    println!("{}: {instances}, assignment {}", shared.system, shared.generation);
    println!("  {:<18} {:<24} {:>11} {:>11}  followed by", "task", "owner", "lag records", "lag seconds");
    for Shown { task, owner, standbys, lag_records, lag_seconds } in &shared.tasks {
        let owner = owner.as_deref().unwrap_or("-");
        let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let records = number(lag_records.map(|records| records.to_string()));
        let seconds = number(lag_seconds.map(|seconds| format!("{seconds:.1}")));
        let standbys: Vec<String> = standbys.iter().map(|(name, is_warm)| if *is_warm { name.clone() } else { format!("{name} (still reads)") }).collect();
        println!("  {task:<18} {owner:<24} {records:>11} {seconds:>11}  {}", standbys.join(", "));
    }
}

async fn show(log: &dyn Log, system: &System, partitions: u32) -> anyhow::Result<Shared> {
    let group = group(log, &topics::assignment(system)).await?;
    let name = |member: &String| {
        let seen = group.members().iter().find(|seen| seen.listed.member == *member);
        seen.map(|seen| seen.listed.instance.clone())
    };
    let tasks = system.topology.processors.iter().flat_map(|spec| (0..partitions).map(move |partition| (spec, partition)));
    let tasks = tasks.map(async |(spec, partition)| {
        let task = TaskId::new(&spec.name, partition);
        let is_warm = |member: &String| group.members().iter().any(|seen| seen.listed.member == *member && seen.warm.contains(&task));
        let standbys = group.standbys().get(&task).into_iter().flatten().filter_map(|member| Some((name(member)?, is_warm(member)))).collect();
        let lag = lag(log, spec, partition).await?;
        let owner = group.owners().get(&task).and_then(name);
        anyhow::Ok(Shown { task: task.to_string(), owner, standbys, lag_records: lag.map(|lag| lag.0), lag_seconds: lag.map(|lag| lag.1) })
    });
    let tasks = try_join_all(tasks).await?;
    let instances = group.members().iter().map(|seen| seen.listed.instance.clone()).collect();
    Ok(Shared { system: system.name.to_owned(), generation: group.generation(), instances, tasks })
}

/// Returns the group as the assignment topic says.
async fn group(log: &dyn Log, topic: &str) -> anyhow::Result<Group> {
    let mut announcements = Vec::new();
    let scanned = scan(log, topic, 0, 0, None, |record| {
        announcements.extend(Announcement::decode(&record.value).map(|announcement| (record.offset, announcement)));
        Ok(())
    });
    let start = scanned.await?.start;
    let mut group = Group::new(start == 0 || !holds_assignment(&announcements));
    for (offset, announcement) in &announcements {
        group.admit(*offset, announcement);
    }
    Ok(group)
}

/// Returns how far a task is behind the ends of its sources: in records, and how old the oldest of them is in seconds. `None`: its journal says nothing yet.
async fn lag(log: &dyn Log, spec: &ProcessorSpec, partition: u32) -> anyhow::Result<Option<(i64, f64)>> {
    let end = log.offsets(&spec.journal, partition).await?.end;
    let mut last = None;
    let take = |record: &fluvio_streams::record::LogRecord| {
        if let Ok(JournalRecord::Transaction(transaction)) = JournalRecord::decode(&record.value) {
            last = Some(transaction);
        }
        Ok(())
    };
    scan(log, &spec.journal, partition, end - INSTANCES_JOURNAL_RECORDS, None, take).await?;
    let Some(transaction) = last else { return Ok(None) };
    let (mut records, mut seconds) = (0, 0.0_f64);
    for source in &spec.sources {
        let key = keys::source(&source.topic);
        let taken =
            transaction.changes.iter().find(|(changed, _)| *changed == key).and_then(|(_, value)| value.as_deref()?.try_into().ok()).map(i64::from_be_bytes);
        let Some(taken) = taken else { continue };
        let offsets = log.offsets(&source.topic, partition).await?;
        if taken >= offsets.end {
            continue;
        }
        records += offsets.end - taken;
        let oldest = log.read(&source.topic, partition, taken.max(offsets.start), None).await?.next().await?.records;
        if let Some(record) = oldest.first().filter(|record| record.timestamp_ms > 0) {
            seconds = seconds.max((SystemClock.now_ms() - record.timestamp_ms).max(0) as f64 / 1_000.0);
        }
    }
    Ok(Some((records, seconds)))
}
