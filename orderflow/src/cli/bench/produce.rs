//! Orders, produced through the official client.

use std::time::Duration;

use anyhow::Context as _;
use fluvio::{Fluvio, FluvioClusterConfig, TopicProducerConfigBuilder, TopicProducerPool};
use serde_json::json;

const COMMANDS: &str = "food-delivery-commands";
/// Topic with what happens to orders.
pub(super) const EVENTS: &str = "food-delivery-orders-events";

/// Returns a producer of commands. `linger`: how long a record waits for others to share its batch.
pub(super) async fn producer(sc: &str, linger: Duration) -> anyhow::Result<TopicProducerPool> {
    let fluvio = Fluvio::connect_with_config(&FluvioClusterConfig::new(sc)).await.context("the official client cannot connect")?;
    let config = TopicProducerConfigBuilder::default().linger(linger).batch_size(64 * 1024).build().context("the producer's settings are wrong")?;
    fluvio.topic_producer_with_config(COMMANDS, config).await.context("the official client cannot produce")
}

/// Returns the command that places an order.
pub(super) fn place(id: &str) -> String {
    json!({ "type": "PlaceOrder", "orderId": id, "customerId": format!("customer-{}", id.len()), "item": "chicken", "quantity": 1, "price": 18_000, "address": "Seoul" })
        .to_string()
}

/// Returns the path at which an order is read.
pub(super) fn path(id: &str) -> String {
    format!("/food-delivery/orders/{id}")
}
