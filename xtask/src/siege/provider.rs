//! The payment provider of the load test: an HTTP server with the delays of the original's payment service, and books of its own.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

/// How long it takes, in ms: 400 + U(0, 220), as the original's.
const DELAY_MS: (u64, u64) = (400, 220);

/// What it says to charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Approves,
    /// To every other.
    RefusesHalf,
}

/// What it has done, each idempotency key once.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) charges: usize,
    pub(super) refunds: usize,
    pub(super) refused: usize,
}

/// A running provider.
pub(super) struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Behaviour,
    is_down: AtomicBool,
    /// Outcome and amount of what was asked, by idempotency key.
    charges: Mutex<HashMap<String, (bool, i64)>>,
    refunds: Mutex<HashMap<String, i64>>,
}

impl Provider {
    pub(super) async fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the provider finds no port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { behaviour, is_down: AtomicBool::new(false), charges: Mutex::default(), refunds: Mutex::default() });
        let router =
            Router::new().route("/charges", post(charge)).route("/charges/{key}", get(inquire)).route("/refunds", post(refund)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, shared })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers nothing but 503.
    pub(super) fn down(&self) {
        self.shared.is_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn up(&self) {
        self.shared.is_down.store(false, Ordering::Relaxed);
    }

    pub(super) fn ledger(&self) -> Ledger {
        let charges = self.shared.charges.lock().unwrap_or_else(PoisonError::into_inner);
        let refunds = self.shared.refunds.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<i64> = charges.values().filter(|(is_taken, _)| *is_taken).map(|(_, amount)| *amount).collect();
        Ledger {
            captured: taken.iter().sum(),
            refunded: refunds.values().sum(),
            charges: taken.len(),
            refunds: refunds.len(),
            refused: charges.len() - taken.len(),
        }
    }
}

async fn charge(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    let Some(key) = key(&shared, &headers).await else { return unavailable() };
    let mut charges = shared.charges.lock().unwrap_or_else(PoisonError::into_inner);
    let number = charges.len();
    let takes = shared.behaviour == Behaviour::Approves || number.is_multiple_of(2);
    let (is_taken, _) = *charges.entry(key).or_insert_with(|| (takes, amount(&request)));
    let outcome = if is_taken { "accepted" } else { "declined" };
    (StatusCode::OK, Json(json!({"outcome": outcome})))
}

/// Says what has become of a charge.
async fn inquire(State(shared): State<Arc<Shared>>, Path(key): Path<String>) -> (StatusCode, Json<Value>) {
    if shared.is_down.load(Ordering::Relaxed) {
        return unavailable();
    }
    let charges = shared.charges.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = charges.get(&key).map_or("unknown", |(is_taken, _)| if *is_taken { "accepted" } else { "declined" });
    (StatusCode::OK, Json(json!({"outcome": outcome})))
}

async fn refund(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    let Some(key) = key(&shared, &headers).await else { return unavailable() };
    shared.refunds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, amount(&request));
    (StatusCode::OK, Json(json!({"outcome": "undone"})))
}

/// Takes its time, and returns the key of the request; none while it is down.
async fn key(shared: &Shared, headers: &HeaderMap) -> Option<String> {
    let is_down = || shared.is_down.load(Ordering::Relaxed);
    if is_down() {
        return None;
    }
    let key = headers.get("idempotency-key")?.to_str().ok()?.to_owned();
    let (least, spread) = DELAY_MS;
    sleep(Duration::from_millis(least + hash(&key) % (spread + 1))).await;
    (!is_down()).then_some(key)
}

fn unavailable() -> (StatusCode, Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": "down, as simulated"})))
}

fn amount(request: &Value) -> i64 {
    request["amount"].as_i64().unwrap_or_default()
}

/// FNV-1a with a final mix, so that neighbouring keys get other delays. Written here once more: who judges the system shares no code with it.
fn hash(key: &str) -> u64 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 33
}
