//! What the adapter and KEDA ask is answered rightly by a real Prometheus with the rules that are shipped. What it scrapes is made up here, so that the right answer is known.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Router, routing::get};
use orderflow_testkit::Prometheus;

use super::{HPA, KEDA, NAMESPACE, RULES, asking::Asking};
use crate::kubernetes::Document;
use crate::kubernetes::agreement::Scaler;
use crate::workspace;

/// A process that shows made-up metrics.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<String>>);

impl Shown {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let shown = self.clone();
        let router = Router::new().route("/metrics", get(move || std::future::ready(shown.0.lock().expect("nobody panicked").clone())));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn show(&self, text: String) {
        *self.0.lock().expect("nobody panicked") = text;
    }
}

/// An instance that runs processors of food delivery: the lag of its groups, for how long what waits has waited, in seconds, and whether the breaker is open.
fn processors(lags: &[(&str, u32)], seconds: f64, is_open: bool) -> String {
    let mut text = "orderflow_instances{application=\"food-delivery\"} 2\norderflow_instances{application=\"mask-shop\"} 2\n".to_owned();
    for (group, lag) in lags {
        text += &format!("orderflow_consumergroup_lag_sum{{group=\"{group}\"}} {lag}\n");
    }
    text += &format!("orderflow_consumergroup_lag_seconds_max{{group=\"food-delivery.payments\"}} {seconds}\n");
    for (state, value) in [("closed", !is_open), ("open", is_open), ("half-open", false)] {
        let labels = format!("application=\"food-delivery\",processor=\"orders\",partition=\"0\",breaker=\"payment\",state=\"{state}\"");
        text += &format!("orderflow_breaker_state{{{labels}}} {}\n", u8::from(value));
    }
    text
}

/// How long appends took a process: their sum in seconds, and how many there were.
fn appends(seconds: f64, count: u32) -> String {
    format!("orderflow_log_append_latency_seconds_sum {seconds}\norderflow_log_append_latency_seconds_count {count}\n")
}

struct Scales {
    asking: Asking,
    queries: Vec<(String, String)>,
    _prometheus: Prometheus,
}

impl Scales {
    /// Waits until both ask for this number, for food delivery; none if there is nothing to tell.
    async fn ask_for(&self, wanted: Option<f64>, why: &str) {
        let began = std::time::Instant::now();
        loop {
            let (adapter, keda) = &self.queries[0];
            let numbers = (self.asking.number(adapter).await.expect("it is a query"), self.asking.number(keda).await.expect("it is a query"));
            if numbers == (wanted, wanted) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{why}: {wanted:?} is wanted, {numbers:?} is told");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn scales(targets: Vec<String>) -> Scales {
    let rules = workspace::root().join(RULES);
    let prometheus = tokio::task::spawn_blocking(move || Prometheus::try_start_labelled(&targets, &[("namespace", NAMESPACE)], &[rules]));
    let prometheus = prometheus.await.expect("it does not panic").expect("it starts");
    let asking = Asking::of(prometheus.address()).expect("it can be asked");
    let queries = |path: &str| -> Vec<String> {
        let text = fs::read_to_string(workspace::root().join(path)).expect(path);
        Document::all(&text).expect(path).iter().map(|document| Scaler::of(document).expect(path).query).collect()
    };
    Scales { asking, queries: queries(HPA).into_iter().zip(queries(KEDA)).collect(), _prometheus: prometheus }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_are_told_the_lag_of_all_instances_unless_more_of_them_would_not_help() {
    let (one, two, api) = (Shown::default(), Shown::default(), Shown::default());
    let scales = scales(vec![one.start().await, two.start().await, api.start().await]).await;
    scales.ask_for(None, "nobody says anything").await;

    one.show(processors(&[("food-delivery.orders", 700), ("food-delivery.payments", 40), ("mask-shop.orders", 9_000)], 0.1, false));
    two.show(processors(&[("food-delivery.orders", 300), ("food-delivery.payments", 0)], 0.0, false));
    scales.ask_for(Some(1_040.0), "the lag of all groups of the system, over all instances").await;

    two.show(processors(&[("food-delivery.orders", 300), ("food-delivery.payments", 0)], 0.0, true));
    scales.ask_for(Some(1_000.0), "a breaker is open: two instances stand for what two instances stand for").await;
    one.show(processors(&[("food-delivery.orders", 700), ("food-delivery.payments", 400)], 2.0, false));
    scales.ask_for(Some(1_400.0), "it is open since we are late ourselves").await;
    two.show(processors(&[("food-delivery.orders", 300), ("food-delivery.payments", 0)], 0.0, false));

    let show_appends = |sums: [f64; 3], count: u32| {
        one.show(processors(&[("food-delivery.orders", 2_000)], 0.0, false) + &appends(sums[0], count));
        two.show(processors(&[("food-delivery.orders", 0)], 0.0, false) + &appends(sums[1], count));
        api.show(appends(sums[2], count));
    };
    show_appends([0.0, 0.0, 0.0], 0);
    scales.ask_for(Some(2_000.0), "nothing was appended").await;
    show_appends([90.0, 80.0, 0.5], 100);
    scales.ask_for(Some(2_000.0), "instances that have no CPU wait long, but the API does not").await;
    show_appends([900.0, 800.0, 400.0], 1_000);
    scales.ask_for(Some(1_000.0), "Fluvio is slow for everybody").await;

    one.show(String::new());
    two.show("orderflow_instances{application=\"food-delivery\"} 1\n".to_owned());
    scales.ask_for(Some(500.0), "there is one instance, and nobody says how much lag there is").await;
    let (adapter, keda) = &scales.queries[1];
    for query in [adapter, keda] {
        assert_eq!(scales.asking.number(query).await.expect("it is a query"), None, "movie booking has no instances here: {query}");
    }
}
