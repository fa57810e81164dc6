//! A release, and replicas that are killed, while requests come in: short versions of `cargo xtask release-test`.

use std::path::PathBuf;
use std::time::Duration;

use orderflow_chaos::Scene;
use orderflow_chaos::release::{Disturbance, Options, Report, run};
use orderflow_testkit::Mongod;

async fn disturbed(disturbance: Disturbance, replicas: [usize; 3]) -> Report {
    let directory = tempfile::tempdir().expect("a directory");
    let mongod = tokio::task::spawn_blocking(Mongod::start_owned).await.expect("a server");
    let scene = Scene::short(PathBuf::from(env!("CARGO_BIN_EXE_orderflow")), directory.path().to_owned(), 7);
    let scene = Scene { partitions: 2, mongodb: Some(mongod.uri().to_owned()), ..scene };
    let report = match run(&Options { scene, rate: 10, replicas, drain: Duration::from_millis(2_500), disturbance }).await {
        Ok(report) => report,
        Err(error) => panic!("the run came to no end, it is kept in {}: {error} ({error:?})", directory.keep().display()),
    };
    println!("{report}");
    assert!(report.requests() > 40, "{report}");
    assert!(report.is_clean(), "what was found is kept in {}", directory.keep().display());
    report
}

/// Goal: while every replica is replaced, not one request fails, and none is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_during_a_release() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_orderflow"));
    let report = disturbed(Disturbance::Replaced(program), [2, 1, 2]).await;
    assert_eq!((report.disturbed, report.answers.failed, report.answers.retried), (5, 0, 0), "{report}");
}

/// Goal: whoever tries again under the same id gets an answer from another replica when one is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_for_good_while_replicas_are_killed() {
    let report = disturbed(Disturbance::Killed(Duration::from_secs(2), 3), [2, 1, 2]).await;
    assert_eq!((report.disturbed, report.answers.failed), (3, 0), "{report}");
}
