//! Commands and views over HTTP: every status that the contract names.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Instance, until};

const ORDERS: &str = "/food-delivery/orders";

#[tokio::test]
async fn commands_are_answered_by_what_becomes_of_them() {
    let instance = Instance::start(&[]).await;
    let order = |id: &str, customer: &str| json!({ "orderId": id, "customerId": customer, "item": "chicken", "price": 18_000 });

    let (status, placed) = instance.post(ORDERS, &json!({ "item": "chicken" })).await;
    assert_eq!((status, placed["status"].as_str()), (201, Some("Placed")), "{placed}");
    let id = placed["orderId"].as_str().expect("the answer tells the id").to_owned();
    assert_eq!(instance.get(&format!("{ORDERS}/{id}")).await.0, 200);

    let (status, declined) = instance.post(ORDERS, &order("declined", "simulate-decline")).await;
    assert_eq!((status, declined["reason"].as_str()), (402, Some("PaymentDeclined")), "{declined}");

    let (status, deferred) = instance.post(ORDERS, &order("deferred", "simulate-stall")).await;
    assert_eq!((status, deferred["status"].as_str()), (202, Some("PaymentDeferred")), "{deferred}");

    let (status, taken) = instance.post(ORDERS, &order(&id, "kim")).await;
    assert_eq!((status, taken["reason"].as_str()), (409, Some("OrderExists")), "{taken}");

    for (verb, status) in [("accept", "Accepted"), ("start-cooking", "Cooking"), ("start-delivery", "Delivering"), ("complete-delivery", "Delivered")] {
        let (code, order) = instance.post(&format!("{ORDERS}/{id}/{verb}"), &json!({})).await;
        assert_eq!((code, order["status"].as_str()), (200, Some(status)), "{order}");
    }
    let (status, refused) = instance.post(&format!("{ORDERS}/{id}/cancel"), &json!({})).await;
    assert_eq!((status, refused["reason"].as_str()), (409, Some("OrderAlreadyDelivered")), "{refused}");
    let (status, unknown) = instance.post(&format!("{ORDERS}/nobody/cancel"), &json!({})).await;
    assert_eq!((status, unknown["status"].as_u64()), (404, Some(404)), "{unknown}");
}

#[tokio::test]
async fn a_created_order_says_where_it_is() {
    let instance = Instance::start(&[]).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let base = format!("http://{}", instance.address("http"));
    let send = || http.post(format!("{base}{ORDERS}")).header("idempotency-key", "once").json(&json!({ "item": "chicken" })).send();
    let first = send().await.expect("there is an answer");
    assert_eq!(first.status(), 201);
    let location = first.headers()["location"].to_str().expect("a location is text").to_owned();
    let first: Value = first.json().await.expect("the answer is JSON");
    assert_eq!(location, format!("{ORDERS}/{}", first["orderId"].as_str().expect("an id")));
    let second = send().await.expect("there is an answer");
    assert_eq!(second.status(), 200, "the same command again has the effect of once");
    let second: Value = second.json().await.expect("the answer is JSON");
    assert_eq!(second["orderId"], first["orderId"]);
    let all = instance.get(ORDERS).await.1;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_as_a_problem() {
    let instance = Instance::start(&[]).await;
    let long = "x".repeat(70_000);
    let text = "x".repeat(600);
    for (body, status, field) in [
        ("{".to_owned(), 400, Some("")),
        ("[]".to_owned(), 400, Some("")),
        ("{}".to_owned(), 422, Some("item")),
        (json!({ "item": 7 }).to_string(), 422, Some("item")),
        (json!({ "item": "chicken", "quantity": 0 }).to_string(), 422, Some("quantity")),
        (json!({ "item": "chicken", "quantity": 1.5 }).to_string(), 422, Some("quantity")),
        (json!({ "item": "chicken", "price": -1 }).to_string(), 422, Some("price")),
        (json!({ "item": "chicken", "price": 2_000_000_000_000_i64 }).to_string(), 422, Some("price")),
        (json!({ "item": text }).to_string(), 422, Some("item")),
        (json!({ "items": [{ "item": "chicken" }, { "item": "beer", "quantity": "two" }] }).to_string(), 422, Some("items[1].quantity")),
        (json!({ "item": "chicken", "orderId": "" }).to_string(), 422, Some("orderId")),
        (json!({ "item": "chicken", "type": "CancelOrder" }).to_string(), 422, Some("type")),
        (json!({ "item": long }).to_string(), 413, None),
    ] {
        let (code, problem) = instance.post_raw(ORDERS, "application/json", body.clone()).await;
        let sent = &body[..body.len().min(80)];
        assert_eq!(code, status, "{sent}: {problem}");
        assert_eq!(problem["status"], status, "{sent}: {problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(), "{sent}: {problem}");
        if let Some(field) = field {
            assert_eq!(problem["errors"][0]["field"], field, "{sent}: {problem}");
        }
    }
    assert_eq!(instance.post_raw(ORDERS, "text/plain", "chicken").await.0, 415);
    assert_eq!(instance.get("/food-delivery/orders/nobody").await.0, 404);
    assert_eq!(instance.get("/pizza").await.0, 404);
    let refused = instance.request(Method::DELETE, ORDERS).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(instance.get(&format!("{ORDERS}?colour=red")).await.0, 400);
    // And the next one is served.
    assert_eq!(instance.post(ORDERS, &json!({ "item": "chicken" })).await.0, 201);
}

#[tokio::test]
async fn orders_are_listed_by_customer_status_and_store_page_by_page() {
    let instance = Instance::start(&[]).await;
    for order in 0..5 {
        let (store, customer) = (if order < 3 { "north" } else { "south" }, if order % 2 == 0 { "kim" } else { "lee" });
        let body = json!({ "orderId": format!("o-{order}"), "customerId": customer, "storeId": store, "item": "chicken" });
        assert_eq!(instance.post(ORDERS, &body).await.0, 201);
    }
    let count = async |path: &str| instance.get(path).await.1["items"].as_array().map(Vec::len);
    assert_eq!(count(&format!("{ORDERS}?customerId=kim")).await, Some(3));
    assert_eq!(count(&format!("{ORDERS}?customerId=kim&status=Placed")).await, Some(3));
    assert_eq!(count(&format!("{ORDERS}?status=Delivered")).await, Some(0));
    assert_eq!(count("/food-delivery/stores/north/orders").await, Some(3));
    let (mut seen, mut path) = (Vec::new(), format!("{ORDERS}?limit=2"));
    loop {
        let page = instance.get(&path).await.1;
        seen.extend(page["items"].as_array().expect("a page has items").iter().map(|order| order["orderId"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("{ORDERS}?limit=2&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, ["o-0", "o-1", "o-2", "o-3", "o-4"]);
}

#[tokio::test]
async fn a_late_payment_places_the_order_after_all() {
    let instance = Instance::start(&[]).await;
    let (status, deferred) = instance.post(ORDERS, &json!({ "orderId": "o-1", "customerId": "simulate-late", "item": "chicken", "price": 9_000 })).await;
    assert_eq!((status, deferred["reason"].as_str()), (202, Some("PaymentTimedOut")), "{deferred}");
    let placed = instance.order("o-1", "Placed").await;
    assert_eq!(placed["late"], true, "{placed}");
}

#[tokio::test]
async fn commands_by_patch_do_the_same_as_by_post() {
    let instance = Instance::start(&[]).await;
    instance.post(ORDERS, &json!({ "orderId": "o-1", "item": "chicken" })).await;
    let answer = instance.request(Method::PATCH, &format!("{ORDERS}/o-1/accept")).await;
    assert_eq!(answer.status(), 200);
    until("it is accepted", async || instance.get(&format!("{ORDERS}/o-1")).await.1["status"] == "Accepted").await;
}
