//! What the tests share: an instance as a child process, and conditions that are waited for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, FluvioClusterConfig, Offset, RecordKey, TopicProducerConfigBuilder, TopicProducerPool};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take. Generous: it only decides how long a failing test takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const SAID: &str = "stderr.log";
const POLL: Duration = Duration::from_millis(10);

/// Argument for an instance that serves everything there is.
pub(crate) const ALL_SYSTEMS: &str = "--systems=food-delivery,movie-booking,mask-shop";

pub(crate) const COMMANDS: &str = "food-delivery-commands";
pub(crate) const EVENTS: &str = "food-delivery-orders-events";
pub(crate) const REJECTIONS: &str = "food-delivery-rejections";
pub(crate) const DEAD_LETTERS: &str = "food-delivery-dead-letters";

/// Returns the binary with these arguments and nothing from the environment of the tests.
pub(crate) fn orderflow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderflow"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ORDERFLOW_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    timeout(LIMIT, orderflow(arguments).output()).await.expect("it ends").expect("it runs")
}

/// Returns the arguments that put an instance on free ports.
pub(crate) fn free_ports() -> Vec<String> {
    ["sc", "spu", "http", "metrics"].map(|port| format!("--{port}-addr=127.0.0.1:0")).into()
}

/// A running instance.
pub(crate) struct Instance {
    child: Child,
    pub(crate) directory: TempDir,
    arguments: Vec<String>,
    addresses: Value,
    http: reqwest::Client,
}

impl Instance {
    /// Starts an instance in a directory of its own and waits until it is ready.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let instance = Self::start_unready(arguments).await;
        instance.ready().await;
        instance
    }

    /// Starts an instance and waits until it can be reached. It serves food delivery, unless the arguments name other systems: what is tried is that much quicker to start.
    pub(crate) async fn start_unready(arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>();
        if !arguments.iter().any(|argument| argument.starts_with("--systems")) {
            arguments.push("--systems=food-delivery".to_owned());
        }
        let (child, addresses) = spawn(directory.path(), &arguments).await;
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("an HTTP client");
        Self { child, directory, arguments, addresses, http }
    }

    /// Starts the instance again on what it left behind.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.id().is_none(), "it has ended");
        (self.child, self.addresses) = spawn(self.directory.path(), &self.arguments).await;
        self.ready().await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn address(&self, name: &str) -> String {
        self.addresses[name].as_str().unwrap_or_else(|| panic!("it said its address `{name}`")).to_owned()
    }

    pub(crate) async fn ready(&self) {
        until("the instance is ready", async || self.get("/health/ready").await.0 == 200).await;
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Sends a signal.
    pub(crate) fn tell(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it runs");
        kill_process(pid, signal).expect("it can be signalled");
    }

    /// Sends a signal and waits for its end; returns exit code and time.
    pub(crate) async fn signal(&mut self, signal: Signal) -> (Option<i32>, Duration) {
        let began = Instant::now();
        self.tell(signal);
        let status = timeout(LIMIT, self.child.wait()).await.expect("it ends").expect("its end is known");
        (status.code(), began.elapsed())
    }

    /// From now on no file of the instance may grow beyond this, as on a full disk; without a limit there is room again.
    pub(crate) fn limit_files(&self, bytes_max: Option<u64>) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let limit = Rlimit { current: bytes_max, maximum: None };
        prlimit(pid, Resource::Fsize, limit).expect("its limits can be set");
    }

    /// Returns what it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        said(self.directory.path())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("http://{}{path}", self.address("http"))).send().await;
        match answer {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
            Err(_) => (0, Value::Null),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_raw(path, "application/json", body.to_string()).await
    }

    pub(crate) async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.post(format!("http://{}{path}", self.address("http"))).header("content-type", content_type).body(body);
        let answer = request.send().await.expect("there is an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn request(&self, request: reqwest::Method, path: &str) -> reqwest::Response {
        self.http.request(request, format!("http://{}{path}", self.address("http"))).send().await.expect("there is an answer")
    }

    pub(crate) async fn request_json(&self, method: reqwest::Method, path: &str, body: &Value) -> reqwest::Response {
        let request = self.http.request(method, format!("http://{}{path}", self.address("http")));
        request.header("content-type", "application/json").body(body.to_string()).send().await.expect("there is an answer")
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = self.http.get(format!("http://{}/metrics", self.address("metrics"))).send().await.expect("there is an answer");
        answer.text().await.expect("metrics are text")
    }

    /// Returns the sum of a metric over those of its series that have all these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.metrics().await, name, labels)
    }

    /// Waits until the order has the status; returns it.
    pub(crate) async fn order(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            last = self.get(&format!("/food-delivery/orders/{id}")).await.1;
            if last["status"] == status {
                return last;
            }
            sleep(POLL).await;
        }
        panic!("order {id} is not {status}: {last}");
    }

    pub(crate) async fn client(&self) -> Fluvio {
        client(&self.address("sc")).await
    }

    /// Appends a record with the official client.
    pub(crate) async fn produce(&self, topic: &str, key: Option<&[u8]>, value: impl Into<Vec<u8>>) {
        let producer = producer(&self.client().await, topic).await;
        send(&producer, key, value).await;
    }

    /// Appends a command with the official client, keyed by its order.
    pub(crate) async fn command(&self, order: &str, command: &Value) {
        self.produce(COMMANDS, Some(order.as_bytes()), command.to_string()).await;
    }

    /// Reads a topic from its beginning, all partitions, until `is_enough`; returns what was read.
    pub(crate) async fn consume(&self, topic: &str, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        consume(&self.client().await, topic, is_enough).await
    }
}

pub(crate) fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let wanted = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn said(directory: &Path) -> String {
    fs::read_to_string(directory.join(SAID)).unwrap_or_default()
}

/// Copies what a child says into a file. Not the child itself, since its files may be limited.
fn keep(mut said: ChildStderr, directory: &Path) {
    let log = fs::File::options().create(true).append(true).open(directory.join(SAID)).expect("a log file");
    let mut log = tokio::fs::File::from_std(log);
    tokio::spawn(async move { tokio::io::copy(&mut said, &mut log).await });
}

async fn spawn(directory: &Path, arguments: &[String]) -> (Child, Value) {
    let addresses = directory.join("addresses.json");
    let _ = fs::remove_file(&addresses);
    // Partners answer at once, unless the arguments say otherwise.
    let is_said = |flag: &str| arguments.iter().any(|argument| argument.starts_with(flag));
    let profiles = ["--payment-profile", "--delivery-profile"].into_iter().filter(|flag| !is_said(flag)).map(|flag| format!("{flag}=instant"));
    let mut child = orderflow(&["up"])
        .args(profiles)
        .args(free_ports())
        .arg("--data-dir")
        .arg(directory.join("data"))
        .arg("--addresses-file")
        .arg(&addresses)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    keep(child.stderr.take().expect("its stderr is a pipe"), directory);
    let began = Instant::now();
    loop {
        if let Ok(bytes) = fs::read(&addresses) {
            return (child, serde_json::from_slice(&bytes).expect("addresses are JSON"));
        }
        let ended = child.try_wait().expect("its state is known");
        assert!(ended.is_none() && began.elapsed() < LIMIT, "the instance did not start: {ended:?} {}", said(directory));
        sleep(POLL).await;
    }
}

pub(crate) async fn client(sc: &str) -> Fluvio {
    Fluvio::connect_with_config(&FluvioClusterConfig::new(sc)).await.expect("the official client connects")
}

pub(crate) async fn producer(client: &Fluvio, topic: &str) -> TopicProducerPool {
    let config = TopicProducerConfigBuilder::default().linger(Duration::ZERO).build().expect("settings are right");
    client.topic_producer_with_config(topic, config).await.expect("the topic can be produced to")
}

pub(crate) async fn send(producer: &TopicProducerPool, key: Option<&[u8]>, value: impl Into<Vec<u8>>) {
    let key = key.map_or(RecordKey::NULL, |key| RecordKey::from(key.to_vec()));
    let sent = producer.send(key, value.into()).await.expect("it is sent");
    producer.flush().await.expect("it is flushed");
    sent.wait().await.expect("it is acknowledged");
}

pub(crate) async fn consume(client: &Fluvio, topic: &str, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let config = ConsumerConfigExtBuilder::default().topic(topic).offset_start(Offset::beginning()).build().expect("settings are right");
    let mut stream = client.consumer_with_config(config).await.expect("the topic can be consumed");
    let mut records: Vec<Value> = Vec::new();
    let reading = async {
        while !is_enough(&records) {
            let record = stream.next().await.expect("the stream goes on").expect("records can be read");
            records.push(serde_json::from_slice(record.value()).unwrap_or_default());
        }
    };
    if timeout(LIMIT, reading).await.is_err() {
        panic!("{topic} never held what was expected: {records:#?}");
    }
    records
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < LIMIT, "after {} s it is not so that {what}", LIMIT.as_secs());
        sleep(POLL).await;
    }
}
