//! Processes that share a broker and a data directory.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Instance, free_ports, orderflow, run};

#[tokio::test]
async fn one_data_directory_for_several_processes_that_do_different_things() {
    let broker = Instance::start(&["--without=store", "--systems=food-delivery"]).await;
    let fluvio = format!("--fluvio={}", broker.address("sc"));
    let data = broker.data().display().to_string();
    let ports = free_ports();
    let flags = ["up", "--systems=food-delivery", "--data-dir", &data, &fluvio, "--roles=processors", "--only=store"];
    let flags: Vec<&str> = flags.into_iter().chain(ports.iter().map(String::as_str)).collect();
    let _store = orderflow(&flags).stdout(Stdio::null()).spawn().expect("it starts");
    broker.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "chicken" })).await;
    broker.command("o-1", &json!({ "type": "AcceptOrder", "orderId": "o-1" })).await;
    broker.order("o-1", "Accepted").await;
    let second = run(&flags).await;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("--data-dir") && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn the_topology_of_a_part_shows_that_part() {
    let part = run(&["topology", "--systems=food-delivery,movie-booking", "--only=store,movie-booking/payments"]).await;
    let part = String::from_utf8_lossy(&part.stdout).into_owned();
    let shown: Vec<&str> = part.lines().map(str::trim).filter(|line| line.starts_with("application") || line.starts_with("processor")).collect();
    assert_eq!(shown, ["application food-delivery", "processor store", "application movie-booking", "processor payments"]);
}
