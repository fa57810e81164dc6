//! The process under test: this same program as a child, on free ports and in a directory of its own.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{Arguments, READY_LIMIT, Target, seconds};
use crate::cli::client::{Api, run_id};

const POLL: Duration = Duration::from_millis(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running child.
pub(super) struct Subject {
    pub(super) target: Target,
    /// Where its metrics are, `HOST:PORT`.
    pub(super) metrics: String,
    child: Child,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Subject {
    /// Starts a child and waits until it says where it can be reached.
    pub(super) async fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("orderflow-bench-").context("cannot create a temporary directory")?;
        let mut child_arguments = vec!["up".to_owned(), "--payment-profile=instant".to_owned()];
        child_arguments.push(format!("--durability={}", arguments.durability));
        child_arguments.push(format!("--partitions={}", arguments.partitions));
        child_arguments.extend(["sc", "spu", "http", "metrics"].map(|port| format!("--{port}-addr=127.0.0.1:0")));
        let (child, target, metrics) = spawn(&directory, &child_arguments).await?;
        Ok(Self { target, metrics, child, directory, arguments: child_arguments })
    }

    /// Starts the child again on what it left behind; returns the time until it was ready.
    pub(super) async fn restart(self) -> anyhow::Result<(Self, Duration)> {
        let Self { mut child, directory, arguments, .. } = self;
        stop(&mut child).await?;
        let started = Instant::now();
        let (child, target, metrics) = spawn(&directory, &arguments).await?;
        target.api.wait_ready(READY_LIMIT).await?;
        Ok((Self { target, metrics, child, directory, arguments }, started.elapsed()))
    }

    /// Like [`Subject::restart`], with these directories deleted meanwhile.
    pub(super) async fn restart_without(mut self, caches: &[&str]) -> anyhow::Result<(Self, Duration)> {
        stop(&mut self.child).await?;
        for cache in caches {
            let path = self.directory.path().join("data").join("embedded").join(cache);
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
        self.restart().await
    }

    /// Returns the memory of the child in MB.
    pub(super) fn memory(&self) -> anyhow::Result<Value> {
        let pid = self.child.id().context("the process under test has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("memory is only known on Linux")?;
        let megabytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
            kibibytes.map(|kibibytes| (kibibytes * 1.024 / 100.0).round() / 10.0)
        };
        Ok(json!({ "residentMegabytes": megabytes("VmRSS"), "residentMegabytesMax": megabytes("VmHWM") }))
    }

    /// Stops the child.
    pub(super) async fn stop(mut self) -> anyhow::Result<f64> {
        Ok(seconds(stop(&mut self.child).await?))
    }
}

async fn spawn(directory: &TempDir, arguments: &[String]) -> anyhow::Result<(Child, Target, String)> {
    let addresses = directory.path().join("addresses.json");
    let _ = fs::remove_file(&addresses);
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .arg("--addresses-file")
        .arg(&addresses)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the process under test")?;
    let deadline = Instant::now() + READY_LIMIT;
    let addresses: Value = loop {
        if let Ok(bytes) = fs::read(&addresses) {
            break serde_json::from_slice(&bytes).context("the process under test wrote no addresses")?;
        }
        if let Some(status) = child.try_wait()? {
            bail!("the process under test ended with {status}");
        }
        if Instant::now() > deadline {
            bail!("the process under test said nothing for {} s", READY_LIMIT.as_secs());
        }
        sleep(POLL).await;
    };
    let text = |name: &str| addresses[name].as_str().with_context(|| format!("the process under test did not say its address `{name}`"));
    let target = Target { sc: text("sc")?.to_owned(), api: Api::new(text("http")?)?, run: run_id() };
    Ok((child, target, text("metrics")?.to_owned()))
}

async fn stop(child: &mut Child) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let Some(pid) = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) else { return Ok(Duration::ZERO) };
    kill_process(pid, Signal::TERM).context("cannot stop the process under test")?;
    timeout(STOP_LIMIT, child.wait()).await.context("the process under test does not stop")??;
    Ok(started.elapsed())
}
