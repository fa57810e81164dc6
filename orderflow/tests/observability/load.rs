//! Customers of all businesses, a few of them all the time: so that everything that happens in an evening has happened.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::Instance;

/// Pause between two rounds: the load is there to be seen, not to be felt.
const PAUSE: Duration = Duration::from_millis(50);

/// Places, pays, serves and cancels until it is dropped.
pub(crate) async fn go_on(instance: &Instance) {
    instance.post("/mask-shop/inventories/kf94/restock", &json!({ "qty": 1_000_000 })).await;
    for round in 0_u64.. {
        food(instance, round).await;
        movie(instance, round).await;
        masks(instance, round).await;
        sleep(PAUSE).await;
    }
}

/// Posts what succeeds or is refused: an answer of the server's fault would be a finding.
async fn post(instance: &Instance, path: &str, body: &Value) {
    let (status, answer) = instance.post(path, body).await;
    assert!((200..500).contains(&status), "POST {path} {body}: {status} {answer}");
}

async fn food(instance: &Instance, round: u64) {
    let order = |id: &str, customer: &str| json!({ "orderId": id, "customerId": customer, "item": "chicken", "price": 18_000 });
    let (id, cancelled) = (format!("o-{round}"), format!("oc-{round}"));
    post(instance, "/food-delivery/orders", &order(&id, "kim")).await;
    post(instance, "/food-delivery/orders", &order(&id, "kim")).await;
    post(instance, "/food-delivery/orders", &order(&cancelled, "lee")).await;
    post(instance, &format!("/food-delivery/orders/{cancelled}/cancel"), &json!({})).await;
    post(instance, "/food-delivery/orders", &order(&format!("od-{round}"), "simulate-decline")).await;
    instance.get(&format!("/food-delivery/orders/{id}")).await;
}

async fn movie(instance: &Instance, round: u64) {
    let booking = |id: &str, customer: &str, seat: &str| json!({ "bookingId": id, "customerId": customer, "movieName": format!("Parasite {round}"), "seats": [seat], "qty": 1, "totalPrice": 15_000 });
    let cancelled = format!("bc-{round}");
    post(instance, "/movie-booking/bookings", &booking(&format!("b-{round}"), "kim", "1A")).await;
    post(instance, "/movie-booking/bookings", &booking(&format!("bt-{round}"), "lee", "1A")).await;
    post(instance, "/movie-booking/bookings", &booking(&cancelled, "lee", "2B")).await;
    post(instance, &format!("/movie-booking/bookings/{cancelled}/cancel"), &json!({})).await;
}

async fn masks(instance: &Instance, round: u64) {
    let order = |id: &str, qty: u32| json!({ "orderId": id, "customerId": "kim", "productId": "kf94", "qty": qty, "address": "Seoul" });
    let id = format!("m-{round}");
    post(instance, "/mask-shop/orders", &order(&id, 2)).await;
    post(instance, "/mask-shop/orders", &order(&id, 2)).await;
}
