//! `orderflow dlq`: the dead letters of the systems, the records that they are about, and sending these again.
//!
//! Everything is read from the topics, also how often a record was redriven: any operator sees what any other did. Start reading at `letters`, then `redrive`.

mod letters;
mod original;
mod redrive;
mod show;

use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand};
use fluvio_streams::log::Log;
use fluvio_streams::system::System;
use fluvio_streams::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use self::letters::{Letter, LetterId, Letters, State, Wanted};
use self::redrive::{Outcome, Rules, redrive};
use super::scan::{connect, find, present};
use crate::limits::{DLQ_ERROR_CHARACTERS_MAX, DLQ_REPLAYS_MAX};
use crate::systems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003", global = true)]
    fluvio: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the dead letters: what could not be taken, by whom, why, and whether it was redriven
    List {
        /// Only those of this system, for example `food-delivery`
        system: Option<String>,
        #[command(flatten)]
        filter: Filter,
    },
    /// Show a dead letter and the record that it is about
    Show {
        /// Which one, as `list` names it, for example `food-delivery/2/17`
        #[arg(value_name = "ID")]
        id: LetterId,
    },
    /// Send the records of dead letters again, to where they stood; exits with 1 if one that was named is refused, or one fails
    Redrive {
        /// Which ones, as `list` names them
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<LetterId>,
        /// All that were not redriven yet
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: only those of this system
        #[arg(long, value_name = "SYSTEM", requires = "all")]
        system: Option<String>,
        #[command(flatten)]
        filter: Filter,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Redrive no record more often than this
        #[arg(long, value_name = "N", default_value_t = DLQ_REPLAYS_MAX)]
        max_replays: u32,
        /// Also those that were redriven already: their records are then there once more, whatever came of them the first time
        #[arg(long, conflicts_with = "all")]
        again: bool,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those about records of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those that are not older, for example `30m`, `24h` or `7d`
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    since: Option<i64>,
}

impl Filter {
    fn wanted(&self) -> Wanted {
        Wanted { topic: self.topic.clone(), since_ms: self.since.map(|since_ms| SystemClock.now_ms() - since_ms) }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    let systems = systems::all()?;
    super::tokio_runtime()?.block_on(async {
        match &arguments.action {
            Action::List { system, filter } => list(arguments, &searched(&systems, system.as_deref())?, filter).await,
            Action::Show { id } => show::show(&*connect(&arguments.fluvio).await?, find(&systems, &id.system)?, id, arguments.json).await,
            Action::Redrive { ids, all, system, filter, dry_run, max_replays, again } => {
                let rules = Rules { is_dry: *dry_run, replays_max: *max_replays, again: *again };
                let log = connect(&arguments.fluvio).await?;
                let told = match all {
                    true => redrive_all(&*log, &searched(&systems, system.as_deref())?, &filter.wanted(), rules).await?,
                    false => redrive_named(&*log, &systems, ids, &filter.wanted(), rules).await?,
                };
                print_outcomes(arguments, &told)?;
                let is_bad = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. }) || (!all && matches!(outcome, Outcome::Refused { .. }));
                Ok(if told.iter().any(|(_, outcome)| is_bad(outcome)) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
            }
        }
    })
}

fn searched(systems: &[System], name: Option<&str>) -> anyhow::Result<Vec<System>> {
    name.map_or_else(|| Ok(systems.to_vec()), |name| Ok(vec![find(systems, name)?.clone()]))
}

async fn list(arguments: &Arguments, systems: &[System], filter: &Filter) -> anyhow::Result<ExitCode> {
    let log = connect(&arguments.fluvio).await?;
    let mut listed = Vec::new();
    for (system, _) in present(&*log, systems).await? {
        listed.extend(Letters::read(&*log, system, filter.wanted()).await?.all());
    }
    listed.sort_by_key(|letter| letter.at_ms);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<20} {:<24} {:<40} {:<14} {:>8} {:<8}  error", "id", "when", "record", "processor", "redrives", "state");
    for letter in &listed {
        let record = letter.about().map_or_else(|| format!("(within {})", letter.topic), |place| place.to_string());
        let error: String = printable(&letter.error).chars().take(DLQ_ERROR_CHARACTERS_MAX).collect();
        let (processor, state) = (printable(letter.processor.as_deref().unwrap_or("(view)")), state(letter));
        println!("{:<20} {:<24} {:<40} {processor:<14} {:>8} {state:<8}  {error}", letter.id.to_string(), letter.at, printable(&record), letter.redrives);
    }
    Ok(ExitCode::SUCCESS)
}

fn state(letter: &Letter) -> &'static str {
    match letter.state {
        State::Open => "open",
        State::Started { .. } => "started",
        State::Redriven { .. } => "redriven",
    }
}

/// What came of which letter.
type Told = Vec<(LetterId, Outcome)>;

async fn redrive_named(log: &dyn Log, systems: &[System], ids: &[LetterId], wanted: &Wanted, rules: Rules) -> anyhow::Result<Told> {
    ensure!(wanted.topic.is_none() && wanted.since_ms.is_none(), "--topic and --since choose among --all; who names letters has chosen");
    ids.iter().try_for_each(|id| find(systems, &id.system).map(|_| ()))?;
    let mut told = Told::new();
    for system in systems {
        let named: Vec<&LetterId> = ids.iter().filter(|id| id.system == system.name).collect();
        if named.is_empty() {
            continue;
        }
        let mut letters = Letters::read(log, system, Wanted::default()).await?;
        for id in named {
            told.push((id.clone(), redrive(log, system, &mut letters, id, rules).await));
        }
    }
    Ok(told)
}

async fn redrive_all(log: &dyn Log, systems: &[System], wanted: &Wanted, rules: Rules) -> anyhow::Result<Told> {
    let mut told = Told::new();
    for (system, _) in present(log, systems).await? {
        let mut letters = Letters::read(log, system, wanted.clone()).await?;
        let mut chosen = letters.all();
        chosen.retain(|letter| !matches!(letter.state, State::Redriven { .. }));
        // What was interrupted first: until it is settled, what came back of it is not known for what it is.
        chosen.sort_by_key(|letter| (letter.state == State::Open, letter.at_ms));
        for letter in chosen {
            let outcome = redrive(log, system, &mut letters, &letter.id, rules).await;
            told.push((letter.id, outcome));
        }
    }
    Ok(told)
}

fn print_outcomes(arguments: &Arguments, told: &Told) -> anyhow::Result<()> {
    if arguments.json {
        let entries: Vec<Value> = told.iter().map(|(id, outcome)| with_id(id, outcome)).collect::<Result<_, _>>()?;
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    for (id, outcome) in told {
        let said = match outcome {
            Outcome::Redriven { to } => format!("redriven to {to}"),
            Outcome::Settled { to } => format!("had been redriven to {to}"),
            Outcome::WouldRedrive { to } => format!("would be redriven to {to}"),
            Outcome::Refused { reason } => format!("refused: {reason}"),
            Outcome::Failed { reason } => format!("FAILED: {reason}"),
        };
        println!("{:<20} {}", id.to_string(), printable(&said));
    }
    let count = |is: fn(&Outcome) -> bool| told.iter().filter(|(_, outcome)| is(outcome)).count();
    println!(
        "\n{} redriven, {} would be, {} refused, {} failed",
        count(|outcome| matches!(outcome, Outcome::Redriven { .. } | Outcome::Settled { .. })),
        count(|outcome| matches!(outcome, Outcome::WouldRedrive { .. })),
        count(|outcome| matches!(outcome, Outcome::Refused { .. })),
        count(|outcome| matches!(outcome, Outcome::Failed { .. })),
    );
    Ok(())
}

fn with_id(id: &LetterId, outcome: &Outcome) -> serde_json::Result<Value> {
    let mut entry = serde_json::to_value(outcome)?;
    entry["id"] = json!(id);
    Ok(entry)
}

/// Returns a text without what would move about on a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|character| if character.is_control() { character.escape_debug().collect::<Vec<_>>() } else { vec![character] }).collect()
}

/// Reads `90s`, `30m`, `24h`, `7d`.
fn duration_ms(text: &str) -> Result<i64, String> {
    let unit = text.chars().last().unwrap_or_default();
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err("give a number and a unit: `90s`, `30m`, `24h` or `7d`".to_owned()),
    };
    let number = text[..text.len() - unit.len_utf8()].parse::<u32>().map_err(|_| "give a number and a unit: `90s`, `30m`, `24h` or `7d`".to_owned())?;
    Ok(i64::from(number) * unit_ms)
}
