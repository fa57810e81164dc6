//! Whoever decides on orders may be away, and everybody else too: what customers sent is on record, and is decided later.

use serde_json::json;

use crate::cluster::Cluster;
use crate::story::{Row, nothing};
use crate::support::COMMANDS;

const FOOD: Row = Row { system: "food-delivery", topics: &[], paths: &[] };

#[tokio::test]
async fn orders_are_on_record_while_nobody_decides_and_are_decided_later() {
    let cluster = Cluster::start(FOOD.system).await;
    // The topics are there although nothing runs that reads or writes them.
    cluster.broker().produce(COMMANDS, Some(b"o-1"), json!({ "type": "PlaceOrder", "orderId": "o-1", "item": "chicken" }).to_string()).await;
    let (api, _payments) = tokio::join!(
        cluster.process(&["--roles=processors,views,api", "--without=orders,payments"]),
        cluster.process(&["--roles=processors", "--only=payments"])
    );
    let order = json!({ "orderId": "o-2", "item": "chicken" });
    let (answer, cancelled) = tokio::join!(FOOD.command(&api, "orders", order, 202), FOOD.command(&api, "orders/o-1/cancel", nothing(), 202));
    assert!(answer["commandId"].is_string() && answer["orderId"] == "o-2", "{answer}");
    assert!(cancelled["commandId"].is_string(), "{cancelled}");
    let _orders = cluster.process(&["--roles=processors", "--only=orders"]).await;
    api.order("o-1", "Cancelled").await;
    api.order("o-2", "Placed").await;
}
