//! The other subcommands.

use crate::support::{ALL_SYSTEMS, Instance, run};

#[tokio::test]
async fn the_topology_is_printed_from_the_code() {
    let text = run(&["topology"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for line in ["application food-delivery", "processor orders", "<-- food-delivery-commands", "--> food-delivery-orders-events", "calls   payment-provider"] {
        assert!(text.contains(line), "{text}");
    }
    let mermaid = run(&["topology", "--format", "mermaid"]).await;
    assert!(String::from_utf8_lossy(&mermaid.stdout).starts_with("flowchart LR\n"));
}

#[tokio::test]
async fn topics_are_created_on_a_cluster_that_is_new_and_left_alone_on_one_that_is_not() {
    // Another instance's broker is a cluster like any other.
    let instance = Instance::start(&[ALL_SYSTEMS]).await;
    let sc = instance.address("sc");
    let list = run(&["topics", "--fluvio", &sc]).await;
    let listed = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.status.success() && listed.contains("food-delivery-orders-journal") && !listed.contains("missing"), "{listed}");
    let apply = run(&["topics", "apply", "--fluvio", &sc]).await;
    let applied = String::from_utf8_lossy(&apply.stdout).into_owned();
    assert!(apply.status.success() && applied.contains("0 topics created"), "{applied}");
    let other = run(&["topics", "apply", "--fluvio", &sc, "--partitions", "7"]).await;
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("--partitions"));
}
