//! `orderflow reconcile`: compares what the systems hold to have been taken and given back with the payment provider's own record.
//!
//! What the systems hold is what their topics say: the events of their payments. They are read first, so that whatever they hold is in the provider's record by the time that is read.
//! Start reading at [`reconcile`]; the comparison itself is in `compare`.

mod compare;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use business::PartnerNames;
use business::partner::provider::{Operation, ProviderRequest};
use clap::Args;
use fluvio_streams::log::{Log, LogError};
use fluvio_streams::time::{Clock as _, SystemClock, format_rfc3339, parse_rfc3339};
use serde::{Deserialize, Serialize};

use self::compare::{Books, Difference, Kind, Movement, Span, compare, sum};
use super::scan::connect;
use crate::config::{PaymentEndpoint, TOKEN_VARIABLE};
use crate::limits::{PROVIDER_TRY_TIMEOUT, REACH_TIMEOUT, RECONCILE_MOVEMENTS_MAX};
use crate::provider::HttpProvider;
use crate::systems;

const PAYMENTS: PartnerNames = PartnerNames::PAYMENTS;

/// The command could not compare, which is neither equal nor different.
const NOT_COMPARED: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003")]
    fluvio: String,
    /// Payment provider whose ledger is read [default: the simulated one of the instance at --metrics-addr]
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_URL", value_name = "URL")]
    payment_provider_url: Option<String>,
    /// File that holds the payment provider's bearer token, instead of ORDERFLOW_PAYMENT_PROVIDER_TOKEN
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_TOKEN_FILE", value_name = "FILE")]
    payment_provider_token_file: Option<PathBuf>,
    /// Trust these certificates (PEM) of the payment provider instead of the public authorities
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_CA_FILE", value_name = "FILE")]
    payment_provider_ca_file: Option<PathBuf>,
    /// Instance whose simulated provider is asked
    #[arg(long, env = "ORDERFLOW_METRICS_ADDR", value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    metrics_addr: SocketAddr,
    /// How long an attempt stays open, in ms: what only the provider knows of and is younger is in progress
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    give_up_ms: u32,
    /// Compare only what the provider did from this time on (RFC 3339) [default: from what the topics still hold]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let compared = super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())
        .and_then(|()| super::tokio_runtime())
        .and_then(|runtime| runtime.block_on(reconcile(arguments)))
        .and_then(|report| if arguments.json { report.print_json() } else { report.print_table() }.map(|()| report));
    match compared {
        Ok(report) if report.is_equal => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            super::tell(&error);
            ExitCode::from(NOT_COMPARED)
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    is_equal: bool,
    systems: BTreeMap<String, Sums>,
    differences: Vec<Difference>,
    in_progress: Vec<Difference>,
    /// What the provider did before the time from which on is compared, and of which the topics hold nothing.
    older: usize,
}

/// What both sides say, in won.
#[derive(Debug, Serialize)]
struct Sums {
    captured: Sides,
    refunded: Sides,
}

#[derive(Debug, Serialize)]
struct Sides {
    here: i64,
    there: i64,
}

async fn reconcile(arguments: &Arguments) -> anyhow::Result<Report> {
    let since_ms = arguments.since.as_deref().map(|since| parse_rfc3339(since).context("--since: this is no time, give for example `2026-01-02T03:04:05Z`"));
    let since_ms = since_ms.transpose()?;
    let provider = provider(arguments)?;
    let log = connect(&arguments.fluvio).await?;
    let (mut here, mut from_ms, mut systems) = (Books::new(), since_ms.unwrap_or(i64::MIN), Vec::new());
    for system in systems::all()? {
        if !system.topology.processors.iter().any(|processor| processor.calls.iter().any(|target| target == PAYMENTS.provider)) {
            continue;
        }
        let held_from_ms = match read_topic(&*log, system.name, &mut here).await {
            Ok(held_from_ms) => held_from_ms,
            // A cluster need not have all systems.
            Err(error) if matches!(error.downcast_ref(), Some(LogError::NoTopic { .. })) => continue,
            Err(error) => return Err(error),
        };
        from_ms = from_ms.max(held_from_ms.filter(|_| since_ms.is_none()).unwrap_or(i64::MIN));
        systems.push(system.name);
    }
    ensure!(!systems.is_empty(), "--fluvio: no system that takes money has its topics at {}", arguments.fluvio);
    let settled_ms = SystemClock.now_ms() - i64::from(arguments.give_up_ms);
    let there = read_ledger(&provider).await?;
    Ok(report(&systems, &here, &there, Span { from_ms, settled_ms }))
}

fn provider(arguments: &Arguments) -> anyhow::Result<HttpProvider> {
    let simulated = format!("http://{}/payment-provider", arguments.metrics_addr);
    let (url, token) = match &arguments.payment_provider_url {
        Some(url) => (url, std::env::var(TOKEN_VARIABLE).ok()),
        // The simulated one asks for none, and is not told one.
        None => (&simulated, None),
    };
    let token_file = arguments.payment_provider_token_file.as_deref().filter(|_| arguments.payment_provider_url.is_some());
    let endpoint = PaymentEndpoint::new(url, token_file, arguments.payment_provider_ca_file.as_deref(), token)?;
    HttpProvider::new(endpoint, PROVIDER_TRY_TIMEOUT)
}

fn report(systems: &[&str], here: &Books, there: &Books, span: Span) -> Report {
    let comparison = compare(here, there, span);
    let of = |books: &Books, system: &str| -> Books {
        let is_of = |key: &str| key.strip_prefix(system).is_some_and(|rest| rest.starts_with('/'));
        books.iter().filter(|(key, _)| is_of(key)).map(|(key, movement)| (key.clone(), *movement)).collect()
    };
    let sums = |system: &&str| {
        let (here, there) = (of(here, system), of(there, system));
        let sides = |operation| Sides { here: sum(&here, operation), there: sum(&there, operation) };
        ((*system).to_owned(), Sums { captured: sides(Operation::Accept), refunded: sides(Operation::Undo) })
    };
    Report {
        is_equal: comparison.differences.is_empty(),
        systems: systems.iter().map(sums).collect(),
        differences: comparison.differences,
        in_progress: comparison.in_progress,
        older: comparison.older,
    }
}

/// An event of payments.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    attempt: u32,
    #[serde(default)]
    incarnation: String,
    amount: i64,
}

/// Reads what a system holds, up to now. Returns since when its topic holds everything, ms since the Unix epoch; `None`: from the beginning.
async fn read_topic(log: &dyn Log, system: &str, books: &mut Books) -> anyhow::Result<Option<i64>> {
    let topic = format!("{system}-{}-events", PAYMENTS.processor);
    let mut held_from_ms = None;
    for partition in 0..log.partitions(&topic).await? {
        let offsets = log.offsets(&topic, partition).await?;
        if offsets.start >= offsets.end {
            continue;
        }
        let mut reader = log.read(&topic, partition, offsets.start, None).await?;
        let mut next = offsets.start;
        while next < offsets.end {
            let fetched = tokio::time::timeout(REACH_TIMEOUT, reader.next()).await.with_context(|| format!("{topic} does not go on"))??;
            for record in &fetched.records {
                if record.offset == offsets.start && offsets.start > 0 {
                    held_from_ms = held_from_ms.max(Some(record.timestamp_ms));
                }
                enter(system, &record.value, books)?;
            }
            next = fetched.next_offset;
        }
    }
    Ok(held_from_ms)
}

/// Enters an event, if money was moved. Others are of no interest, among them those of the breaker, which have other fields.
fn enter(system: &str, value: &[u8], books: &mut Books) -> anyhow::Result<()> {
    let Ok(Event { kind, subject, time, data }) = serde_json::from_slice(value) else { return Ok(()) };
    let operation = match kind.as_str() {
        kind if kind == PAYMENTS.accepted => Operation::Accept,
        kind if kind == PAYMENTS.undone => Operation::Undo,
        _ => return Ok(()),
    };
    let name = ProviderRequest::key(operation, &subject, data.attempt);
    let name = if data.incarnation.is_empty() { name } else { format!("{name}@{}", data.incarnation) };
    let movement = Movement { operation, amount: data.amount, count: 1, at_ms: parse_rfc3339(&time).unwrap_or_default() };
    // A record that is there twice is one event.
    books.entry(format!("{system}/{name}")).or_insert(movement);
    check_size(books)
}

async fn read_ledger(provider: &HttpProvider) -> anyhow::Result<Books> {
    let mut books = Books::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = provider.ledger(cursor.as_deref()).await.context("the payment provider's ledger cannot be read")?;
        for entry in page.entries {
            let at_ms = parse_rfc3339(&entry.at).with_context(|| format!("the payment provider's ledger has no time for `{}`", entry.idempotency_key))?;
            let movement = books.entry(entry.idempotency_key).or_insert(Movement { operation: entry.operation, amount: 0, count: 0, at_ms });
            movement.amount = movement.amount.saturating_add(entry.amount);
            movement.count += 1;
        }
        check_size(&books)?;
        match page.next {
            None => return Ok(books),
            next if next == cursor => anyhow::bail!("the payment provider's ledger does not go on"),
            next => cursor = next,
        }
    }
}

fn check_size(books: &Books) -> anyhow::Result<()> {
    ensure!(books.len() <= RECONCILE_MOVEMENTS_MAX, "there are more than {RECONCILE_MOVEMENTS_MAX} movements, too many to compare at once");
    Ok(())
}

impl Report {
    fn print_json(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string_pretty(self)?);
        Ok(())
    }

    fn print_table(&self) -> anyhow::Result<()> {
        println!("{:<20} {:<9} {:>16} {:>16} {:>16}", "system", "", "here", "provider", "difference");
        for (system, Sums { captured, refunded }) in &self.systems {
            for (name, Sides { here, there }) in [("captured", captured), ("refunded", refunded)] {
                println!("{system:<20} {name:<9} {here:>16} {there:>16} {:>16}", there - here);
            }
        }
        print_differences("differences", &self.differences);
        print_differences("in progress", &self.in_progress);
        if self.older > 0 {
            println!("\n{} movements at the provider are older than what the topics hold and are not compared", self.older);
        }
        println!("\n{}", if self.is_equal { "equal" } else { "NOT EQUAL" });
        Ok(())
    }
}

fn print_differences(title: &str, differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    println!("\n{title}: {}", differences.len());
    for Difference { idempotency_key, kind, here, there, at_ms, .. } in differences {
        let kind = match kind {
            Kind::MissingHere => "missing here",
            Kind::MissingThere => "missing there",
            Kind::AmountDiffers => "amount differs",
            Kind::RepeatedThere => "repeated there",
        };
        let amount = |amount: &Option<i64>| amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        println!("  {kind:<14} {:>14} {:>14}  {}  {idempotency_key}", amount(here), amount(there), format_rfc3339(*at_ms));
    }
}
