//! Who goes on afterwards may be away: customers order and cancel meanwhile, and everything catches up by itself.

use std::fs;

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, Offset, TopicProducerPool};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::story::{Row, at_once, nothing};
use crate::support::{COMMANDS, EVENTS, Instance, LIMIT, REJECTIONS, producer};

const FOOD: Row = Row {
    system: "food-delivery",
    topics: &[
        "food-delivery-orders-events",
        "food-delivery-store-events",
        "food-delivery-payments-events",
        "food-delivery-notifications-events",
        "food-delivery-rejections",
    ],
    paths: &[
        "orders/{run}-placed",
        "orders/{run}-accepted",
        "orders/{run}-cooking",
        "orders/{run}-cancelled",
        "orders/{run}-declined",
        "notifications?limit=100&customerId={run}-kim",
        "notifications?limit=100&customerId=simulate-decline-{run}",
    ],
};

/// Plays a story; `away`: the store and the notifications are not there.
async fn food(api: &Instance, run: &str, away: bool) {
    let kim = format!("{run}-kim");
    let place = async |name: &str, customer: &str, status: u16| {
        let order = json!({ "orderId": format!("{run}-{name}"), "customerId": customer, "item": "chicken", "price": 18_000 });
        FOOD.command(api, "orders", order, status).await
    };
    let declined = format!("simulate-decline-{run}");
    let orders = [("placed", &kim, 201), ("accepted", &kim, 201), ("cooking", &kim, 201), ("cancelled", &kim, 201), ("declined", &declined, 402)];
    at_once(orders.map(|(name, customer, status)| place(name, customer, status))).await;
    FOOD.command(api, &format!("orders/{run}-cancelled/cancel"), nothing(), 200).await;
    // Whoever decides on these is away: they are on record, and will be decided.
    let status = if away { 202 } else { 200 };
    let step = async |order: &str, verb: &str| FOOD.command(api, &format!("orders/{run}-{order}/{verb}"), nothing(), status).await;
    tokio::join!(step("accepted", "accept"), async {
        step("cooking", "accept").await;
        step("cooking", "start-cooking").await;
    });
}

#[tokio::test]
async fn store_and_notifications() {
    let cluster = Cluster::start(FOOD.system).await;
    let (api, mut store, mut notifications) = tokio::join!(
        cluster.process(&["--roles=processors,views,api", "--without=store,notifications"]),
        cluster.process(&["--roles=processors", "--only=store"]),
        cluster.process(&["--roles=processors", "--only=notifications"]),
    );
    food(&api, "calmrun", false).await;
    store.kill().await;
    notifications.kill().await;
    food(&api, "awayrun", true).await;
    assert_eq!(api.get("/health/ready").await.0, 200, "who is away is no reason not to be ready");
    tokio::join!(store.restart(), notifications.restart());
    FOOD.ends_alike(&api, "calmrun", "awayrun").await;
}

/// Orders of a backlog, and how many of them are placed before the first of these is accepted.
const BACKLOG: usize = 2_000;
const ROUND: usize = 50;

/// Sends a command about each of these orders in one go.
async fn command_all(commands: &TopicProducerPool, orders: std::ops::Range<usize>, command: impl Fn(&str) -> Value) {
    let mut sent = Vec::new();
    for order in orders {
        let id = format!("backlog-{order}");
        sent.push(commands.send(id.clone(), command(&id).to_string()).await.expect("it is sent"));
    }
    commands.flush().await.expect("they are flushed");
    for sent in sent {
        sent.wait().await.expect("it is acknowledged");
    }
}

/// Returns the records of a topic, as they come.
async fn records(client: &Fluvio, topic: &str) -> impl Stream<Item = Value> + Unpin {
    let config = ConsumerConfigExtBuilder::default().topic(topic).offset_start(Offset::beginning()).build().expect("settings are right");
    let stream = client.consumer_with_config(config).await.expect("the topic can be consumed");
    stream.map(|record| serde_json::from_slice(record.expect("records can be read").value()).expect("they are JSON")).boxed()
}

/// Waits until so many more events of this type have come.
async fn wait_for(count: usize, kind: &str, events: &mut (impl Stream<Item = Value> + Unpin)) {
    let mut found = 0;
    let waited = timeout(LIMIT, async {
        while found < count {
            let event = events.next().await.expect("the stream goes on");
            found += usize::from(event["type"] == kind);
        }
    });
    let is_timely = waited.await.is_ok();
    assert!(is_timely, "{found} of {count} times {kind}");
}

/// Commands do not wait for their orders here, so each that is read too early is refused.
#[tokio::test]
async fn a_store_that_comes_back_to_a_backlog_refuses_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("orderflow.toml");
    fs::write(&file, "[business.food-delivery]\nparkMs = 1\ndeadlineMs = 20000\n").expect("the file can be written");
    let config = format!("--config={}", file.display());
    let cluster = Cluster::start(FOOD.system).await;
    let front = cluster.process(&["--roles=processors", "--without=store,notifications", &config]).await;
    let mut store = cluster.process(&["--roles=processors", "--only=store", &config]).await;
    store.kill().await;
    let client = front.client().await;
    let commands = producer(&client, COMMANDS).await;
    let mut events = records(&client, EVENTS).await;
    // So much to eat that the events of a task do not come in one go, as its commands do.
    let items = vec![json!({ "item": "chicken".repeat(70) }); 8];
    for begin in (0..BACKLOG).step_by(ROUND) {
        let end = begin + ROUND;
        command_all(&commands, begin..end, |id| json!({ "type": "PlaceOrder", "orderId": id, "items": items })).await;
        wait_for(ROUND, "OrderPlaced", &mut events).await;
        command_all(&commands, begin..end, |id| json!({ "type": "AcceptOrder", "orderId": id })).await;
    }
    store.restart().await;
    let (mut events, mut rejections) = (records(&client, "food-delivery-store-events").await, records(&client, REJECTIONS).await);
    tokio::select! {
        refused = rejections.next() => panic!("refused: {refused:?}"),
        () = wait_for(BACKLOG, "OrderAccepted", &mut events) => {}
    }
}

const MOVIE: Row = Row {
    system: "movie-booking",
    topics: &[
        "movie-booking-bookings-events",
        "movie-booking-tickets-events",
        "movie-booking-payments-events",
        "movie-booking-seats-events",
        "movie-booking-notifications-events",
        "movie-booking-rejections",
    ],
    paths: &[
        "bookings/{run}-booked",
        "bookings/{run}-printed",
        "bookings/{run}-cancelled",
        "bookings/{run}-refused",
        "tickets/{run}-booked",
        "tickets/{run}-printed",
        "tickets/{run}-cancelled",
        "seats?limit=100&showingId={run}-film",
        "notifications?limit=100&customerId={run}-kim",
    ],
};

/// Plays a story; `away`: the ticket desk and the notifications are not there.
async fn movie(api: &Instance, run: &str, away: bool) {
    let book = async |name: &str, seat: &str, status: u16| {
        let booking = json!({
            "bookingId": format!("{run}-{name}"), "customerId": format!("{run}-kim"), "movieName": format!("{run} film"), "showingId": format!("{run}-film"),
            "seats": [seat], "totalPrice": 12_000,
        });
        MOVIE.command(api, "bookings", booking, status).await
    };
    at_once([("booked", "1A"), ("printed", "1B"), ("cancelled", "2A")].map(|(name, seat)| book(name, seat, 201))).await;
    book("refused", "1A", 409).await;
    MOVIE.command(api, &format!("bookings/{run}-cancelled/cancel"), nothing(), 200).await;
    MOVIE.command(api, &format!("tickets/{run}-printed/print"), nothing(), if away { 202 } else { 200 }).await;
}

#[tokio::test]
async fn tickets_and_notifications() {
    let cluster = Cluster::start(MOVIE.system).await;
    let (api, mut tickets, mut notifications) = tokio::join!(
        cluster.process(&["--roles=processors,views,api", "--without=tickets,notifications"]),
        cluster.process(&["--roles=processors", "--only=tickets"]),
        cluster.process(&["--roles=processors", "--only=notifications"]),
    );
    movie(&api, "calmrun", false).await;
    tickets.kill().await;
    notifications.kill().await;
    movie(&api, "awayrun", true).await;
    tokio::join!(tickets.restart(), notifications.restart());
    MOVIE.ends_alike(&api, "calmrun", "awayrun").await;
}

const MASK: Row = Row {
    system: "mask-shop",
    topics: &["mask-shop-orders-events", "mask-shop-delivery-events", "mask-shop-inventory-events", "mask-shop-notifications-events", "mask-shop-rejections"],
    paths: &[
        "orders/{run}-placed",
        "orders/{run}-cancelled",
        "orders/{run}-short",
        "orders/{run}-completed",
        "deliveries/{run}-placed",
        "deliveries/{run}-cancelled",
        "deliveries/{run}-short",
        "deliveries/{run}-completed",
        "inventories/{run}-mask",
        "notifications?limit=100&customerId={run}-kim",
    ],
};

/// Plays a story; `away`: the inventory, the couriers and the notifications are not there.
async fn mask(api: &Instance, run: &str, away: bool) {
    let place = async |name: &str, qty: u32| {
        let order = json!({ "orderId": format!("{run}-{name}"), "customerId": format!("{run}-kim"), "productId": format!("{run}-mask"), "qty": qty });
        MASK.command(api, "orders", order, 201).await
    };
    at_once([("placed", 3), ("cancelled", 2), ("short", 100), ("completed", 1)].map(|(name, qty)| place(name, qty))).await;
    MASK.command(api, &format!("orders/{run}-cancelled/cancel"), nothing(), 200).await;
    let status = if away { 202 } else { 200 };
    let complete = format!("deliveries/{run}-completed/complete");
    let restock = format!("inventories/{run}-mask/restock");
    tokio::join!(MASK.command(api, &complete, nothing(), status), MASK.command(api, &restock, json!({ "qty": 5 }), status));
}

#[tokio::test]
async fn inventory_couriers_and_notifications() {
    let cluster = Cluster::start(MASK.system).await;
    let (api, mut inventory, mut couriers) = tokio::join!(
        cluster.process(&["--roles=processors,views,api", "--without=inventory,couriers,notifications"]),
        cluster.process(&["--roles=processors", "--only=inventory"]),
        cluster.process(&["--roles=processors", "--only=couriers,notifications"]),
    );
    for run in ["calmrun", "awayrun"] {
        MASK.command(&api, &format!("inventories/{run}-mask/restock"), json!({ "qty": 10 }), 200).await;
    }
    mask(&api, "calmrun", false).await;
    inventory.kill().await;
    couriers.kill().await;
    mask(&api, "awayrun", true).await;
    tokio::join!(inventory.restart(), couriers.restart());
    MASK.ends_alike(&api, "calmrun", "awayrun").await;
    let stock = api.get("/mask-shop/inventories/awayrun-mask").await.1;
    assert_eq!((stock["onHand"].as_i64(), stock["received"].as_i64()), (Some(11), Some(15)), "{stock}");
}
