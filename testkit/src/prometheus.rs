//! A Prometheus server for the length of a test.

use std::{
    fs,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    limits::{PORTS_TRIED_MAX, START_POLL_INTERVAL, START_TIMEOUT},
    process::{Watchdog, end, free_port, tail, with_sources},
    tools::{self, ToolError},
};

/// What Prometheus logs once it answers queries.
const READY: &str = "Server is ready to receive web requests";
const PORT_TAKEN: &str = "address already in use";

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// There is no Prometheus to start.
    #[error("no Prometheus to start")]
    Tool(#[from] ToolError),
    /// A file, port or process could not be had.
    #[error("cannot {action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// The operating system's word.
        source: io::Error,
    },
    /// The server ended while it was starting.
    #[error("Prometheus ended with {status} while it was starting; its log ends: {log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server does not answer.
    #[error("Prometheus is not ready after {START_TIMEOUT:?}; its log ends: {log}")]
    NotReady {
        /// The end of its log.
        log: String,
    },
}

/// A running Prometheus that scrapes its targets and evaluates its rules every second. It is killed, and its data removed, when this is dropped or when the test process dies.
#[derive(Debug)]
pub struct Prometheus {
    // Before the directory: fields drop in this order, and the data go after the process that writes them.
    _process: Process,
    directory: TempDir,
    port: u16,
    /// Labels of whatever it scrapes, as JSON.
    labels: String,
}

impl Prometheus {
    /// Returns a server that scrapes `targets` (`HOST:PORT`) as the job `orderflow` and evaluates the rules of these files. Blocks until it is ready, and for a download when the
    /// pinned one is used for the first time.
    ///
    /// # Panics
    /// If there is none to be had: a test that needs one must fail.
    #[track_caller]
    pub fn start(targets: &[String], rules: &[PathBuf]) -> Self {
        match Self::try_start(targets, rules) {
            Ok(prometheus) => prometheus,
            Err(error) => panic!("{}", with_sources(&error)),
        }
    }

    /// Returns a new server, as [`start`](Self::start) does.
    ///
    /// # Errors
    /// [`PrometheusError`] if it cannot be started.
    pub fn try_start(targets: &[String], rules: &[PathBuf]) -> Result<Self, PrometheusError> {
        Self::try_start_labelled(targets, &[], rules)
    }

    /// Returns a new server that puts these labels on whatever it scrapes, as a ServiceMonitor does with the namespace.
    ///
    /// # Errors
    /// [`PrometheusError`] if it cannot be started.
    pub fn try_start_labelled(targets: &[String], labels: &[(&str, &str)], rules: &[PathBuf]) -> Result<Self, PrometheusError> {
        let labels = labels.iter().map(|(name, value)| format!("{name:?}: {value:?}")).collect::<Vec<_>>().join(", ");
        let program = tools::prometheus()?.server;
        let directory = tempfile::Builder::new().prefix("orderflow-prometheus-").tempdir().map_err(failed("create a directory for Prometheus"))?;
        fs::write(directory.path().join("prometheus.yml"), configuration(rules)).map_err(failed("write the settings of Prometheus"))?;
        write_targets(directory.path(), targets, &labels)?;
        let mut ports_left = PORTS_TRIED_MAX;
        loop {
            let port = free_port().map_err(failed("find a free port for Prometheus"))?;
            ports_left -= 1;
            match Process::start(&program, directory.path(), port) {
                Ok(process) => return Ok(Self { _process: process, directory, port, labels }),
                Err(PrometheusError::Ended { log, .. }) if ports_left > 0 && log.contains(PORT_TAKEN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where its HTTP API is.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Scrapes these targets from now on, and no others. It takes notice within a second or so.
    ///
    /// # Errors
    /// [`PrometheusError::System`] if the list cannot be written.
    pub fn set_targets(&self, targets: &[String]) -> Result<(), PrometheusError> {
        write_targets(self.directory.path(), targets, &self.labels)
    }
}

fn configuration(rules: &[PathBuf]) -> String {
    let rules: String = rules.iter().map(|path| format!("  - {path:?}\n")).collect();
    let rules = if rules.is_empty() { String::new() } else { format!("rule_files:\n{rules}") };
    let scraping = "scrape_configs:\n  - job_name: orderflow\n    file_sd_configs:\n      - files: [targets.json]\n        refresh_interval: 1s\n";
    format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\n{rules}{scraping}")
}

/// Whole or not at all: Prometheus reads it whenever it changes.
fn write_targets(directory: &Path, targets: &[String], labels: &str) -> Result<(), PrometheusError> {
    let targets: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    let new = directory.join("targets.new");
    fs::write(&new, format!("[{{\"targets\": [{}], \"labels\": {{{labels}}}}}]", targets.join(", "))).map_err(failed("write the targets of Prometheus"))?;
    fs::rename(&new, directory.join("targets.json")).map_err(failed("put the targets of Prometheus in place"))
}

/// A running server, killed when dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    watchdog: Watchdog,
}

impl Process {
    fn start(program: &Path, directory: &Path, port: u16) -> Result<Self, PrometheusError> {
        let log_path = directory.join("prometheus.log");
        let log = File::create(&log_path).map_err(failed("create the log of Prometheus"))?;
        let log_too = log.try_clone().map_err(failed("share the log of Prometheus"))?;
        let child = Command::new(program)
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={}:{port}", Ipv4Addr::LOCALHOST))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .map_err(failed("start Prometheus"))?;
        let mut process = match Watchdog::over(&child, directory) {
            Ok(watchdog) => Self { child, watchdog },
            Err(error) => {
                end(child);
                return Err(failed("start the watchdog of Prometheus")(error));
            }
        };
        process.wait_until_ready(&log_path)?;
        Ok(process)
    }

    fn wait_until_ready(&mut self, log_path: &Path) -> Result<(), PrometheusError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            // Its end is looked for before its log is read, so that the log of an ended server is complete.
            let ended = self.child.try_wait().map_err(failed("watch Prometheus"))?;
            let log = fs::read(log_path).map_err(failed("read the log of Prometheus"))?;
            let log = String::from_utf8_lossy(&log);
            if let Some(status) = ended {
                return Err(PrometheusError::Ended { status, log: tail(&log) });
            }
            if log.contains(READY) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(PrometheusError::NotReady { log: tail(&log) });
            }
            thread::sleep(START_POLL_INTERVAL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.watchdog.dismiss();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> PrometheusError {
    move |source| PrometheusError::System { action, source }
}
