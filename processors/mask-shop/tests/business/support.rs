//! The mask shop in the world of [`business::testing`], and the law of the stock.

use std::collections::BTreeMap;

use business::testing;
use fluvio_streams::system::System;
use fluvio_streams::testing::SeenEvent;
use mask_shop::inventory::TOTALS;
use mask_shop::{Config, MaskShop, system};
use serde_json::{Value, json};

pub(crate) use business::testing::{text, touchy};

pub(crate) const COMMANDS_TOPIC: &str = "mask-shop-commands";
pub(crate) const ORDERS_EVENTS: &str = "mask-shop-orders-events";
pub(crate) const DELIVERY_EVENTS: &str = "mask-shop-delivery-events";
pub(crate) const INVENTORY_EVENTS: &str = "mask-shop-inventory-events";
pub(crate) const STOCK_REQUESTS: &str = "mask-shop-stock-requests";
pub(crate) const DELIVERY_REPLIES: &str = "mask-shop-delivery-replies";
pub(crate) const DEAD_LETTERS: &str = "mask-shop-dead-letters";

/// How many pieces [`Shop::place`] orders.
pub(crate) const QTY: i64 = 3;

pub(crate) type World = testing::World<MaskShop>;

pub(crate) fn system_of(config: &Config) -> System {
    system(config).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn world_of(config: &Config, partitions: u32) -> World {
    World::new(system_of(config), partitions, None)
}

/// A world in which nobody consumes the delivery requests.
pub(crate) fn world_without_delivery(config: &Config) -> World {
    World::without_partner(system_of(config), 1)
}

pub(crate) trait Shop {
    /// Orders masks.
    fn place(&mut self, order: &str, customer: &str) -> String;

    /// Orders so many pieces of a product.
    fn place_of(&mut self, order: &str, product: &str, qty: i64) -> String;

    /// Brings in pieces of a product.
    fn restock(&mut self, product: &str, qty: i64) -> String;

    /// What the inventory told of a product, in order.
    fn stock_kinds(&self, product: &str) -> Vec<String>;

    /// (on hand, received, taken, returned) of a product, as the view says.
    fn stock(&self, product: &str) -> [i64; 4];
}

impl Shop for World {
    fn place(&mut self, order: &str, customer: &str) -> String {
        self.send("PlaceOrder", order, json!({"customerId": customer, "productId": "mask", "qty": QTY, "address": "Seoul"}))
    }

    fn place_of(&mut self, order: &str, product: &str, qty: i64) -> String {
        self.send("PlaceOrder", order, json!({"customerId": "kim", "productId": product, "qty": qty}))
    }

    fn restock(&mut self, product: &str, qty: i64) -> String {
        self.send_new("Restock", "productId", product, json!({"qty": qty}))
    }

    fn stock_kinds(&self, product: &str) -> Vec<String> {
        self.driver.kinds(INVENTORY_EVENTS, product)
    }

    fn stock(&self, product: &str) -> [i64; 4] {
        let documents = self.documents("inventories");
        let document = documents.get(product).unwrap_or_else(|| panic!("nothing is known of {product}: {documents:?}"));
        ["onHand", "received", "taken", "returned"].map(|name| number(document, name))
    }
}

/// Plays a story with a kill everywhere, and checks the law of the stock after each.
pub(crate) fn killed_everywhere(world: impl Fn() -> World, story: impl Fn(&mut World)) {
    testing::killed_everywhere(world, |world| {
        story(world);
        stock_is_kept(world);
    });
}

/// (order, incarnation).
type OrderKey = (String, String);

fn key(event: &SeenEvent) -> OrderKey {
    (text(&event.data, "orderId"), text(&event.data, "incarnation"))
}

/// The law of the stock, when the topology is at rest and the inventory runs: received = on hand + taken - returned, at every event and in sum; nothing is negative; and what is out belongs to
/// orders that are placed or delivered, to each what it ordered, once.
pub(crate) fn stock_is_kept(world: &World) {
    let mut of_orders: BTreeMap<OrderKey, Vec<SeenEvent>> = BTreeMap::new();
    let mut last: BTreeMap<String, [i64; 4]> = BTreeMap::new();
    for event in world.driver.distinct_events(INVENTORY_EVENTS) {
        let stock = ["onHand", "received", "taken", "returned"].map(|name| number(&event.data, name));
        let [on_hand, received, taken, returned] = stock;
        assert_eq!(received, on_hand + taken - returned, "{event:?}");
        assert!(on_hand >= 0 && returned <= taken, "{event:?}");
        assert_eq!(stock, moved(last.get(&event.subject).copied().unwrap_or_default(), &event), "{event:?}");
        last.insert(event.subject.clone(), stock);
        if event.kind != "StockReceived" {
            of_orders.entry(key(&event)).or_default().push(event);
        }
    }
    let totals = TOTALS.map(|name| world.driver.total("inventory", name));
    let sum = |index: usize| last.values().map(|stock| stock[index]).sum::<i64>();
    assert_eq!(totals, [sum(1), sum(0), sum(2), sum(3)], "totals");
    assert_eq!(world.documents("inventories").len(), last.values().filter(|stock| **stock != [0; 4]).count(), "views");
    for (product, stock) in last.iter().filter(|(_, stock)| **stock != [0; 4]) {
        assert_eq!(world.stock(product), *stock, "view of {product}");
    }
    each_order_has_what_it_ordered(world, &of_orders);
}

/// What an event makes of the stock before it.
fn moved([on_hand, received, taken, returned]: [i64; 4], event: &SeenEvent) -> [i64; 4] {
    let qty = number(&event.data, "qty");
    match event.kind.as_str() {
        "StockReceived" => [on_hand + qty, received + qty, taken, returned],
        "StockTaken" => [on_hand - qty, received, taken + qty, returned],
        "StockReturned" => [on_hand + qty, received, taken, returned + qty],
        _ => {
            assert!(on_hand < qty, "there was enough: {event:?}");
            [on_hand, received, taken, returned]
        }
    }
}

fn each_order_has_what_it_ordered(world: &World, of_orders: &BTreeMap<OrderKey, Vec<SeenEvent>>) {
    let mut placed: BTreeMap<OrderKey, (Value, String)> = BTreeMap::new();
    for event in world.driver.distinct_events(ORDERS_EVENTS) {
        let status = text(&event.data, "status");
        if event.kind == "OrderPlaced" {
            placed.insert(key(&event), (event.data, status));
        } else if let Some((_, known)) = placed.get_mut(&key(&event)) {
            *known = status;
        }
    }
    for (order, (ordered, status)) in &placed {
        let events = of_orders.get(order).unwrap_or_else(|| panic!("{order:?} is placed, and no stock was asked for"));
        assert!(events.iter().all(|event| event.subject == ordered["productId"] && event.data["qty"] == ordered["qty"]), "{order:?}: {events:?}");
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        match (status.as_str(), kinds.as_slice()) {
            // What was short is cancelled, unless it was delivered before that was known.
            ("Placed" | "Delivered", ["StockTaken"]) | ("Cancelled", ["StockTaken", "StockReturned"]) | ("Cancelled" | "Delivered", ["StockShort"]) => {}
            _ => panic!("{order:?} is {status}, and of the stock {kinds:?}"),
        }
    }
    for order in of_orders.keys() {
        assert!(placed.contains_key(order), "{order:?} was never placed");
    }
}

fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("`{name}` is a number in {value}"))
}
