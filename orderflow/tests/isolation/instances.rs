//! Instances that share the tasks of a system: they divide them, follow each other's, and go on without the one that is killed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::support::{run, until};

const ORDERS: &str = "/food-delivery/orders";

/// Returns what `orderflow instances` tells about the system.
async fn instances(cluster: &Cluster) -> Value {
    let fluvio = format!("--fluvio={}", cluster.broker().address("sc"));
    let output = run(&["instances", "food-delivery", "--json", &fluvio]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let all: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    all[0].clone()
}

/// Returns how many tasks each instance runs.
fn shares(shared: &Value) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for task in shared["tasks"].as_array().expect("there are tasks") {
        *shares.entry(task["owner"].as_str().unwrap_or("nobody").to_owned()).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn two_instances_share_the_tasks_and_one_goes_on_with_all_of_them_when_the_other_is_killed() {
    let cluster = Cluster::start("food-delivery").await;
    let flags = |name: &'static str| ["--roles=processors", "--standbys=1", name];
    let api = cluster.process(&["--roles=views,api"]).await;
    let mut first = cluster.process(&flags("--instance=first")).await;
    let _second = cluster.process(&flags("--instance=second")).await;
    until("the tasks are shared, and each instance could take over those of the other at once", async || {
        let shared = instances(&cluster).await;
        let tasks = shared["tasks"].as_array().expect("there are tasks");
        let other = |owner: &Value| if owner == "first" { "second" } else { "first" };
        let is_followed = |task: &Value| task["standbys"] == json!([[other(&task["owner"]), true]]);
        let even = shares(&shared).values().copied().collect::<Vec<_>>() == [tasks.len() / 2; 2];
        even && tasks.iter().all(is_followed)
    })
    .await;
    let place = async |number: usize| {
        let (code, answer) = api.post(ORDERS, &json!({ "orderId": format!("o-{number}"), "item": "chicken" })).await;
        assert!([201, 202].contains(&code), "{code} {answer}");
    };
    for number in 0..10 {
        place(number).await;
    }
    first.kill().await;
    for number in 10..20 {
        place(number).await;
    }
    for number in 0..20 {
        api.order(&format!("o-{number}"), "Placed").await;
    }
    let shared = instances(&cluster).await;
    assert_eq!(shares(&shared).into_keys().collect::<Vec<_>>(), ["second"], "{shared}");
    until("nothing is left to take", async || {
        let shared = instances(&cluster).await;
        shared["tasks"].as_array().expect("there are tasks").iter().all(|task| task["lagRecords"] == 0 || task["lagRecords"].is_null())
    })
    .await;
    // It comes back under its name, and gets its half again.
    first.restart().await;
    until("the tasks are shared again", async || shares(&instances(&cluster).await).len() == 2).await;
    api.post(ORDERS, &json!({ "orderId": "o-20", "item": "chicken" })).await;
    api.order("o-20", "Placed").await;
}
