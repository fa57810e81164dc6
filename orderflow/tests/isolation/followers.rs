//! Who goes on afterwards may be away: customers order and cancel meanwhile, and everything catches up by itself.

use serde_json::json;

use crate::cluster::Cluster;
use crate::story::{Row, at_once, nothing};
use crate::support::Instance;

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
