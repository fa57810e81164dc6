//! The payment pair is a contract that any language can keep: the example in Python, with the public client, in place of our own payments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{COMMANDS, Instance, producer, send, until};

const ORDERS: &str = "/food-delivery/orders";
const REQUESTS: &str = "food-delivery-payment-requests";
const REPLIES: &str = "food-delivery-payment-replies";
const PRICE: i64 = 18_000;

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("examples").join("payment-processor-python/payment_processor.py")
}

/// The example as a process, and its ledger.
struct Processor {
    child: Child,
    packages: PathBuf,
    sc: String,
    directory: TempDir,
}

impl Processor {
    async fn start(instance: &Instance) -> Self {
        let packages = tokio::task::spawn_blocking(orderflow_testkit::tools::python_fluvio).await.expect("it ends").unwrap_or_else(|error| panic!("{error}"));
        let (directory, sc) = (TempDir::new().expect("a temporary directory"), instance.address("sc"));
        Self { child: spawn(&packages, &sc, directory.path()), packages, sc, directory }
    }

    /// Kills it as a power cut would, in the middle of a line of its ledger, and starts it again.
    async fn cut_off_and_start(&mut self) {
        self.child.kill().await.expect("it can be killed");
        let mut ledger = fs::File::options().append(true).open(ledger(self.directory.path())).expect("there is a ledger");
        ledger.write_all(b"{\"attempt\": \"o-").expect("the ledger can be written");
        self.child = spawn(&self.packages, &self.sc, self.directory.path());
    }

    /// Returns the lines of the ledger; one that is being written is not one yet.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(ledger(self.directory.path())).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }
}

fn ledger(directory: &Path) -> PathBuf {
    directory.join("ledger.jsonl")
}

fn spawn(packages: &Path, sc: &str, directory: &Path) -> Child {
    let stderr = fs::File::options().create(true).append(true).open(directory.join("stderr")).expect("a log file");
    let mut command = Command::new("python3");
    command.arg(program()).arg(sc).arg(ledger(directory)).env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true).spawn().expect("python3 runs")
}

#[tokio::test]
async fn a_program_in_python_takes_the_money_once_however_often_it_is_killed() {
    const ORDERS_SENT: usize = 90;
    const KILLS: usize = 3;
    let instance = Instance::start(&["--without=payments"]).await;
    let mut processor = Processor::start(&instance).await;
    let order = |id: &str, customer: &str| json!({ "orderId": id, "customerId": customer, "item": "chicken", "price": PRICE });

    // Until it runs, customers are deferred.
    instance.post(ORDERS, &order("first", "kim")).await;
    instance.order("first", "Placed").await;
    assert_eq!(instance.post(ORDERS, &order("second", "kim")).await.0, 201);
    let (status, declined) = instance.post(ORDERS, &order("declined", "simulate-decline")).await;
    assert_eq!((status, declined["reason"].as_str()), (402, Some("PaymentDeclined")), "{declined}");
    assert_eq!(instance.post(&format!("{ORDERS}/second/cancel"), &json!({})).await.0, 200);
    until("the money is back", async || instance.get(&format!("{ORDERS}/second")).await.1["payment"]["refunded"] == PRICE).await;

    let commands = producer(&instance.client().await, COMMANDS).await;
    for round in 1..=KILLS + 1 {
        let charged = processor.lines().len();
        for number in ORDERS_SENT * (round - 1) / (KILLS + 1)..ORDERS_SENT * round / (KILLS + 1) {
            let id = format!("o-{number}");
            send(&commands, Some(id.as_bytes()), json!({ "type": "PlaceOrder", "orderId": id, "item": "chicken", "price": PRICE }).to_string()).await;
        }
        if round <= KILLS {
            until("it is in the middle of it", async || processor.lines().len() > charged).await;
            processor.cut_off_and_start().await;
        }
    }
    for number in 0..ORDERS_SENT {
        instance.order(&format!("o-{number}"), "Placed").await;
    }

    // Who asks again is answered again, and not charged again; what is no request disturbs nobody.
    let requests = instance.consume(REQUESTS, |requests| requests.iter().any(|request| request["subject"] == "first")).await;
    let first = requests.iter().find(|request| request["subject"] == "first").expect("it was asked for");
    instance.produce(REQUESTS, Some(b"first"), "garbage").await;
    instance.produce(REQUESTS, Some(b"first"), first.to_string()).await;
    let answers = |replies: &[Value]| replies.iter().filter(|reply| reply["orderId"] == "first" && reply["type"] == "PaymentApproved").count();
    instance.consume(REPLIES, |replies| answers(replies) >= 2).await;
    assert!(processor.said().contains("is no request"), "{}", processor.said());

    let mut states: BTreeMap<(String, String), usize> = BTreeMap::new();
    let lines = processor.lines();
    for line in &lines {
        *states.entry((line["attempt"].to_string(), line["state"].to_string())).or_default() += 1;
    }
    assert!(states.values().all(|times| *times == 1), "nothing is done twice: {states:?}");
    let money = |state: &str| lines.iter().filter(|line| line["state"] == state).filter_map(|line| line["amount"].as_i64()).sum::<i64>();
    let live = PRICE * (ORDERS_SENT as i64 + 1);
    assert_eq!(money("PaymentApproved") - money("PaymentRefunded"), live, "the ledger holds what live orders are worth: {states:?}");
    let orders: BTreeSet<&str> = lines.iter().filter_map(|line| line["attempt"].as_str()?.split('/').next()).collect();
    assert_eq!(orders.len(), ORDERS_SENT + 3);
    until("our books say the same", async || instance.metric("orderflow_money_won", &["processor=\"orders\"", "account=\"live\""]).await == live as f64).await;
    assert_eq!(instance.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
}

#[test]
fn the_example_is_as_short_as_it_says() {
    let text = fs::read_to_string(program()).unwrap_or_else(|error| panic!("{error}"));
    assert!(text.lines().count() <= 60, "{} lines", text.lines().count());
}
