//! A MongoDB server for the length of a test.

use std::{
    env, fs,
    fs::File,
    hash::{BuildHasher, RandomState},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Instant, SystemTime},
};

use tempfile::TempDir;

use crate::{
    limits::{PORTS_TRIED_MAX, START_POLL_INTERVAL, START_TIMEOUT},
    process::{Watchdog, end, free_port, tail, with_sources},
    tools::{self, ToolError},
};

/// What `mongod` logs once it accepts connections.
const READY: &str = "\"Waiting for connections\"";
const PORT_TAKEN: &str = "Address already in use";

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum MongodError {
    /// There is no `mongod` to start.
    #[error("no mongod to start")]
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
    #[error("mongod ended with {status} while it was starting; its log ends: {log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The server does not accept connections.
    #[error("mongod does not accept connections after {START_TIMEOUT:?}; its log ends: {log}")]
    NotReady {
        /// The end of its log.
        log: String,
    },
    /// The server is not this test's to stop or start.
    #[error("the server named by MONGODB_URI is not ours to {0}: use `Mongod::start_owned`")]
    NotOurs(&'static str),
}

/// A running MongoDB server and a database name of its own. A server that was started here is killed, and its data
/// removed, when this is dropped or when the test process dies.
#[derive(Debug)]
pub struct Mongod {
    uri: String,
    database: String,
    server: Option<Server>,
}

impl Mongod {
    /// Returns a server that accepts connections: the one that `MONGODB_URI` names, else a new one. Blocks for about a
    /// second, and for a download when the pinned `mongod` is used for the first time.
    ///
    /// # Panics
    /// If there is no server to be had: a test that needs one must fail.
    #[track_caller]
    pub fn start() -> Self {
        match env::var("MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => Self { uri, database: fresh_database(), server: None },
            _ => Self::start_owned(),
        }
    }

    /// Returns a new server even if `MONGODB_URI` names one, for tests that [`kill`](Self::kill) it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_owned() -> Self {
        match Self::try_start_owned() {
            Ok(mongod) => mongod,
            Err(error) => panic!("{}", with_sources(&error)),
        }
    }

    /// Returns a new server, as [`start_owned`](Self::start_owned) does.
    ///
    /// # Errors
    /// [`MongodError`] if it cannot be started.
    pub fn try_start_owned() -> Result<Self, MongodError> {
        let server = Server::start(tools::mongod()?)?;
        let uri = format!("mongodb://{}:{}/?directConnection=true", Ipv4Addr::LOCALHOST, server.port);
        Ok(Self { uri, database: fresh_database(), server: Some(server) })
    }

    /// The connection string. It names no database, and stays the same over [`restart`](Self::restart).
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// A database name that no other test uses, also on a shared server.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Kills the server as `kill -9` does. Does nothing if it is not running.
    ///
    /// # Errors
    /// [`MongodError::NotOurs`] if `MONGODB_URI` named the server.
    pub fn kill(&mut self) -> Result<(), MongodError> {
        let server = self.server.as_mut().ok_or(MongodError::NotOurs("kill"))?;
        server.process = None;
        Ok(())
    }

    /// Starts the server again, killing it first if it runs, on the same port and data. Returns when it accepts
    /// connections.
    ///
    /// # Errors
    /// [`MongodError::NotOurs`] if `MONGODB_URI` named the server, else why it does not start.
    pub fn restart(&mut self) -> Result<(), MongodError> {
        let server = self.server.as_mut().ok_or(MongodError::NotOurs("restart"))?;
        server.process = None;
        server.process = Some(Process::start(&server.program, server.directory.path(), server.port)?);
        Ok(())
    }
}

#[derive(Debug)]
struct Server {
    // Before the directory: fields drop in this order, and the data go after the process that writes them.
    process: Option<Process>,
    program: PathBuf,
    directory: TempDir,
    port: u16,
}

impl Server {
    fn start(program: PathBuf) -> Result<Self, MongodError> {
        let directory = tempfile::Builder::new().prefix("orderflow-mongod-").tempdir().map_err(failed("create a directory for mongod"))?;
        let mut ports_left = PORTS_TRIED_MAX;
        loop {
            let port = free_port().map_err(failed("find a free port for mongod"))?;
            ports_left -= 1;
            match Process::start(&program, directory.path(), port) {
                Ok(process) => return Ok(Self { process: Some(process), program, directory, port }),
                Err(MongodError::Ended { log, .. }) if ports_left > 0 && log.contains(PORT_TAKEN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A running `mongod`, killed when dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    watchdog: Watchdog,
}

impl Process {
    fn start(program: &Path, directory: &Path, port: u16) -> Result<Self, MongodError> {
        let data = directory.join("data");
        fs::create_dir_all(&data).map_err(failed("create the data directory of mongod"))?;
        let log_path = directory.join("mongod.log");
        let log = File::create(&log_path).map_err(failed("create the log of mongod"))?;
        let log_too = log.try_clone().map_err(failed("share the log of mongod"))?;
        let child = Command::new(program)
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false", "--port", &port.to_string()])
            .arg("--dbpath")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .map_err(failed("start mongod"))?;
        let watchdog = Watchdog::over(&child, directory);
        let mut process = match watchdog {
            Ok(watchdog) => Self { child, watchdog },
            Err(error) => {
                end(child);
                return Err(failed("start the watchdog of mongod")(error));
            }
        };
        process.wait_until_ready(&log_path)?;
        Ok(process)
    }

    fn wait_until_ready(&mut self, log_path: &Path) -> Result<(), MongodError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            // Its end is looked for before its log is read, so that the log of an ended server is complete.
            let ended = self.child.try_wait().map_err(failed("watch mongod"))?;
            let log = fs::read(log_path).map_err(failed("read the log of mongod"))?;
            let log = String::from_utf8_lossy(&log);
            if let Some(status) = ended {
                return Err(MongodError::Ended { status, log: tail(&log) });
            }
            if log.contains(READY) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(MongodError::NotReady { log: tail(&log) });
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

fn fresh_database() -> String {
    // Every `RandomState` has keys of its own, so that this differs also within one tick of the clock.
    let unique = RandomState::new().hash_one((std::process::id(), SystemTime::now()));
    format!("orderflow-test-{unique:016x}")
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> MongodError {
    move |source| MongodError::System { action, source }
}
