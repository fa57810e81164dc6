//! What the servers share: ports, the ends of logs, and an end for those whose test process dies first.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::limits::LOG_QUOTE_BYTES_MAX;

/// Kills the server and removes its data if the test process dies without dropping it (killed, aborted, or
/// left through `exit`): a shell that waits for the other end of its standard input to go away.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    alive: Option<ChildStdin>,
}

impl Watchdog {
    pub(crate) fn over(server: &Child, directory: &Path) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", r#"read -r dismissed && exit; kill -9 "$1"; rm -rf "$2""#, "watchdog"])
            .arg(server.id().to_string())
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let alive = child.stdin.take();
        Ok(Self { child, alive })
    }

    /// Ends the watch. Comes before the server is reaped: from then on its process id may be another's.
    pub(crate) fn dismiss(&mut self) {
        if let Some(mut alive) = self.alive.take() {
            let _ = io::Write::write_all(&mut alive, b"dismissed\n");
        }
        let _ = self.child.wait();
    }
}

/// Kills a process and waits for its end.
pub(crate) fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns a port that nobody uses at the moment.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The end of a log, cut to what an error can show.
pub(crate) fn tail(log: &str) -> String {
    let start = log.len().saturating_sub(LOG_QUOTE_BYTES_MAX);
    let start = (start..=log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
    log[start..].trim().to_owned()
}

/// Returns an error and what caused it, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
