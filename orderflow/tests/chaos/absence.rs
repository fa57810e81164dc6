//! An instance is away for a while and does not know it: short versions of `cargo xtask absence`.

use std::path::PathBuf;
use std::time::Duration;

use orderflow_chaos::Scene;
use orderflow_chaos::absence::{Options, Report, Trouble, run};

/// Longer than a session, so that the others notice.
const AWAY: Duration = Duration::from_secs(2);

async fn away(trouble: Trouble) -> Report {
    let directory = tempfile::tempdir().expect("a directory");
    let scene = Scene { partitions: 2, ..Scene::short(PathBuf::from(env!("CARGO_BIN_EXE_orderflow")), directory.path().to_owned(), 5) };
    let report = match run(&Options { scene, rate: 10, instances: 2, standbys: 1, trouble, away: AWAY }).await {
        Ok(report) => report,
        Err(error) => panic!("the run came to no end, it is kept in {}: {error} ({error:?})", directory.keep().display()),
    };
    println!("{report}");
    assert!(report.is_clean(), "what was found is kept in {}", directory.keep().display());
    report
}

/// Goal: an owner that was stopped in the midst of its work, replaced, and continued, has no effect on anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_stopped_and_goes_on_has_no_effect() {
    let report = away(Trouble::Stopped).await;
    assert!(report.was_replaced && report.awakening.is_some_and(|awakening| awakening.is_void()), "{report}");
}

/// Goal: what an owner has sent and what arrives only after it was replaced has no effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_off_owner_has_sent_arrives_too_late() {
    let report = away(Trouble::HalfOpen).await;
    assert!(report.was_replaced && report.awakening.is_some_and(|awakening| awakening.is_void()), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_connections_are_refused_is_replaced_and_comes_back() {
    assert!(away(Trouble::Cut).await.was_replaced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_hardly_works_loses_and_doubles_nothing() {
    away(Trouble::Resets(Duration::from_millis(400))).await;
}
