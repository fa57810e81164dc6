//! Any evening of the mask shop, see [`business::testing::evening`].

use business::testing::evening::{CUSTOMERS, Drawn, Evenings, pick};
use fluvio_streams::testing::Random;
use mask_shop::MaskShop;
use serde_json::json;

use crate::support::*;

const EVENINGS: u64 = 150;
const COMMANDS: [&str; 8] = ["PlaceOrder", "PlaceOrder", "PlaceOrder", "CancelOrder", "CompleteDelivery", "CompleteDelivery", "Restock", "Restock"];
const PRODUCTS: [&str; 3] = ["kf94", "kf80", "dental"];

fn evenings() -> Evenings<MaskShop> {
    Evenings { system: system_of, command, law: stock_is_kept }
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
    let kind = pick(random, &COMMANDS);
    let product = pick(random, &PRODUCTS);
    let (id_field, id, fields) = match kind {
        "Restock" => ("productId", product.to_owned(), json!({"qty": 1 + random.below(6)})),
        "PlaceOrder" => {
            let fields = json!({"productId": product, "qty": 1 + random.below(4), "customerId": pick(random, &CUSTOMERS)});
            ("orderId", format!("o-{}", random.below(5)), fields)
        }
        _ => ("orderId", format!("o-{}", random.below(5)), json!({})),
    };
    Drawn { kind, id_field, id, fields }
}
