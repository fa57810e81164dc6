//! A real `orderflow` process: started, killed, stopped, started again on what it left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::error::{Doing as _, Error};
use crate::limits::{POLL, READY_LIMIT, START_LIMIT, STOP_LIMIT};
use crate::programs::Programs;

/// A process, or what is left of it.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    programs: Programs,
    /// What comes before the program, to run it somewhere else.
    prefix: Vec<String>,
    directory: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    addresses: Value,
    http: reqwest::Client,
    starts: u32,
}

impl Process {
    /// Describes a process that runs below `directory` with these arguments.
    pub(crate) fn new(name: &'static str, program: &Path, directory: &Path, arguments: Vec<String>) -> Result<Self, Error> {
        let directory = directory.join(name);
        fs::create_dir_all(&directory).doing(|| format!("cannot create `{}`", directory.display()))?;
        let http = reqwest::Client::builder().no_proxy().timeout(START_LIMIT).build().doing(|| "no HTTP client".to_owned())?;
        Ok(Self { name, programs: Programs::only(program), prefix: Vec::new(), directory, arguments, child: None, addresses: Value::Null, http, starts: 0 })
    }

    /// Has it started now by its own program, now by another version of it.
    pub(crate) fn or_by(self, other: Option<&Path>, seed: u64) -> Self {
        Self { programs: self.programs.or(other, seed, self.name), ..self }
    }

    /// Returns how often it was started by the other version.
    pub(crate) fn starts_of_other(&self) -> u64 {
        self.programs.starts_of_other()
    }

    /// Has it started by another program, which becomes it.
    pub(crate) fn within(self, prefix: Vec<String>) -> Self {
        Self { prefix, ..self }
    }

    /// Starts it, and waits until it says where it can be reached.
    pub(crate) async fn start(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            self.spawn()?;
            while began.elapsed() < START_LIMIT {
                if let Some(addresses) = fs::read(self.addresses_file()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                    self.addresses = addresses;
                    return Ok(());
                }
                if self.has_ended()? {
                    break;
                }
                sleep(POLL).await;
            }
            // Its port may be in use for the moment.
            if began.elapsed() >= START_LIMIT {
                return Err(Error::new(format!("`{}` does not start; see `{}`", self.name, self.log_file().display())));
            }
            sleep(POLL * 10).await;
        }
    }

    /// Starts it and kills it so long after, whether or not it got anywhere.
    pub(crate) async fn start_in_vain(&mut self, lives: Duration) -> Result<(), Error> {
        self.spawn()?;
        sleep(lives).await;
        match &mut self.child {
            Some(child) => child.kill().await.doing(|| format!("`{}` cannot be killed", self.name)),
            None => Ok(()),
        }
    }

    fn spawn(&mut self) -> Result<(), Error> {
        let _ = fs::remove_file(self.addresses_file());
        let log = File::options().create(true).append(true).open(self.log_file()).doing(|| format!("cannot write `{}`", self.log_file().display()))?;
        let program = self.programs.next().to_owned();
        let mut command = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        command.arg("up").arg("--data-dir").arg(self.directory.join("data")).arg("--addresses-file").arg(self.addresses_file());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ORDERFLOW_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        self.child = Some(command.spawn().doing(|| format!("`{}` cannot be started", program.display()))?);
        self.starts += 1;
        Ok(())
    }

    fn addresses_file(&self) -> PathBuf {
        self.directory.join("addresses.json")
    }

    /// Returns where it writes what it has to say.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Returns one of its addresses.
    pub(crate) fn address(&self, name: &str) -> Result<String, Error> {
        self.addresses[name].as_str().map(str::to_owned).ok_or_else(|| Error::new(format!("`{}` did not say its {name} address", self.name)))
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool, Error> {
        let Some(child) = &mut self.child else { return Ok(true) };
        Ok(child.try_wait().doing(|| format!("the state of `{}` is unknown", self.name))?.is_some())
    }

    /// Returns why it is not ready now; none if it is.
    async fn missing(&self) -> Option<String> {
        let address = match self.address("http") {
            Ok(address) => address,
            Err(error) => return Some(error.to_string()),
        };
        match self.http.get(format!("http://{address}/health/ready")).send().await {
            Ok(answer) if answer.status() == 200 => None,
            Ok(answer) => Some(answer.text().await.unwrap_or_default()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Waits until it is ready; returns what is missing if it does not become so.
    pub(crate) async fn ready(&mut self) -> Result<Option<String>, Error> {
        let began = Instant::now();
        while let Some(missing) = self.missing().await {
            if self.has_ended()? {
                return Err(Error::new(format!("`{}` has ended by itself; see `{}`", self.name, self.log_file().display())));
            }
            if began.elapsed() > READY_LIMIT {
                return Ok(Some(format!("`{}` is not ready after {READY_LIMIT:?}: {missing}", self.name)));
            }
            sleep(POLL).await;
        }
        Ok(None)
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) -> Result<(), Error> {
        if self.has_ended()? {
            return Err(Error::new(format!("`{}` had ended by itself before it could be killed; see `{}`", self.name, self.log_file().display())));
        }
        match &mut self.child {
            Some(child) => child.kill().await.doing(|| format!("`{}` cannot be killed", self.name)),
            None => Ok(()),
        }
    }

    /// Tells it to stop, as Ctrl-C and Kubernetes do, and returns how long it took to.
    pub(crate) async fn terminate(&mut self) -> Result<Duration, Error> {
        let began = Instant::now();
        self.signal(Signal::TERM)?;
        let Some(child) = &mut self.child else { return Ok(Duration::ZERO) };
        let ended = timeout(STOP_LIMIT, child.wait()).await.doing(|| format!("`{}` does not stop within {STOP_LIMIT:?}", self.name))?;
        let status = ended.doing(|| format!("the end of `{}` is unknown", self.name))?;
        if !status.success() {
            return Err(Error::new(format!("`{}` did not stop in order: {status}; see `{}`", self.name, self.log_file().display())));
        }
        Ok(began.elapsed())
    }

    /// Returns its id, if it runs.
    pub(crate) fn id(&self) -> Result<Pid, Error> {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.ok_or_else(|| Error::new(format!("`{}` does not run", self.name)))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill_process(self.id()?, signal).doing(|| format!("`{}` cannot be signalled", self.name))
    }
}
