//! Instances come and go under an open load, by order and killed: the short version of `cargo xtask scale`.

use std::path::PathBuf;
use std::time::Duration;

use orderflow_chaos::Scene;
use orderflow_chaos::scale::{Kind, Options, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_come_and_go_and_nothing_is_lost_or_doubled() {
    let directory = tempfile::tempdir().expect("a directory");
    let scene = Scene::short(PathBuf::from(env!("CARGO_BIN_EXE_orderflow")), directory.path().to_owned(), 3);
    let options = Options { scene, rate: 15, sizes: vec![1, 3, 1], rounds: vec![Kind::Leave, Kind::Kill], standbys: 1, hold: Duration::from_millis(500) };
    let report = match run(&options).await {
        Ok(report) => report,
        Err(error) => panic!("the run came to no end, it is kept in {}: {error} ({error:?})", directory.keep().display()),
    };
    println!("{report}");
    assert!(report.steps.len() == 6 && report.orders > 20, "everybody comes and goes: {report}");
    assert!([Kind::Join, Kind::Leave, Kind::Kill].iter().all(|kind| report.stalls(*kind).0.count > 0), "tasks move: {report}");
    assert!(report.is_clean(), "what was found is kept in {}", directory.keep().display());
}
