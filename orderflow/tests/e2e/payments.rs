//! Money as two sides see it: the instance, and a payment provider with a ledger of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{ALL_SYSTEMS, Instance, run, until};

const TOKEN: &str = "of-the-test";

/// Runs `orderflow reconcile --json`; returns its exit code and what it printed.
async fn reconcile(instance: &Instance, arguments: &[&str]) -> (Option<i32>, Value) {
    let (sc, metrics) = (instance.address("sc"), instance.address("metrics"));
    let Output { status, stdout, stderr } = run(&[&["reconcile", "--json", "--fluvio", &sc, "--metrics-addr", &metrics], arguments].concat()).await;
    let report = serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&stderr)));
    (status.code(), report)
}

fn order(id: &str, customer: &str) -> Value {
    json!({ "orderId": id, "customerId": customer, "item": "chicken", "price": 18_000 })
}

/// An evening: orders that are approved, declined, answered twice, cancelled and refunded, one of them at the second try; a power cut in the middle.
async fn evening(instance: &mut Instance) {
    for (half, customers) in [["kim", "simulate-decline", "simulate-twice"], ["lee", "simulate-refund-fail-once", "simulate-fail"]].iter().enumerate() {
        for (number, customer) in customers.iter().enumerate() {
            instance.post("/food-delivery/orders", &order(&format!("o-{half}-{number}"), customer)).await;
        }
        if half == 0 {
            instance.post("/food-delivery/orders/o-0-2/cancel", &json!({})).await;
            instance.kill().await;
            instance.restart().await;
        }
    }
    instance.post("/food-delivery/orders/o-1-1/cancel", &json!({})).await;
    instance.order("o-0-0", "Placed").await;
    instance.order("o-1-0", "Placed").await;
    until("two are refunded", async || {
        let mut refunded = 0;
        for id in ["o-0-2", "o-1-1"] {
            refunded += instance.get(&format!("/food-delivery/orders/{id}")).await.1["payment"]["refunded"].as_i64().unwrap_or_default();
        }
        refunded == 36_000
    })
    .await;
}

#[tokio::test]
async fn an_evening_agrees_with_the_simulated_provider_and_every_planted_difference_is_told() {
    let mut instance = Instance::start(&[ALL_SYSTEMS]).await;
    evening(&mut instance).await;
    let (code, report) = reconcile(&instance, &["--give-up-ms", "0"]).await;
    assert_eq!((code, &report["isEqual"], &report["inProgress"], &report["older"]), (Some(0), &json!(true), &json!([]), &json!(0)), "{report}");
    let expected = json!({ "captured": { "here": 72_000, "there": 72_000 }, "refunded": { "here": 36_000, "there": 36_000 } });
    assert_eq!(report["systems"]["food-delivery"], expected);

    let mut files = fs::read_dir(instance.data().join("embedded")).expect("a directory").map(|file| file.expect("a file").path());
    let is_ledger = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("payment-provider-ledger"));
    plant(&files.find(is_ledger).expect("there is a ledger"));
    let (code, report) = reconcile(&instance, &[]).await;
    assert_eq!((code, &report["isEqual"]), (Some(1), &json!(false)));
    let told = |list: &str| -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").split('@').next().expect("a part").to_owned();
        report[list].as_array().expect("a list").iter().map(|one| (text(&one["kind"]), text(&one["idempotencyKey"]))).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned())).collect::<BTreeSet<_>>();
    let differences = [
        ("missingThere", "food-delivery/o-0-0/1/accept"),
        ("amountDiffers", "food-delivery/o-0-2/1/accept"),
        ("repeatedThere", "food-delivery/o-0-2/1/undo"),
        ("missingHere", "food-delivery/o-9/1/accept"),
        ("missingHere", "pharmacy/p-1/1/accept"),
    ];
    assert_eq!(told("differences"), pairs(&differences));
    assert_eq!(told("inProgress"), pairs(&[("missingHere", "food-delivery/o-10/1/accept")]));

    let (sc, metrics) = (instance.address("sc"), instance.address("metrics"));
    let table = run(&["reconcile", "--fluvio", &sc, "--metrics-addr", &metrics]).await;
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    for part in ["differences: 5", "in progress: 1", "missing there", "NOT EQUAL", "18000"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let nobody = run(&["reconcile", "--fluvio", &sc, "--payment-provider-url", "http://127.0.0.1:9"]).await;
    assert_eq!(nobody.status.code(), Some(2), "not compared is not the same as different");
}

/// Loses an entry of the ledger, changes one, repeats one, and adds three: an old one, one of a stranger and a young one.
fn plant(path: &Path) {
    let text = fs::read_to_string(path).expect("there is a ledger");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect();
    let mut planted = Vec::new();
    for mut entry in lines {
        let key = entry["idempotencyKey"].as_str().expect("a key").to_owned();
        if key.starts_with("food-delivery/o-0-0/") {
            continue;
        }
        if key.starts_with("food-delivery/o-0-2/1/accept") {
            entry["amount"] = json!(1);
        }
        planted.push(entry.clone());
        if key.starts_with("food-delivery/o-0-2/1/undo") {
            planted.push(entry);
        }
    }
    let now = planted.last().expect("there are some")["at"].clone();
    for (key, at) in [
        ("food-delivery/o-9/1/accept@0-9", json!("2026-01-01T00:00:00Z")),
        ("pharmacy/p-1/1/accept", json!("2026-01-01T00:00:00Z")),
        ("food-delivery/o-10/1/accept@0-10", now),
    ] {
        planted.push(json!({ "idempotencyKey": key, "operation": "accept", "amount": 7, "at": at }));
    }
    fs::write(path, planted.iter().map(|entry| format!("{entry}\n")).collect::<String>()).expect("it can be written");
}

/// A payment provider over HTTP: takes money and then says nothing, as long as it is told to.
#[derive(Default)]
struct Books {
    is_silent: bool,
    /// Operation and amount, by key.
    entries: BTreeMap<String, (String, i64)>,
    posts: usize,
}

type Shared = Arc<Mutex<Books>>;

fn locked(books: &Shared) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_told_the_token(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}

async fn move_money(State(books): State<Shared>, headers: HeaderMap, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    if !is_told_the_token(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(Value::Null));
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).expect("a key").to_owned();
    let (operation, amount) = (request["operation"].as_str().expect("an operation").to_owned(), request["amount"].as_i64().expect("an amount"));
    let outcome = if operation == "undo" { "undone" } else { "accepted" };
    let is_silent = {
        let mut books = locked(&books);
        books.posts += 1;
        books.entries.entry(key).or_insert((operation, amount));
        books.is_silent
    };
    if is_silent {
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, Json(json!({ "outcome": outcome })))
}

async fn inquire(State(books): State<Shared>, UrlPath(key): UrlPath<String>) -> Json<Value> {
    Json(json!({ "outcome": if locked(&books).entries.contains_key(&key) { "accepted" } else { "unknown" } }))
}

/// Two entries a page.
async fn ledger(State(books): State<Shared>, headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> (StatusCode, Json<Value>) {
    if !is_told_the_token(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(Value::Null));
    }
    let from: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
    let books = locked(&books);
    let entry = |(key, (operation, amount)): (&String, &(String, i64))| json!({ "idempotencyKey": key, "operation": operation, "amount": amount, "at": "2026-01-01T00:00:00Z" });
    let entries: Vec<Value> = books.entries.iter().skip(from).take(2).map(entry).collect();
    let next = (from + 2 < books.entries.len()).then(|| (from + 2).to_string());
    (StatusCode::OK, Json(json!({ "entries": entries, "next": next })))
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_in_a_power_cut_is_found_out_and_made_once() {
    let books = Shared::default();
    let router = Router::new()
        .route("/v1/charges", post(move_money))
        .route("/v1/refunds", post(move_money))
        .route("/v1/charges/{key}", get(inquire))
        .route("/v1/ledger", get(ledger))
        .with_state(Arc::clone(&books));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("it has an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let token_file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(token_file.path(), TOKEN).expect("it can be written");
    let token_file = token_file.path().to_str().expect("a path").to_owned();
    let provider = ["--payment-provider-url", &url, "--payment-provider-token-file", &token_file];

    let mut instance = Instance::start(&[&provider[..], &["--payment-try-timeout-ms=400", ALL_SYSTEMS]].concat()).await;
    instance.post("/food-delivery/orders", &order("o-1", "kim")).await;
    instance.order("o-1", "Placed").await;
    locked(&books).is_silent = true;
    for id in ["o-2", "o-3", "o-4"] {
        let (status, _) = instance.post("/food-delivery/orders", &order(id, "kim")).await;
        assert_eq!(status, 202, "{id} is deferred, since nobody says what became of it");
    }
    assert!(instance.metric("orderflow_provider_calls_in_doubt", &[]).await >= 1.0);
    instance.kill().await;
    assert_eq!(locked(&books).entries.len(), 4, "it took the money");
    locked(&books).is_silent = false;
    instance.restart().await;
    for id in ["o-2", "o-3", "o-4"] {
        instance.order(id, "Placed").await;
    }
    instance.post("/food-delivery/orders/o-4/cancel", &json!({})).await;
    until("it is refunded", async || instance.get("/food-delivery/orders/o-4").await.1["payment"]["refunded"] == 18_000).await;
    let (code, report) = reconcile(&instance, &[&provider[..], &["--give-up-ms", "0"]].concat()).await;
    assert_eq!((code, &report["isEqual"]), (Some(0), &json!(true)), "{report}");
    let expected = json!({ "captured": { "here": 72_000, "there": 72_000 }, "refunded": { "here": 18_000, "there": 18_000 } });
    assert_eq!(report["systems"]["food-delivery"], expected);
    assert!(locked(&books).posts > 5, "those in doubt were asked for again");
    assert_eq!(instance.metric("orderflow_provider_calls_in_doubt", &[]).await, 0.0);
    assert_eq!(instance.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
    assert_eq!(instance.metric("orderflow_money_violations_total", &[]).await, 0.0);
}
