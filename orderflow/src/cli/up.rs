//! `orderflow up`: starts an instance and runs it until Ctrl-C or SIGTERM.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, Settings, Storage};
use crate::instance::{Addresses, Instance};
use crate::limits::{RESTORE_SHOWN_AFTER, RESTORE_SHOWN_EVERY};
use crate::roles::{Role, Roles};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// TOML file with settings: the flags' names without dashes before them, for example `partitions = 8`
    #[arg(long, env = "ORDERFLOW_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the addresses to this file as JSON once they are known
    #[arg(long, env = "ORDERFLOW_ADDRESSES_FILE", value_name = "FILE")]
    addresses_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.settings.or_file(arguments.config.as_deref())?;
    super::log_to_stderr(settings.log.as_deref())?;
    let config = settings.resolve()?;
    super::tokio_runtime()?.block_on(serve(config, arguments.addresses_file.as_deref()))
}

async fn serve(config: Config, addresses_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    // From here on a signal is ours: one that comes while everything starts must not leave half of it behind.
    let mut signals = Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let shown = config.clone();
    let mut instance = tokio::select! {
        started = Instance::start(config) => started?,
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(path) = addresses_file {
        write_addresses(path, instance.addresses()).with_context(|| format!("--addresses-file: cannot write `{}`", path.display()))?;
    }
    print_welcome(&shown, instance.addresses());
    let signal = tokio::select! {
        running = instance.wait_running() => {
            if let Err(refused) = running {
                instance.stop().await;
                return Err(refused);
            }
            say("ready\n");
            signals.next().await
        }
        signal = signals.next() => signal,
        () = show_restoring(&instance) => signals.next().await,
    };
    say(&format!("stopping after {signal}\n"));
    tokio::select! {
        () = instance.drain() => {}
        _ = signals.next() => {}
    }
    instance.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Shows on a terminal how far restoring is, if it takes so long that somebody wonders. Never returns.
async fn show_restoring(instance: &Instance) {
    if std::io::stderr().is_terminal() {
        tokio::time::sleep(RESTORE_SHOWN_AFTER).await;
        let style =
            ProgressStyle::with_template("restoring {bar:30} {human_pos}/{human_len} records, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = Cleared(ProgressBar::new(0).with_style(style));
        loop {
            let (read, total) = instance.restored();
            bar.0.set_length(total);
            bar.0.set_position(read);
            tokio::time::sleep(RESTORE_SHOWN_EVERY).await;
        }
    }
    std::future::pending::<()>().await;
}

/// A bar that leaves nothing behind, also if nobody waits for it any more.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What tells a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Waits for the next one and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// The file is there whole, or not at all: who waits for it may read it as soon as it is there.
fn write_addresses(path: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, serde_json::to_vec_pretty(addresses)?)?;
    Ok(std::fs::rename(&new, path)?)
}

fn print_welcome(config: &Config, addresses: &Addresses) {
    let Addresses { sc, spu, http, metrics } = addresses;
    let roles = &config.roles;
    let broker = match spu {
        Some(spu) => format!("Fluvio broker  {sc} (SC), {spu} (SPU), embedded"),
        None => format!("Fluvio cluster {sc}"),
    };
    let data = match &config.storage {
        Storage::Directory(directory) => directory.display().to_string(),
        Storage::Ephemeral => "temporary, removed at the end".to_owned(),
    };
    let views = match (&config.mongodb, roles.has(Role::Views) || roles.has(Role::Api)) {
        (_, false) => "elsewhere",
        (Some(_), true) => "MongoDB",
        (None, true) => "embedded",
    };
    let http_shown = if roles.has(Role::Api) { format!("HTTP API       http://{http}") } else { format!("health         http://{http}/health/ready") };
    let roles_shown = if *roles == Roles::default() { String::new() } else { format!("\n  roles          {}", roles.names().collect::<Vec<_>>().join(", ")) };
    say(&format!(
        "orderflow {version}

  {broker}
  {http_shown}
  metrics        http://{metrics}/metrics
  data           {data}; views: {views}{roles_shown}
{hints}
Ctrl-C stops; the next start continues where it was.

",
        version = crate::VERSION,
        hints = if roles.has(Role::Api) { first_order(sc, http) } else { String::new() },
    ));
}

/// Returns lines to paste.
fn first_order(sc: &str, http: &SocketAddr) -> String {
    let order = r#"o-1:{"type":"PlaceOrder","orderId":"o-1","item":"chicken","quantity":1,"address":"Seoul","price":18000}"#;
    format!(
        "
Place an order, and look at it:

  echo '{order}' | fluvio -c {sc} produce food-delivery-commands --key-separator ':'
  curl http://{http}/food-delivery/orders/o-1

The same over HTTP, and what happened, as events:

  curl -i -X POST http://{http}/food-delivery/orders -H 'content-type: application/json' -d '{{\"item\":\"chicken\"}}'
  fluvio -c {sc} consume food-delivery-orders-events -B -d
"
    )
}

/// Prints to stdout. That nobody reads it any more is no reason to end.
fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
