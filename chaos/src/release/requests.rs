//! Requests over HTTP at a fixed rate, each at its time whether or not earlier ones were answered: an answer's time is measured from when the request was due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::customers::{SentLog, client};
use crate::error::{Doing as _, Error};
use crate::ledger::SYSTEM;
use crate::limits::{EXCEPTIONS_TOLD_MAX, ORDERS_UNDER_WAY_MAX, RETRY_PAUSE};

/// Requests at a fixed rate.
pub(super) struct Requests {
    pub(super) address: String,
    /// Orders per second. Each is read again once it is established.
    pub(super) rate: u32,
    /// How often one is sent, under the same id, before it has failed.
    pub(super) tries: u32,
    pub(super) sent: Arc<SentLog>,
    /// First part of the orders' names.
    pub(super) name: &'static str,
}

/// What came of them.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Requests by what they were answered in the end; 0 is no answer.
    pub by_status: BTreeMap<u16, usize>,
    /// Requests that failed.
    pub failed: usize,
    /// What the first of them were told.
    pub told: Vec<String>,
    /// Tries that were made again.
    pub retried: usize,
    /// Orders that were answered before anybody had decided on them.
    pub undecided: usize,
    /// How long each took, from when it was due.
    pub times: Vec<Duration>,
}

/// One request.
struct Answer {
    status: u16,
    body: Value,
    retries: usize,
    took: Duration,
    problem: Option<String>,
}

impl Answers {
    fn take(&mut self, answer: &Answer) {
        *self.by_status.entry(answer.status).or_default() += 1;
        self.retried += answer.retries;
        self.times.push(answer.took);
        if let Some(problem) = &answer.problem {
            self.failed += 1;
            if self.told.len() < EXCEPTIONS_TOLD_MAX {
                self.told.push(problem.clone());
            }
        }
        let is_undecided = answer.status == 202 && answer.body["status"].is_null();
        self.undecided += usize::from(is_undecided);
    }
}

impl Requests {
    /// Sends until it is told to end, and waits for the last answer.
    pub(super) async fn pour(self, mut ended: watch::Receiver<bool>) -> Result<Answers, Error> {
        let http = client()?;
        let this = Arc::new(self);
        let (began, mut number, mut answers, mut under_way) = (Instant::now(), 0_u32, Answers::default(), JoinSet::new());
        loop {
            let due = began + Duration::from_secs(1) * number / this.rate;
            tokio::select! {
                () = sleep_until(due) => {}
                _ = ended.wait_for(|ended| *ended) => break,
                Some(answered) = under_way.join_next(), if !under_way.is_empty() => {
                    take(&mut answers, answered)?;
                    continue;
                }
            }
            if under_way.len() >= ORDERS_UNDER_WAY_MAX {
                return Err(Error::new(format!("{ORDERS_UNDER_WAY_MAX} requests are under way: nothing goes on")));
            }
            under_way.spawn(Arc::clone(&this).order(http.clone(), number, due));
            number += 1;
        }
        while let Some(answered) = under_way.join_next().await {
            take(&mut answers, answered)?;
        }
        Ok(answers)
    }

    /// Places an order, and reads it if it is established.
    async fn order(self: Arc<Self>, http: reqwest::Client, number: u32, due: Instant) -> Vec<Answer> {
        let (order, id) = (format!("{}-{number}", self.name), format!("{}-k-{number}", self.name));
        self.sent.note(&order, &id, false);
        let url = format!("http://{}/{SYSTEM}/orders", self.address);
        let body = json!({"orderId": order, "customerId": format!("c-{}", number % 199), "storeId": "s-1", "item": "chicken", "price": 9_000}).to_string();
        let request = http.post(&url).header("content-type", "application/json").header("idempotency-key", &id).body(body);
        let placed = self.ask(&request, &[200, 201, 202, 402], due).await;
        if placed.problem.is_none() {
            self.sent.note(&order, &id, true);
        }
        if placed.status != 201 {
            return vec![placed];
        }
        let read = self.ask(&http.get(format!("{url}/{order}")), &[200], Instant::now()).await;
        vec![placed, read]
    }

    async fn ask(&self, request: &reqwest::RequestBuilder, expected: &[u16], due: Instant) -> Answer {
        let mut retries = 0;
        loop {
            let Some(again) = request.try_clone() else { unreachable!("its body is a string") };
            let (status, body, said) = match again.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    match answer.text().await {
                        Ok(text) => (status, serde_json::from_str(&text).unwrap_or_default(), format!("{status}: {text}")),
                        Err(error) => (0, Value::Null, format!("{status}, and then {error:?}")),
                    }
                }
                Err(error) => (0, Value::Null, format!("{error:?}")),
            };
            let is_expected = expected.contains(&status);
            retries += 1;
            if is_expected || retries >= self.tries {
                let problem = (!is_expected).then_some(said);
                return Answer { status, body, retries: retries as usize - 1, took: due.elapsed(), problem };
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

fn take(answers: &mut Answers, answered: Result<Vec<Answer>, tokio::task::JoinError>) -> Result<(), Error> {
    answered.doing(|| "a customer panicked".to_owned())?.iter().for_each(|answer| answers.take(answer));
    Ok(())
}
