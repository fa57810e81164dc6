//! What can be wrong at start: a clear error that names the flag, and exit code 1.

use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Instance, LIMIT, free_ports, run};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn up(arguments: &[&str]) -> Output {
    let mut all = vec!["up".to_owned()];
    // A flag that is given decides; the others are on free ports.
    let given = |port: &String| arguments.iter().any(|argument| port.split('=').next().is_some_and(|flag| argument.starts_with(flag)));
    all.extend(free_ports().into_iter().filter(|port| !given(port)));
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[track_caller]
fn assert_refused(output: &Output, flag: &str, says: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let first = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(first.contains(flag) && said.contains(says), "the error names {flag} and says `{says}`: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken() {
    for flag in ["--sc-addr", "--spu-addr", "--http-addr", "--metrics-addr"] {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it has an address");
        let output = up(&["--ephemeral", &format!("{flag}={address}")]).await;
        assert_refused(&output, flag, &address.to_string());
    }
}

#[tokio::test]
async fn a_data_directory_of_another_version() {
    let directory = TempDir::new().expect("a temporary directory");
    std::fs::write(directory.path().join("format"), "orderflow data 99\n").expect("a file can be written");
    let output = up(&["--data-dir", &directory.path().display().to_string()]).await;
    assert_refused(&output, "--data-dir", "another version");
}

#[tokio::test]
async fn a_data_directory_whose_broker_was_of_another_version() {
    let directory = TempDir::new().expect("a temporary directory");
    let broker = directory.path().join("embedded").join("broker");
    std::fs::create_dir_all(&broker).expect("a directory can be created");
    std::fs::write(directory.path().join("format"), "orderflow data 1\n").expect("a file can be written");
    std::fs::write(broker.join("FORMAT"), "orderflow-broker 99\n").expect("a file can be written");
    let output = up(&["--data-dir", &directory.path().display().to_string()]).await;
    assert_refused(&output, "--data-dir", "orderflow-broker 99");
}

#[tokio::test]
async fn a_data_directory_that_is_in_use() {
    let instance = Instance::start(&[]).await;
    let output = up(&["--data-dir", &instance.data().display().to_string()]).await;
    assert_refused(&output, "--data-dir", "in use");
    assert_eq!(instance.get("/health/ready").await.0, 200, "the first one is not disturbed");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file can be written");
    let output = up(&["--data-dir", &file.join("data").display().to_string()]).await;
    assert_refused(&output, "--data-dir", "cannot create");
}

#[tokio::test]
async fn a_disk_that_takes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let data = directory.path().join("data").display().to_string();
    // No file may get larger than nothing.
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_orderflow"), "up", "--data-dir", &data]).args(free_ports());
    let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await.expect("it ends").expect("it runs");
    assert_refused(&output, "--data-dir", "because");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has an address");
    let output = up(&["--ephemeral", &format!("--fluvio={nobody}")]).await;
    assert_refused(&output, "--fluvio", &nobody.to_string());
}

/// Goal: what no cluster can be is not looked for as long as one that is only slow.
#[tokio::test]
async fn a_cluster_that_is_no_address_or_has_no_name() {
    let began = Instant::now();
    for garbage in ["garbage", "localhost:", "http://localhost:9003"] {
        assert_refused(&up(&["--ephemeral", &format!("--fluvio={garbage}")]).await, "--fluvio", &format!("`{garbage}` is no address"));
        assert_refused(&run(&["topics", "--fluvio", garbage]).await, "--fluvio", "is no address");
    }
    assert_refused(&up(&["--ephemeral", "--fluvio=nobody.invalid:9003"]).await, "--fluvio", "the name in `nobody.invalid:9003` cannot be resolved");
    assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_cluster_that_says_nothing() {
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it has an address");
    let output = up(&["--ephemeral", &format!("--fluvio={address}")]).await;
    assert_refused(&output, "--fluvio", &address.to_string());
}

/// Goal: a name that is mistyped is found out soon, and a password in the URI is not told.
#[tokio::test]
async fn a_mongodb_that_has_no_name() {
    let began = Instant::now();
    let output = up(&["--ephemeral", "--mongodb=mongodb://kim:secret@nobody.invalid/views"]).await;
    assert_refused(&output, "--mongodb", "the name in `nobody.invalid:27017` cannot be resolved");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_mongodb_that_cannot_be_reached() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has an address");
    let output = up(&["--ephemeral", &format!("--mongodb=mongodb://{nobody}/")]).await;
    assert_refused(&output, "--mongodb", "because");
}

#[tokio::test]
async fn a_mongodb_that_is_no_address() {
    for garbage in ["garbage", "http://127.0.0.1:1", "mongodb://", "mongodb://127.0.0.1:x/"] {
        assert_refused(&up(&["--ephemeral", &format!("--mongodb={garbage}")]).await, "--mongodb", "not a connection string");
    }
}

#[tokio::test]
async fn a_number_of_partitions_that_is_not_the_topics_one() {
    let mut instance = Instance::start(&["--partitions=2"]).await;
    instance.signal(rustix::process::Signal::TERM).await;
    let output = up(&["--data-dir", &instance.data().display().to_string(), "--partitions=3"]).await;
    assert_refused(&output, "--partitions", "--partitions 2");
}

#[tokio::test]
async fn a_file_of_settings_that_holds_something_else() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("orderflow.toml");
    std::fs::write(&file, "partition = 4\n").expect("a file can be written");
    let output = up(&["--ephemeral", "--config", &file.display().to_string()]).await;
    assert_refused(&output, "--config", "unknown field `partition`");
}

#[tokio::test]
async fn settings_come_from_flag_environment_and_file_in_this_order() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("orderflow.toml");
    std::fs::write(&file, "partitions = 200\ndata-dir = \"/dev/null/no\"\n").expect("a file can be written");
    let config = file.display().to_string();
    let in_environment = async |partitions: &str, arguments: &[&str]| {
        let mut command = crate::support::orderflow(&["up", "--config", &config]);
        command.args(arguments).env("ORDERFLOW_PARTITIONS", partitions);
        said(&command.output().await.expect("it runs"))
    };
    // The file alone would refuse 200 partitions; the environment's 300 wins, and the flag's 400 over that.
    assert!(in_environment("300", &[]).await.contains("--partitions: 300"));
    assert!(in_environment("300", &["--partitions=400"]).await.contains("--partitions: 400"));
}

#[tokio::test]
async fn roles_and_names_that_cannot_work() {
    for (arguments, flag, says) in [
        (["--roles=processors", "--ephemeral"], "--roles", "give --fluvio"),
        (["--roles=broker,api", "--ephemeral"], "--roles", "embedded views are kept and served by one process"),
        (["--roles=broker", "--fluvio=127.0.0.1:1"], "--roles", "leave out `broker` or --fluvio"),
        (["--only=store", "--without=payments"], "--only", "give one of them"),
        (["--only=oven", "--ephemeral"], "--only", "food-delivery/orders, food-delivery/payments"),
        (["--systems=pizza", "--ephemeral"], "--systems", "food-delivery"),
    ] {
        assert_refused(&up(&arguments).await, flag, says);
    }
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("orderflow.toml");
    for (text, says) in [("[business.pizza]\n", "there is no business `pizza`"), ("[business.food-delivery]\ndeadlineMs = 0\n", "deadline_ms")] {
        std::fs::write(&file, text).expect("a file can be written");
        assert_refused(&up(&["--ephemeral", "--config", &file.display().to_string()]).await, "--config", says);
    }
}
