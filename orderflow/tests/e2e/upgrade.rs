//! Another version of the program on what was stored: what it cannot go on with it refuses, says why, and ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluvio::metadata::topic::TopicSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::Log as _;
use fluvio_streams::runtime::{Options, Runtime};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::topology::Topology;
use orderflow_broker::Broker;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Instance, client, consume, free_ports, producer, run, send};

const JOURNAL: &str = "food-delivery-orders-journal";

/// Runs the program to its end, which must be a refusal; returns what it says.
async fn refused(sc: &str) -> String {
    let ports = free_ports().into_iter().filter(|port| !port.starts_with("--sc-addr") && !port.starts_with("--spu-addr"));
    let flags =
        ["up", "--ephemeral", "--systems=food-delivery", "--partitions=1"].map(str::to_owned).into_iter().chain([format!("--fluvio={sc}")]).chain(ports);
    let output = run(&flags.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// The processor of orders as a later program has it, which its predecessors cannot follow.
fn later() -> Topology {
    let mut topology = food_delivery::system(&business::Config::default()).expect("the settings work").topology;
    topology.processors.retain(|processor| processor.name == "orders");
    for processor in &mut topology.processors {
        processor.stores = std::mem::take(&mut processor.stores).into_iter().map(|store| store.breaking(|value| value)).collect();
    }
    topology
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_later_program_can_read_is_left_to_it() {
    let broker = Broker::start(orderflow_broker::Options::default()).await.expect("a broker starts");
    let sc = broker.sc_addr().to_string();
    let mut instance = Instance::start(&[&format!("--fluvio={sc}"), "--systems=food-delivery", "--partitions=1"]).await;
    let (status, answer) = instance.post("/food-delivery/orders", &json!({"orderId": "o-1", "item": "chicken"})).await;
    assert!(matches!(status, 201 | 202), "{status} {answer}");
    instance.order("o-1", "Placed").await;
    instance.signal(Signal::TERM).await;

    let log = FluvioLog::connect(FluvioLogOptions::new(sc.clone())).await.expect("the log connects");
    let options = Options { calls: BTreeMap::new(), ..Options::new(log.clone(), Arc::new(MemoryStores::default()), "later") };
    let runtime = Runtime::start(&later(), options).await.expect("it starts");
    let client = client(&sc).await;
    let commands = producer(&client, "food-delivery-commands").await;
    send(&commands, Some(b"o-1"), json!({"type": "CancelOrder", "orderId": "o-1"}).to_string()).await;
    let is_cancelled = |events: &[serde_json::Value]| events.iter().any(|event| event["type"] == "OrderCancelled");
    consume(&client, "food-delivery-orders-events", is_cancelled).await;
    runtime.stop().await;

    let end = log.offsets(JOURNAL, 0).await.expect("answers").end;
    let said = refused(&sc).await;
    assert!(said.contains("food-delivery-orders-0: "), "{said}");
    assert!(
        said.contains(
            "of processor `orders` holds values of version 2, which programs read that know version 2; this one knows version 1: run a newer program"
        ),
        "{said}"
    );
    assert_eq!(log.offsets(JOURNAL, 0).await.expect("answers").end, end, "not even a fence");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_seems_to_be_renamed_is_refused_before_its_topics_are_made() {
    let broker = Broker::start(orderflow_broker::Options::default()).await.expect("a broker starts");
    let sc = broker.sc_addr().to_string();
    let admin = FluvioAdmin::connect_with_config(&FluvioClusterConfig::new(sc.clone())).await.expect("the admin client connects");
    let old = "food-delivery-bestellungen-journal";
    admin.create(old.to_owned(), false, TopicSpec::new_computed(1, 1, None)).await.expect("the topic is created");
    let journal = producer(&client(&sc).await, old).await;
    send(&journal, None, "what a task wrote").await;
    let said = refused(&sc).await;
    assert!(said.contains(&format!("topic `{old}` holds the state of a processor that this program does not have")), "{said}");
    assert!(said.contains("give it its old name") && said.contains(&format!("fluvio topic delete {old}")), "{said}");
    let topics = admin.all::<TopicSpec>().await.expect("it lists");
    assert!(!topics.iter().any(|topic| topic.name == JOURNAL), "nothing was made");

    admin.delete::<TopicSpec>(old.to_owned()).await.expect("it is deleted");
    let instance = Instance::start(&[&format!("--fluvio={sc}"), "--systems=food-delivery", "--partitions=1"]).await;
    instance.ready().await;
    broker.stop().await;
}
