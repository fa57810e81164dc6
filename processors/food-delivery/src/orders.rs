//! What customers order.

use business::fields::Fields;
use business::limits::AMOUNT_WON_MAX;
use business::schema::{Described, Object, free_text, id, integer, list, won};
use business::{Business, Names, Opening};
use fluvio_streams::system::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::limits::{ITEMS_MAX, QUANTITY_MAX};

/// Customer of an order that names none.
pub const CUSTOMER_ID_DEFAULT: &str = "guest";
/// Store of an order that names none.
pub const STORE_ID_DEFAULT: &str = "main";

/// Food delivery.
#[derive(Debug)]
pub struct FoodDelivery;

/// What is remembered of an order. Items and address are not: no rule needs them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Who cooks.
    pub store_id: String,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What.
    pub item: String,
    /// How many pieces, from 1.
    pub quantity: i64,
    /// Price of one piece, in won.
    pub price: i64,
}

impl Business for FoodDelivery {
    type Details = Details;

    const NAMES: Names = crate::names::NAMES;

    fn open(fields: Fields<'_>) -> Result<Opening<Details>, FieldError> {
        let items = items(fields)?;
        // At most 100 items of 1,000 pieces at 10^12 won: 10^17, which an i64 holds.
        let price = items.iter().map(|line| line.quantity * line.price).sum();
        if price > AMOUNT_WON_MAX {
            return Err(fields.wrong("price", format!("comes to {price} won in all: at most {AMOUNT_WON_MAX} are possible")));
        }
        let address = fields.text("address")?;
        Ok(Opening {
            customer_id: fields.identifier("customerId")?.unwrap_or(CUSTOMER_ID_DEFAULT).to_owned(),
            amount: price,
            details: Details { store_id: fields.identifier("storeId")?.unwrap_or(STORE_ID_DEFAULT).to_owned() },
            told: Map::from_iter([("items".to_owned(), json!(items)), ("address".to_owned(), json!(address))]),
        })
    }

    fn describe() -> Described {
        let (item, quantity) = (|| free_text("What is ordered."), || integer(1, QUANTITY_MAX, "How many pieces; 1 if it is left out."));
        let price = || won("Price of one piece; 0 if it is left out.");
        let line = Object::default().must("item", item()).may("quantity", quantity()).may("price", price());
        let mut items = list(1, line.schema("A line of the order."), "What is ordered. Either this, or `item` with `quantity` and `price`.");
        items["maxItems"] = json!(ITEMS_MAX);
        let address = || free_text("Where to.");
        let told = Object::default().must("item", free_text("What.")).must("quantity", integer(1, QUANTITY_MAX, "How many pieces."));
        let told = told.must("price", won("Price of one piece.")).schema("A line of the order.");
        Described {
            command: Object::default()
                .may("customerId", id("Who orders."))
                .may("storeId", id("Who cooks."))
                .may("item", item())
                .may("quantity", quantity())
                .may("price", price())
                .may("items", items)
                .may("address", address()),
            details: Object::default().must("storeId", id("Who cooks.")),
            told: Object::default().must("items", list(1, told, "What is ordered.")).may("address", address()),
            request: Object::default(),
        }
    }
}

/// Reads either `item`, `quantity`, `price` of the command itself, or its list `items` of the same.
fn items(fields: Fields<'_>) -> Result<Vec<Item>, FieldError> {
    let Some(list) = fields.get("items") else { return Ok(vec![item(fields)?]) };
    for name in ["item", "quantity", "price"] {
        if fields.get(name).is_some() {
            return Err(fields.wrong(name, "must be left out when there is a list `items`"));
        }
    }
    let list = list.as_array().filter(|list| (1..=ITEMS_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| fields.wrong("items", format!("must be a list of 1 to {ITEMS_MAX} items")))?;
    list.iter().enumerate().map(|(index, line)| item(Fields::of(line, &format!("items[{index}]"))?)).collect()
}

fn item(fields: Fields<'_>) -> Result<Item, FieldError> {
    let name = fields.text("item")?.filter(|name| !name.trim().is_empty());
    Ok(Item {
        item: name.ok_or_else(|| fields.wrong("item", "must say what is ordered"))?.to_owned(),
        quantity: fields.integer("quantity", 1, QUANTITY_MAX)?.unwrap_or(1),
        price: fields.integer("price", 0, AMOUNT_WON_MAX)?.unwrap_or(0),
    })
}
