//! Food delivery in the world of [`business::testing`].

use business::testing;
use fluvio_streams::system::System;
use food_delivery::{Config, FoodDelivery, system};
use serde_json::json;

pub(crate) use business::testing::{killed_everywhere, text, touchy};

pub(crate) const COMMANDS_TOPIC: &str = "food-delivery-commands";
pub(crate) const ORDERS_EVENTS: &str = "food-delivery-orders-events";
pub(crate) const STORE_EVENTS: &str = "food-delivery-store-events";
pub(crate) const PAYMENTS_EVENTS: &str = "food-delivery-payments-events";
pub(crate) const PAYMENT_REQUESTS: &str = "food-delivery-payment-requests";
pub(crate) const PAYMENT_REPLIES: &str = "food-delivery-payment-replies";
pub(crate) const REJECTIONS: &str = "food-delivery-rejections";
pub(crate) const DEAD_LETTERS: &str = "food-delivery-dead-letters";

/// Price of the orders that [`Place::place`] sends, in won.
pub(crate) const PRICE_WON: i64 = 18_000;

pub(crate) type World = testing::World<FoodDelivery>;

pub(crate) fn system_of(config: &Config) -> System {
    system(config).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn world_of(config: &Config, partitions: u32) -> World {
    World::new(system_of(config), partitions, None)
}

/// A world in which nobody consumes the payment requests.
pub(crate) fn world_without_payments(config: &Config, partitions: u32) -> World {
    World::without_partner(system_of(config), partitions)
}

pub(crate) trait Place {
    /// Orders chicken.
    fn place(&mut self, order: &str, customer: &str) -> String;
}

impl Place for World {
    fn place(&mut self, order: &str, customer: &str) -> String {
        self.send("PlaceOrder", order, json!({"customerId": customer, "item": "chicken", "price": PRICE_WON}))
    }
}
