//! One of three instances is away for a while: stopped, cut off, or behind a network that hardly works. It is replaced, comes back, and harms nothing.
//!
//! The work is done by `orderflow-chaos`; this gives it the release binary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use orderflow_chaos::absence::{Options, Trouble};
use orderflow_chaos::{Pace, Scene};
use orderflow_testkit::tools::{DebianPackage, directory};

const FAKETIME: DebianPackage = DebianPackage {
    name: "libfaketime",
    version: "0.9.10-2.1",
    sha256: "b09481e7690680966005330c3f907bba4b5eefc35e1faaea4783cc55655d1150",
    instead: "leave out --trouble clock-ahead and clock-behind",
};

/// How the runs are made.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What happens; one run for each
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Stopped, Kind::Cut, Kind::HalfOpen, Kind::Slow, Kind::Resets])]
    trouble: Vec<Kind>,
    /// For how long, at least, in seconds
    #[arg(long, default_value_t = 60)]
    away_seconds: u64,
    /// Orders per second
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// What customers do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this program instead of the release binary, which is built
    #[arg(long)]
    program: Option<PathBuf>,
    /// Keep topics, books and logs below this directory
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Why an instance is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// SIGSTOP.
    Stopped,
    /// Its connections to the broker are reset, and new ones refused.
    Cut,
    /// Its connections stay and carry nothing; what it has sent arrives later.
    HalfOpen,
    /// All that it sends and gets takes 150 ms longer.
    Slow,
    /// Its connections are reset every 700 ms.
    Resets,
    /// The cable of its network namespace is pulled; needs root and `ip`.
    Unplugged,
    /// Its wall clock jumps 5 s ahead, and back.
    ClockAhead,
    /// Its wall clock jumps 5 s back, and ahead again.
    ClockBehind,
}

/// Makes the runs and prints their reports.
///
/// # Errors
/// If one cannot be made to its end, or something does not hold.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir().context("cannot create a directory")?;
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let program = crate::release::binary_or(arguments.program.as_deref(), root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let mut is_clean = true;
    for kind in &arguments.trouble {
        let trouble = match kind {
            Kind::Stopped => Trouble::Stopped,
            Kind::Cut => Trouble::Cut,
            Kind::HalfOpen => Trouble::HalfOpen,
            Kind::Slow => Trouble::Slow(Duration::from_millis(150)),
            Kind::Resets => Trouble::Resets(Duration::from_millis(700)),
            Kind::Unplugged => Trouble::Unplugged,
            Kind::ClockAhead => Trouble::Clock(5, faketime()?),
            Kind::ClockBehind => Trouble::Clock(-5, faketime()?),
        };
        let pace = Pace { patience: Pace::long().patience, ..Pace::short() };
        let scene = Scene { pace, ..Scene::short(program.clone(), directory.join(format!("{kind:?}").to_lowercase()), arguments.seed) };
        let options = Options { scene, rate: arguments.rate, instances: 3, standbys: 1, trouble, away: Duration::from_secs(arguments.away_seconds) };
        let report = runtime.block_on(orderflow_chaos::absence::run(&options))?;
        println!("{report}");
        is_clean &= report.is_clean();
    }
    ensure!(is_clean, "something does not hold");
    Ok(())
}

/// Brings Debian's libfaketime and returns the path of the library.
fn faketime() -> anyhow::Result<PathBuf> {
    Ok(FAKETIME.unpacked(&directory())?.join("usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"))
}
