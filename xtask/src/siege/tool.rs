//! The real `siege`: where it comes from, how it is called, what it says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use orderflow_testkit::tools::{DebianPackage, directory, on_path};

const SIEGE: DebianPackage = DebianPackage {
    name: "siege",
    version: "4.0.7-1+b1",
    sha256: "c45ee14b0cf5c16983d3ecf854a02788821d98cda196b49c9d8538de861aa667",
    instead: "put siege 4 on PATH instead",
};

/// What siege is told to do.
pub(super) struct Load {
    pub(super) url: String,
    pub(super) body: &'static str,
    pub(super) clients: u32,
    pub(super) seconds: u64,
}

/// An answer as siege saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) time: Duration,
}

/// Returns the path of siege: the one on `PATH`, else the pinned one, unpacked at the first call.
pub(super) fn siege() -> anyhow::Result<PathBuf> {
    match on_path("siege") {
        Some(program) => Ok(program),
        None => Ok(SIEGE.unpacked(&directory())?.join("usr/bin/siege")),
    }
}

/// Runs siege and returns every answer. What got no answer has status 0.
pub(super) async fn besiege(siege: &Path, load: &Load) -> anyhow::Result<Vec<Answer>> {
    let home = tempfile::tempdir().context("cannot create a directory")?;
    // Without a limit of its own siege gives up after so many failures; each answer is printed, and we count.
    let settings = "verbose = true\ncolor = off\nquiet = false\njson_output = false\nshow-logfile = false\nlogging = false\nfailures = 1000000\nlimit = 1000\nprotocol = HTTP/1.1\nconnection = keep-alive\ntimeout = 30\nbenchmark = true\n";
    let configuration = home.path().join("siege.conf");
    fs::write(&configuration, settings).context("cannot write siege's settings")?;
    let mut command = tokio::process::Command::new(siege);
    command.env("HOME", home.path()).arg(format!("--rc={}", configuration.display()));
    command.arg(format!("-c{}", load.clients)).arg(format!("-t{}S", load.seconds)).arg("--content-type=application/json");
    command.arg(format!("{} POST {}", load.url, load.body));
    let output = command.stdin(Stdio::null()).output().await.context("siege cannot be started")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let answers: Vec<Answer> = text.lines().filter_map(answer).collect();
    if answers.is_empty() {
        bail!("siege said nothing that can be read: {}", text.lines().take(20).collect::<Vec<_>>().join("\n"));
    }
    Ok(answers)
}

/// Reads a line such as `HTTP/1.1 201     0.51 secs:     270 bytes ==> POST http://...`.
fn answer(line: &str) -> Option<Answer> {
    let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("HTTP/"));
    let (_, status, seconds, unit) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !unit.starts_with("secs") {
        return None;
    }
    Some(Answer { status: status.parse().ok()?, time: Duration::from_secs_f64(seconds.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_siege_is_an_answer() {
        let read = answer("HTTP/1.1 202     0.62 secs:     301 bytes ==> POST http://x/food-delivery/orders").expect("it is one");
        assert_eq!((read.status, read.time), (202, Duration::from_millis(620)));
        assert!(answer("Lifting the server siege...").is_none());
        assert!(answer("Transactions:		       11034 hits").is_none());
    }
}
