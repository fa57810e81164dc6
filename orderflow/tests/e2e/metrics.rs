//! The metrics endpoint, and instances beside each other.

use serde_json::json;

use crate::support::{COMMANDS, Instance, until};

#[tokio::test]
async fn what_happens_is_counted() {
    let instance = Instance::start(&[]).await;
    instance.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "chicken", "price": 18_000 })).await;
    instance.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "chicken" })).await;
    instance.produce(COMMANDS, Some(b"x"), "garbage").await;
    instance.get("/food-delivery/orders/o-1").await;
    until("the money is told", async || instance.metric("orderflow_money_won", &["account=\"live\""]).await == 18_000.0).await;
    until("the garbage is counted", async || instance.metric("orderflow_dead_letters_total", &["reason=\"malformed\""]).await == 1.0).await;
    let metrics = instance.metrics().await;
    let sum = |name: &str, labels: &[&str]| crate::support::sum(&metrics, name, labels);
    assert!(sum("orderflow_records_in_total", &["processor=\"orders\""]) >= 3.0);
    assert!(sum("orderflow_records_out_total", &["processor=\"orders\"", "topic=\"food-delivery-orders-events\""]) >= 2.0);
    assert!(sum("orderflow_process_latency_seconds_count", &["processor=\"orders\""]) >= 1.0);
    assert!(sum("orderflow_commit_latency_seconds_count", &["processor=\"payments\""]) >= 1.0);
    assert_eq!(sum("orderflow_rejections_total", &["reason=\"OrderExists\""]), 1.0);
    assert_eq!(sum("orderflow_events_total", &["processor=\"orders\"", "type=\"OrderPlaced\""]), 1.0);
    assert_eq!(sum("orderflow_partner_answer_duration_seconds_count", &["partner=\"payment\"", "outcome=\"accepted\""]), 1.0);
    assert!(sum("orderflow_record_e2e_latency_seconds_count", &["processor=\"orders\""]) >= 3.0);
    assert!(sum("orderflow_poll_records_sum", &["processor=\"orders\""]) >= 3.0);
    assert!(sum("process_resident_memory_bytes", &[]) > 1_000_000.0);
    assert_eq!(sum("orderflow_broker_disk_refuses", &[]), 0.0);
    let food_delivery = "application=\"food-delivery\"";
    assert_eq!(sum("orderflow_breaker_state", &[food_delivery, "breaker=\"payment\"", "state=\"closed\""]), 4.0, "one breaker a task");
    // Whoever else follows may be taken away.
    for processor in ["orders", "payments", "store"] {
        let labels = [food_delivery, &format!("processor=\"{processor}\""), "phase=\"running\""];
        assert_eq!(sum("orderflow_task_phase", &labels), 4.0, "tasks of {processor}");
    }
    assert_eq!(sum("orderflow_money_imbalance_won", &[]), 0.0);
    assert_eq!(sum("orderflow_provider_money_won", &["account=\"captured\""]), 18_000.0);
    assert_eq!(sum("orderflow_http_requests_total", &["route=\"/food-delivery/orders\"", "status=\"201\""]), 1.0);
    assert!(sum("orderflow_broker_appended_bytes_total", &["topic=\"food-delivery-orders-journal\""]) > 0.0);
    assert!(sum("orderflow_broker_fsync_latency_seconds_count", &[]) > 0.0);
    assert!(sum("orderflow_log_records_appended_total", &[]) > 0.0);
    assert!(sum("orderflow_view_documents_total", &["view=\"orders\""]) >= 1.0);
    for name in [
        "orderflow_consumergroup_lag",
        "orderflow_consumergroup_lag_seconds",
        "orderflow_consumergroup_lag_sum",
        "orderflow_restore_remaining_records",
        "orderflow_task_time_seconds_total",
        "orderflow_build_info",
        "process_resident_memory_bytes",
        "orderflow_broker_disk_free_bytes",
        "orderflow_calls_pending",
        "orderflow_timers_pending",
        "orderflow_restore_duration_seconds",
        "orderflow_view_lag_records",
        "orderflow_view_lag_seconds",
        "orderflow_http_request_duration_seconds",
        "orderflow_broker_connections",
    ] {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} is explained");
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} is there");
    }
    assert!(!metrics.contains("o-1"), "ids of orders are never labels");
}

#[tokio::test]
async fn lag_is_zero_once_everything_is_taken_although_the_broker_thins_what_is_read() {
    let instance = Instance::start(&[]).await;
    for order in 0..40 {
        instance.command(&format!("o-{order}"), &json!({ "type": "PlaceOrder", "orderId": format!("o-{order}"), "item": "chicken" })).await;
    }
    instance.order("o-39", "Placed").await;
    until("no task is behind", async || {
        let metrics = instance.metrics().await;
        let all_there = metrics.lines().filter(|line| line.starts_with("orderflow_consumergroup_lag{")).count() >= 16;
        all_there && crate::support::sum(&metrics, "orderflow_consumergroup_lag", &[]) == 0.0
    })
    .await;
    until("no view is behind", async || instance.metric("orderflow_view_lag_records", &[]).await == 0.0).await;
}

#[tokio::test]
async fn two_instances_run_beside_each_other_and_know_nothing_of_each_other() {
    let (first, second) = tokio::join!(Instance::start(&[]), Instance::start(&[]));
    first.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "chicken", "price": 1 })).await;
    second.post("/food-delivery/orders", &json!({ "orderId": "o-1", "item": "beer", "price": 2 })).await;
    assert_eq!(first.order("o-1", "Placed").await["price"], 1);
    assert_eq!(second.order("o-1", "Placed").await["price"], 2);
    until("each counts its own money", async || {
        let live = ["account=\"live\""];
        first.metric("orderflow_money_won", &live).await == 1.0 && second.metric("orderflow_money_won", &live).await == 2.0
    })
    .await;
}
