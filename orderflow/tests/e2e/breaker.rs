//! The operator's hand on the breakers, from the command line to the customers.

use serde_json::{Value, json};

use crate::support::{Instance, orderflow, run, until};

const ORDERS: &str = "/food-delivery/orders";
const PARTITIONS: usize = 4;

/// Runs `orderflow breaker --json`; returns its exit code and what it printed.
async fn breaker(instance: &Instance, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(&[&["breaker", "--json", "--fluvio", &instance.address("sc")], arguments].concat()).await;
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), told)
}

fn all<'a>(told: &'a [Value], member: &str) -> Vec<&'a str> {
    told.iter().map(|told| told[member].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn an_operator_opens_closes_and_resets_the_breakers_and_the_orders_follow() {
    let instance = Instance::start(&[]).await;
    let order = |id: &str| json!({ "orderId": id, "item": "chicken", "price": 18_000 });
    let (code, listed) = breaker(&instance, &["list"]).await;
    assert_eq!((code, all(&listed, "state")), (Some(0), vec!["closed"; PARTITIONS]));

    let forcing = ["force", "food-delivery", "open", "--reason", "the provider migrates", "--operator", "lee"];
    let (code, told) = breaker(&instance, &forcing).await;
    assert_eq!(code, Some(0), "{told:?}");
    assert_eq!((all(&told, "from"), all(&told, "to")), (vec!["closed"; PARTITIONS], vec!["forced-open"; PARTITIONS]));
    for id in ["w-1", "w-2", "w-3"] {
        let (status, deferred) = instance.post(ORDERS, &order(id)).await;
        assert_eq!((status, deferred["reason"].as_str()), (202, Some("PaymentUnavailable")), "{deferred}");
        assert_eq!(deferred["payment"]["attempts"], 0, "the provider is left alone");
    }
    let (_, listed) = breaker(&instance, &["list", "food-delivery"]).await;
    assert_eq!(all(&listed, "state"), ["forced-open"; PARTITIONS]);
    assert!(listed.iter().all(|shown| shown["forced"]["operator"] == "lee" && shown["since"].is_string() && shown["transitions"] == 1), "{listed:?}");
    until("the metrics say so", async || instance.metric("orderflow_breaker_state", &["state=\"open\""]).await == PARTITIONS as f64).await;

    // To one partition, then to all: what is closed stays closed, and everybody answers.
    let (code, told) = breaker(&instance, &["force", "food-delivery", "closed", "--partition", "1"]).await;
    assert_eq!((code, told.len()), (Some(0), 1));
    let (code, told) = breaker(&instance, &["reset", "food-delivery"]).await;
    assert_eq!((code, all(&told, "to")), (Some(0), vec!["closed"; PARTITIONS]));
    assert_eq!(all(&told, "from"), ["forced-open", "closed", "forced-open", "forced-open"]);
    for id in ["w-1", "w-2", "w-3"] {
        instance.order(id, "Placed").await;
    }
    let (_, listed) = breaker(&instance, &[]).await;
    assert_eq!(all(&listed, "state"), ["closed"; PARTITIONS]);
}

#[tokio::test]
async fn who_does_not_answer_is_named_and_wrong_arguments_say_what_would_do() {
    let instance = Instance::start(&["--without=orders"]).await;
    let (code, told) = breaker(&instance, &["force", "food-delivery", "disabled", "--wait-ms", "300"]).await;
    assert_eq!(code, Some(1));
    assert!(told.len() == PARTITIONS && told.iter().all(|told| told["problem"].as_str().is_some_and(|problem| problem.contains("no answer"))), "{told:?}");

    let sc = instance.address("sc");
    for (arguments, said) in [
        (&["force", "food-delivery", "ajar"][..], "open, closed, disabled, half-open"),
        (&["force", "flower-shop", "open"], "there is no system `flower-shop`; there are food-delivery, movie-booking, mask-shop"),
        (&["reset", "food-delivery", "--partition", "4"], "has the partitions 0 to 3"),
        (&["list", "mask-shop"], "there are no topics of mask-shop"),
    ] {
        let output = orderflow(&[&["breaker", "--fluvio", &sc], arguments].concat()).output().await.expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
