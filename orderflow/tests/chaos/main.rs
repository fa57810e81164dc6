//! Every effect once, whatever is killed: the short version of `cargo xtask chaos`.
//!
//! Real processes, their roles split among five, one of them the broker; all are killed at some time, and one hangs while another takes its work over. What must have become of every command,
//! charge and document says a ledger that shares no code with what is tried (`orderflow-chaos`).

use std::path::PathBuf;
use std::time::Duration;

use orderflow_chaos::{Options, Pace, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_happens_once_whoever_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_orderflow")),
        directory: directory.path().to_owned(),
        orders: 600,
        kills: 8,
        pauses: 1,
        pause: Duration::from_secs(3),
        seed: 20,
        partitions: 2,
        customers: 16,
        mongodb: None,
        pace: Pace::short(),
        is_told: true,
    };
    let report = match run(&options).await {
        Ok(report) => report,
        Err(error) => panic!("the run came to no end, it is kept in {}: {error} ({error:?})", directory.keep().display()),
    };
    println!("{report}");
    assert!(report.kills() >= 8 && report.kills.contains_key("broker"), "everybody is killed: {:?}", report.kills);
    assert!(report.is_clean(), "what was found is kept in {}", directory.keep().display());
}
