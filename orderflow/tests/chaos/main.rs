//! Every effect once, whatever is killed: the short version of `cargo xtask chaos`.
//!
//! Real processes, their roles split among six, one of them the broker; all are killed at some time, and one hangs while another takes its work over. What must have become of every command,
//! charge and document says a ledger that shares no code with what is tried (`orderflow-chaos`).

mod absence;
mod release;
mod scale;

use std::path::PathBuf;

use orderflow_chaos::{Options, run};

/// In this run everybody is killed.
const SEED: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_happens_once_whoever_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options::short(PathBuf::from(env!("CARGO_BIN_EXE_orderflow")), directory.path().to_owned(), SEED);
    let report = match run(&options).await {
        Ok(report) => report,
        Err(error) => panic!("the run came to no end, it is kept in {}: {error} ({error:?})", directory.keep().display()),
    };
    println!("{report}");
    assert!(report.kills() >= 8 && report.kills.contains_key("broker"), "everybody is killed: {:?}", report.kills);
    assert!(report.is_clean(), "what was found is kept in {}", directory.keep().display());
}
