//! A run from its beginning to its report.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::cluster::{API, Cluster};
use crate::customers::{self, Counter, Progress, SentLog};
use crate::error::{Doing as _, Error};
use crate::ledger::{Ledger, Outside, Verdicts};
use crate::process::Process;
use crate::provider::{Provider, Temper};
use crate::report::Report;
use crate::{Options, limits, reader, unrest, views};

/// So long nothing may be written before it is looked whether everything fits.
const QUIET: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);

/// Makes a run and returns what it found.
///
/// # Errors
/// [`Error`] if it cannot be made, or not to its end: a process ends by itself, orders make no progress, a topic has a hole.
pub async fn run(options: &Options) -> Result<Report, Error> {
    fs::create_dir_all(&options.directory).doing(|| format!("cannot create `{}`", options.directory.display()))?;
    let provider = Provider::start(options.seed, Temper::Moody(options.pace.very_slow), &options.directory.join("provider.ndjson")).await?;
    let mut cluster = Cluster::start(options, provider.url()).await?;
    let began = Instant::now();
    let progress = Arc::new(Progress::new(options.orders));
    let sent = Arc::new(SentLog::new(&options.directory.join("sent.ndjson"))?);
    let counter = Counter { seed: options.seed, sc: cluster.sc.clone(), api: cluster.api(), progress: Arc::clone(&progress), sent: Arc::clone(&sent) };
    let (mut tally, ()) = tokio::try_join!(unrest::make(&mut cluster, options, &progress), customers::play(&counter, options.customers))?;
    let load = began.elapsed();
    tally.unready.extend(cluster.ready().await?);
    let mut ledger = if options.other_program.is_some() { Ledger::of_versions() } else { Ledger::default() };
    let api = cluster.processes[API].address("http")?;
    let outside = Around { sc: &cluster.sc, partitions: options.partitions, patience: options.pace.patience, api: &api, provider: &provider, sent: &sent };
    let verdicts = outside.settle(&mut ledger).await?;
    let took = (load, began.elapsed() - load);
    let mut figures = vec![
        ("sendings", progress.sendings.load(Ordering::Relaxed)),
        ("of them without an answer", progress.doubtful.load(Ordering::Relaxed)),
        ("requests to the provider", provider.requests()),
        ("movements of money", provider.movements().len() as u64),
        ("kills while starting", tally.while_restoring as u64),
    ];
    if options.other_program.is_some() {
        figures.push(("starts by the other version", cluster.processes.iter().map(Process::starts_of_other).sum()));
    }
    figures.extend(ledger.figures());
    let panics = panics(cluster.processes.iter());
    Ok(Report { seed: options.seed, kills: tally.kills, pauses: tally.pauses, took, figures, verdicts, panics, unready: tally.unready })
}

/// What is around the processes, by which a ledger judges them.
pub(crate) struct Around<'a> {
    pub(crate) sc: &'a str,
    pub(crate) partitions: u32,
    /// How long nothing may happen while something does not fit.
    pub(crate) patience: Duration,
    /// Where views are served.
    pub(crate) api: &'a str,
    pub(crate) provider: &'a Provider,
    pub(crate) sent: &'a SentLog,
}

impl Around<'_> {
    /// Waits until everything fits, or nothing happens any more.
    pub(crate) async fn settle(&self, ledger: &mut Ledger) -> Result<Verdicts, Error> {
        let mut quiet_since = Instant::now();
        loop {
            if reader::read(self.sc, self.partitions, ledger).await? > 0 {
                quiet_since = Instant::now();
            }
            let (quiet, is_settled) = (quiet_since.elapsed(), ledger.is_settled());
            if (quiet > QUIET && is_settled) || quiet > self.patience {
                let verdicts = self.judge(ledger).await?;
                if verdicts.exceptions() == 0 || quiet > self.patience {
                    return Ok(verdicts);
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Compares what the ledger has read with everything else.
    pub(crate) async fn judge(&self, ledger: &Ledger) -> Result<Verdicts, Error> {
        let client = reqwest::Client::builder().no_proxy().timeout(limits::ANSWER_LIMIT).build().doing(|| "no HTTP client".to_owned())?;
        let (orders, notifications) = (views::all(&client, self.api, "orders").await?, views::all(&client, self.api, "notifications").await?);
        Ok(ledger.judge(&Outside { sent: self.sent.all(), movements: self.provider.movements(), orders, notifications }))
    }
}

/// Returns the lines of logs that tell of a panic.
pub(crate) fn panics<'a>(processes: impl Iterator<Item = &'a Process>) -> Vec<String> {
    let logs = processes.filter_map(|process| fs::read_to_string(process.log_file()).ok().map(|log| (process.name, log)));
    let lines = logs.flat_map(|(name, log)| log.lines().filter(|line| line.contains("panicked at")).map(|line| format!("{name}: {line}")).collect::<Vec<_>>());
    lines.collect()
}
