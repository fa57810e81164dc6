//! The payment provider: outside of everything that is killed, with books of its own, and no friend of its callers.
//!
//! It keeps what `docs/payment-provider.md` asks of a provider: requests with one key have the effect of one. Beyond that it declines some, fails some, is too late for some, and now and then
//! takes the money and breaks off its answer. What it does to a key follows from the seed and the key.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::{Doing as _, Error};
use crate::ledger::Movement;
use crate::limits::PROVIDER_REQUEST_BYTES_MAX;
use crate::random::Random;

/// A running provider.
pub(crate) struct Provider {
    url: String,
    shared: Arc<Shared>,
}

/// How a provider treats its callers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Temper {
    /// Everything is done within 50 ms.
    Calm,
    /// It declines, fails, loses and delays, some of it for as long as this.
    Moody(Duration),
}

struct Shared {
    seed: u64,
    temper: Temper,
    keys: Mutex<HashMap<String, Key>>,
    books: Mutex<Books>,
}

struct Books {
    movements: Vec<Movement>,
    file: File,
}

/// What is known of a key: the outcome once there is one, and how often it was asked for.
struct Key {
    outcome: watch::Receiver<Option<&'static str>>,
    requests: u32,
}

/// What happens to the first request with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// No.
    Declined,
    /// The money is moved, the answer breaks off.
    AnswerLost,
    /// Nothing is done, and there is no answer.
    RequestLost,
    /// Nothing is done, and it says that something is wrong.
    Failed,
    /// It takes longer than the customer waits.
    Slow,
    /// It takes longer than anybody waits.
    VerySlow,
}

impl Provider {
    /// Starts a provider that writes its books into a file, too.
    pub(crate) async fn start(seed: u64, temper: Temper, books: &FilePath) -> Result<Self, Error> {
        Self::start_on(Ipv4Addr::LOCALHOST, seed, temper, books).await
    }

    /// Starts one at another address of this machine.
    pub(crate) async fn start_on(host: Ipv4Addr, seed: u64, temper: Temper, books: &FilePath) -> Result<Self, Error> {
        let file = File::create(books).doing(|| format!("cannot create `{}`", books.display()))?;
        let listener = TcpListener::bind((host, 0)).await.doing(|| "the provider finds no port".to_owned())?;
        let url = format!("http://{}", listener.local_addr().doing(|| "the provider has no address".to_owned())?);
        let books = Mutex::new(Books { movements: Vec::new(), file });
        let shared = Arc::new(Shared { seed, temper, keys: Mutex::default(), books });
        let router = Router::new().route("/charges", post(charge)).route("/charges/{key}", get(inquire)).route("/refunds", post(refund));
        let router = router.layer(DefaultBodyLimit::max(PROVIDER_REQUEST_BYTES_MAX)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, shared })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns what it moved so far.
    pub(crate) fn movements(&self) -> Vec<Movement> {
        self.shared.books().movements.clone()
    }

    /// Returns how many requests it got.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.keys().values().map(|key| u64::from(key.requests)).sum()
    }
}

impl Shared {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn very_slow(&self) -> Duration {
        match self.temper {
            Temper::Calm => Duration::ZERO,
            Temper::Moody(very_slow) => very_slow,
        }
    }

    fn fate(&self, random: &mut Random, is_charge: bool) -> Fate {
        match self.temper {
            Temper::Calm => Fate::Done,
            Temper::Moody(_) => fate(random, is_charge),
        }
    }

    fn random(&self, key: &str) -> Random {
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Random::of(self.seed, hash)
    }

    /// Carries out a request, or joins the one with the same key that is under way; returns the outcome, or none if there is no answer.
    async fn carry_out(self: &Arc<Self>, request: &Value, sign: i64) -> Result<&'static str, StatusCode> {
        let key = request["idempotencyKey"].as_str().ok_or(StatusCode::BAD_REQUEST)?.to_owned();
        let mut random = self.random(&key);
        let fate = self.fate(&mut random, sign > 0);
        let (mut outcome, is_first) = self.begin(&key, fate, request, sign, &mut random);
        match fate {
            Fate::RequestLost if is_first => return Err(StatusCode::OK),
            Fate::Failed if is_first => return Err(StatusCode::SERVICE_UNAVAILABLE),
            _ => {}
        }
        let done = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| *outcome).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        if fate == Fate::AnswerLost && is_first { Err(StatusCode::OK) } else { Ok(done) }
    }

    /// Notes a request, and begins to carry it out unless that was begun before.
    fn begin(self: &Arc<Self>, key: &str, fate: Fate, request: &Value, sign: i64, random: &mut Random) -> (watch::Receiver<Option<&'static str>>, bool) {
        let mut keys = self.keys();
        let is_dropped = [Fate::RequestLost, Fate::Failed].contains(&fate);
        if let Some(known) = keys.get_mut(key) {
            known.requests += 1;
            let is_second_after_nothing = is_dropped && known.requests == 2;
            if !is_second_after_nothing {
                return (known.outcome.clone(), false);
            }
        }
        let is_first = !keys.contains_key(key);
        let (sender, outcome) = watch::channel(None);
        let requests = if is_first { 1 } else { 2 };
        keys.insert(key.to_owned(), Key { outcome: outcome.clone(), requests });
        if is_first && is_dropped {
            return (outcome, true);
        }
        let delay = match fate {
            Fate::Slow => Duration::from_millis(650 + random.below(900)),
            Fate::VerySlow => self.very_slow() + Duration::from_millis(random.below(1_000)),
            _ => Duration::from_millis(10 + random.below(40)),
        };
        let movement = Movement {
            key: key.to_owned(),
            order: request["id"].as_str().unwrap_or_default().to_owned(),
            attempt: request["attempt"].as_i64().unwrap_or_default(),
            amount: sign * request["amount"].as_i64().unwrap_or_default(),
        };
        // It goes on when the caller has gone.
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if fate != Fate::Declined {
                shared.move_money(movement);
            }
            let done = if fate == Fate::Declined {
                "declined"
            } else if sign > 0 {
                "accepted"
            } else {
                "undone"
            };
            let _ = sender.send(Some(done));
        });
        (outcome, is_first)
    }

    fn move_money(&self, movement: Movement) {
        let mut books = self.books();
        let line = json!({"idempotencyKey": movement.key, "orderId": movement.order, "attempt": movement.attempt, "amount": movement.amount});
        // What is proved is proved by the list; the file is for people.
        let _ = writeln!(books.file, "{line}");
        books.movements.push(movement);
    }
}

fn fate(random: &mut Random, is_charge: bool) -> Fate {
    match random.below(1_000) {
        0..30 if is_charge => Fate::Declined,
        30..60 => Fate::AnswerLost,
        60..80 => Fate::RequestLost,
        80..110 => Fate::Failed,
        110..140 => Fate::Slow,
        140..150 if is_charge => Fate::VerySlow,
        _ => Fate::Done,
    }
}

async fn charge(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    answer(shared.carry_out(&request, 1).await)
}

async fn refund(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    answer(shared.carry_out(&request, -1).await)
}

/// Says what has become of a charge. Of one that is under way it says so.
async fn inquire(State(shared): State<Arc<Shared>>, Path(key): Path<String>) -> Response {
    let (is_dropped, outcome) = match shared.keys().get(&key) {
        None => (true, None),
        Some(known) => {
            let is_dropped = known.requests == 1 && [Fate::RequestLost, Fate::Failed].contains(&shared.fate(&mut shared.random(&key), true));
            (is_dropped, *known.outcome.borrow())
        }
    };
    answer(Ok(outcome.unwrap_or(if is_dropped { "unknown" } else { "pending" })))
}

fn answer(outcome: Result<&'static str, StatusCode>) -> Response {
    match outcome {
        Ok(outcome) => Json(json!({"outcome": outcome})).into_response(),
        Err(StatusCode::OK) => broken_off(),
        Err(status) => (status, Json(json!({"detail": "out of order, as simulated"}))).into_response(),
    }
}

/// An answer that breaks off before it says anything.
fn broken_off() -> Response {
    let lost = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("lost, as simulated")) });
    let mut response = Response::new(Body::from_stream(lost));
    response.headers_mut().insert("content-length", axum::http::HeaderValue::from_static("64"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whatever becomes of the answers, a key moves money once, and the books say so.
    #[tokio::test]
    async fn a_key_moves_money_once_however_often_it_is_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let provider = Provider::start(7, Temper::Moody(Duration::from_millis(50)), &directory.path().join("books")).await.expect("it starts");
        let client = reqwest::Client::new();
        let ask = async |number: usize| {
            let request = json!({"idempotencyKey": format!("k-{number}"), "id": format!("o-{number}"), "attempt": 1, "amount": 5});
            let answered = client.post(format!("{}/charges", provider.url())).json(&request).send().await;
            match answered {
                Ok(answer) => answer.json::<Value>().await.ok().and_then(|body| body["outcome"].as_str().map(str::to_owned)),
                Err(_) => None,
            }
        };
        let asked = futures_util::future::join_all((0..200).map(|number| async move {
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(ask(number).await);
            }
            answers
        }));
        let answers = asked.await;
        assert!(answers.iter().any(|answers| answers[0].is_none()), "some answers are lost");
        assert!(answers.iter().all(|answers| answers[2].is_some() && answers[1] == answers[2]), "{answers:?}");
        let accepted = answers.iter().filter(|answers| answers[2].as_deref() == Some("accepted")).count();
        let movements = provider.movements();
        let keys: std::collections::BTreeSet<&String> = movements.iter().map(|movement| &movement.key).collect();
        assert_eq!((movements.len(), keys.len()), (accepted, accepted));
    }
}
