//! The views may be away: orders are taken and cancelled meanwhile, and are all to be seen when they are back.

use orderflow_testkit::Mongod;
use serde_json::json;

use crate::cluster::Cluster;
use crate::story::{ANSWER_LIMIT, Row, nothing};
use crate::support::{COMMANDS, EVENTS, Instance};

const FOOD: Row = Row {
    system: "food-delivery",
    topics: &["food-delivery-orders-events", "food-delivery-payments-events", "food-delivery-store-events", "food-delivery-rejections"],
    paths: &["orders/{run}-placed", "orders/{run}-cancelled", "orders?limit=100&customerId={run}-kim", "notifications?limit=100&customerId={run}-kim"],
};

/// Orders and cancels through the broker, without any view, and waits for the events of it.
async fn order(broker: &Instance, run: &str) {
    for name in ["placed", "cancelled"] {
        let id = format!("{run}-{name}");
        let place = json!({ "type": "PlaceOrder", "orderId": id, "customerId": format!("{run}-kim"), "item": "chicken", "price": 9_000 });
        broker.produce(COMMANDS, Some(id.as_bytes()), place.to_string()).await;
        let is_of = |event: &serde_json::Value, kind: &str| event["subject"] == id.as_str() && event["type"] == kind;
        broker.consume(EVENTS, |events| events.iter().any(|event| is_of(event, "OrderPlaced"))).await;
        if name == "cancelled" {
            broker.produce(COMMANDS, Some(id.as_bytes()), json!({ "type": "CancelOrder", "orderId": id }).to_string()).await;
            broker.consume(EVENTS, |events| events.iter().any(|event| is_of(event, "OrderRefunded"))).await;
        }
    }
}

#[tokio::test]
async fn embedded_views_with_the_api_that_serves_them() {
    let cluster = Cluster::start(FOOD.system).await;
    let (mut views, _processors) = tokio::join!(cluster.process(&["--roles=views,api"]), cluster.process(&["--roles=processors"]));
    order(cluster.broker(), "calmrun").await;
    views.order("calmrun-cancelled", "Cancelled").await;
    views.kill().await;
    order(cluster.broker(), "awayrun").await;
    views.restart().await;
    FOOD.ends_alike(&views, "calmrun", "awayrun").await;
}

#[tokio::test]
async fn views_in_mongodb_while_the_api_goes_on() {
    let mongod = tokio::task::spawn_blocking(Mongod::start_owned).await.expect("a server");
    let mongodb = format!("--mongodb={}", mongod.uri());
    let cluster = Cluster::start(FOOD.system).await;
    let (api, views) = (["--roles=api", &mongodb], ["--roles=views", &mongodb]);
    let (api, mut views, _processors) = tokio::join!(cluster.process(&api), cluster.process(&views), cluster.process(&["--roles=processors"]));
    let play = async |run: &str| {
        for name in ["placed", "cancelled"] {
            let order = json!({ "orderId": format!("{run}-{name}"), "customerId": format!("{run}-kim"), "item": "chicken", "price": 9_000 });
            FOOD.command(&api, "orders", order, 201).await;
        }
        FOOD.command(&api, &format!("orders/{run}-cancelled/cancel"), nothing(), 200).await;
    };
    play("calmrun").await;
    views.kill().await;
    play("awayrun").await;
    assert_eq!(
        api.get("/food-delivery/orders/awayrun-placed").await.0,
        404,
        "nobody has put it into the view yet, and nobody waits for it for longer than {ANSWER_LIMIT:?}"
    );
    assert_eq!(api.get("/food-delivery/orders/calmrun-placed").await.0, 200, "what is known is served");
    views.restart().await;
    FOOD.ends_alike(&api, "calmrun", "awayrun").await;
}
