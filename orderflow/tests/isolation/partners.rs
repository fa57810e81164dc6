//! Who is asked before anything is established may be away: nothing is established, customers are told at once that they have to wait, and are served when it is back.

use std::io::Write as _;
use std::ops::RangeFrom;
use std::time::{Duration, Instant as Clock};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::cluster::{Cluster, PARTITIONS};
use crate::story::{at_once, nothing};
use crate::support::{Instance, LIMIT, until};

/// Customers whose answers are timed once the breaker is open.
const TIMED: usize = 300;
/// What the contract says of their answers. It is printed beside what they waited: this machine does other things meanwhile. What is asserted is that the partner was not asked for them.
const PROMISED: Duration = Duration::from_millis(50);

/// A system and who is asked first.
struct Asked {
    system: &'static str,
    processor: &'static str,
    collection: &'static str,
    /// Name of the partner's account in the view: what was done, what was undone.
    account: (&'static str, &'static str, &'static str),
    amount: i64,
    /// Status once it is established, and reason while the partner is not asked.
    established: &'static str,
    unavailable: &'static str,
    body: fn(usize) -> Value,
    /// What must be done first: path and body.
    before: Option<(&'static str, Value)>,
}

impl Asked {
    /// Settings with a breaker that opens and tries again soon; how long a customer waits stays as it is.
    fn settings(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a temporary file");
        let text = format!(
            "[business.{}]\ngiveUpMs = 120000\nretriesPerSecond = 200\nbreaker = {{ minimumNumberOfCalls = 5, windowSize = 10, waitDurationInOpenMs = 4000 }}\n",
            self.system
        );
        file.write_all(text.as_bytes()).expect("it can be written");
        file
    }

    fn path(&self) -> String {
        format!("/{}/{}", self.system, self.collection)
    }

    async fn get(&self, api: &Instance, number: usize) -> Value {
        api.get(&format!("{}/c-{number}", self.path())).await.1
    }

    /// Orders; returns status, answer and how long it took.
    async fn order(&self, api: &Instance, number: usize) -> (u16, Value, Duration) {
        let began = Clock::now();
        let (status, answer) = api.post(&self.path(), &(self.body)(number)).await;
        (status, answer, began.elapsed())
    }

    async fn is_away_for_a_while(&self) {
        let cluster = Cluster::start(self.system).await;
        let settings = self.settings();
        let config = format!("--config={}", settings.path().display());
        let (without, only) = (format!("--without={}", self.processor), format!("--only={}", self.processor));
        let (others, partner) = (["--roles=processors,views,api", &without, &config], ["--roles=processors", &only, &config]);
        let (api, mut partner) = tokio::join!(cluster.process(&others), cluster.process(&partner));
        if let Some((path, body)) = &self.before {
            let (status, answer) = api.post(path, body).await;
            assert_eq!(status, 200, "{answer}");
        }
        let (status, answer, _) = self.order(&api, 0).await;
        assert_eq!(status, 201, "{answer}");
        partner.kill().await;

        // Every customer waits until the deadline, until the breakers have seen enough of it.
        let mut customers = 1..;
        let is_open = async || api.metric("orderflow_breaker_state", &["state=\"open\""]).await == f64::from(PARTITIONS);
        let began = Clock::now();
        while !is_open().await {
            assert!(began.elapsed() < LIMIT, "the breakers never open");
            at_once(customers.by_ref().take(10).map(|number| self.is_deferred(&api, number))).await;
        }
        let mut waits = self.wait_of_many(&api, &mut customers).await;
        waits.sort();
        let of = |percent: usize| waits[(waits.len() - 1) * percent / 100];
        println!("{}: {} customers deferred while the breaker is open: p50 {:?}, p99 {:?}, promised {PROMISED:?}", self.system, waits.len(), of(50), of(99));

        let given_up = customers.next().expect("numbers go on");
        self.is_deferred(&api, given_up).await;
        let (status, answer) = api.post(&format!("{}/c-{given_up}/cancel", self.path()), &nothing()).await;
        assert_eq!((status, answer["status"].as_str()), (200, Some("Cancelled")), "{answer}");
        let listed = api.get(&format!("{}?status={}", self.path(), self.established)).await.1;
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "only what was established before: {listed}");

        partner.restart().await;
        let (account, done, undone) = self.account;
        for number in 0..given_up {
            until(&format!("customer {number} is served"), async || self.get(&api, number).await["status"] == self.established).await;
            let served = self.get(&api, number).await;
            assert_eq!((&served[account][done], &served[account][undone]), (&json!(self.amount), &json!(0)), "once: {served}");
        }
        let cancelled = self.get(&api, given_up).await;
        assert_eq!((cancelled["status"].as_str(), &cancelled[account][done]), (Some("Cancelled"), &cancelled[account][undone]), "{cancelled}");
        assert_eq!(api.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
    }

    /// Orders, is told to wait, and returns whether it was because the partner is not asked, and how long that took.
    async fn is_deferred(&self, api: &Instance, number: usize) -> (bool, Duration) {
        let (status, answer, took) = self.order(api, number).await;
        assert_eq!(status, 202, "nothing is established: {answer}");
        (answer["reason"] == self.unavailable, took)
    }

    /// Returns how long customers wait for their answers while the breaker is open. Those by whom it tries whether the partner is back wait until the deadline, and do not count.
    async fn wait_of_many(&self, api: &Instance, customers: &mut RangeFrom<usize>) -> Vec<Duration> {
        let mut waits = Vec::new();
        while waits.len() < TIMED {
            for (not_asked, took) in at_once(customers.by_ref().take(2).map(|number| self.is_deferred(api, number))).await {
                waits.extend(not_asked.then_some(took));
            }
        }
        waits
    }
}

#[tokio::test]
async fn payments_of_food_delivery() {
    let asked = Asked {
        system: "food-delivery",
        processor: "payments",
        collection: "orders",
        account: ("payment", "captured", "refunded"),
        amount: 18_000,
        established: "Placed",
        unavailable: "PaymentUnavailable",
        body: |number| json!({ "orderId": format!("c-{number}"), "item": "chicken", "price": 18_000 }),
        before: None,
    };
    asked.is_away_for_a_while().await;
}

#[tokio::test]
async fn payments_of_movie_booking() {
    let asked = Asked {
        system: "movie-booking",
        processor: "payments",
        collection: "bookings",
        account: ("payment", "captured", "refunded"),
        amount: 12_000,
        established: "Booked",
        unavailable: "PaymentUnavailable",
        // A hall has room for some of them only.
        body: |number| {
            json!({
                "bookingId": format!("c-{number}"), "movieName": "film", "showingId": format!("film-{}", number / 50), "seats": [format!("{}A", number % 50 + 1)],
                "totalPrice": 12_000,
            })
        },
        before: None,
    };
    asked.is_away_for_a_while().await;
}

#[tokio::test]
async fn delivery_of_the_mask_shop() {
    let asked = Asked {
        system: "mask-shop",
        processor: "delivery",
        collection: "orders",
        account: ("delivery", "registered", "cancelled"),
        amount: 1,
        established: "Placed",
        unavailable: "DeliveryUnavailable",
        body: |number| json!({ "orderId": format!("c-{number}"), "productId": "mask", "qty": 1 }),
        before: Some(("/mask-shop/inventories/mask/restock", json!({ "qty": 10_000 }))),
    };
    asked.is_away_for_a_while().await;
}
