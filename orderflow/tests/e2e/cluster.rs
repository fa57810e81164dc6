//! An instance on a cluster that is not its own: here a broker of the test's.

use std::net::SocketAddr;

use orderflow_broker::{Broker, DataDir, Options};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Instance, until};

async fn broker(directory: &TempDir, sc_addr: SocketAddr, spu_addr: SocketAddr) -> Broker {
    let options = Options { data_dir: DataDir::Path(directory.path().join("broker")), sc_addr, spu_addr, ..Options::default() };
    Broker::start(options).await.expect("a broker starts")
}

/// Places an order. The cluster may still be preparing the streams that were just opened, and then the answer is that it is not decided yet.
async fn place(instance: &Instance, id: &str) {
    let (status, answer) = instance.post("/food-delivery/orders", &json!({ "orderId": id, "item": "chicken" })).await;
    assert!(matches!(status, 201 | 202), "{status} {answer}");
    instance.order(id, "Placed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_while_the_cluster_is_away_and_goes_on_when_it_is_back() {
    let directory = TempDir::new().expect("a temporary directory");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let cluster = broker(&directory, any, any).await;
    let (sc, spu) = (cluster.sc_addr(), cluster.spu_addr());
    let instance = Instance::start(&[&format!("--fluvio={sc}")]).await;
    assert_eq!(instance.address("sc"), sc.to_string());
    place(&instance, "o-1").await;

    cluster.stop().await;
    until("it says that it is not ready", async || instance.get("/health/ready").await.0 == 503).await;
    assert_eq!(instance.get("/health/live").await.0, 200);
    assert_eq!(instance.get("/food-delivery/orders/o-1").await.0, 200, "what is known is served");
    assert_eq!(instance.post("/food-delivery/orders", &json!({ "orderId": "o-2", "item": "chicken" })).await.0, 503);

    let cluster = broker(&directory, sc, spu).await;
    instance.ready().await;
    place(&instance, "o-3").await;
    cluster.stop().await;
}
