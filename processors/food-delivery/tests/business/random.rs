//! Any evening of food delivery, see [`business::testing::evening`].

use business::testing::evening::{CUSTOMERS, Drawn, Evenings, pick};
use fluvio_streams::testing::Random;
use food_delivery::names::NAMES;
use serde_json::json;

use crate::support::*;

const EVENINGS: u64 = 150;
const COMMANDS: [&str; 10] =
    ["PlaceOrder", "PlaceOrder", "PayOrder", "CancelOrder", "AcceptOrder", "AcceptOrder", "DeclineOrder", "StartCooking", "StartDelivery", "CompleteDelivery"];

fn evenings() -> Evenings<food_delivery::FoodDelivery> {
    Evenings { system: system_of, command, law: |_| {} }
}

#[test]
fn the_laws_hold_on_any_evening() {
    evenings().everything_happens(EVENINGS);
}

#[test]
fn an_evening_replays_exactly() {
    evenings().replays_exactly(3);
}

fn command(random: &mut Random) -> Drawn {
    let id = format!("o-{}", random.below(4));
    let kind = pick(random, &COMMANDS);
    let fields = if kind == "PlaceOrder" { json!({"item": "tea", "price": 1 + random.below(9), "customerId": pick(random, &CUSTOMERS)}) } else { json!({}) };
    Drawn { kind, id_field: NAMES.id_field, id, fields }
}
