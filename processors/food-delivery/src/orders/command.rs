//! What customers ask of orders.

use fluvio_streams::system::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::Fields;
use crate::limits::{ITEMS_MAX, PRICE_WON_MAX, QUANTITY_MAX};

/// Customer of an order that names none.
pub const CUSTOMER_ID_DEFAULT: &str = "guest";
/// Store of an order that names none.
pub const STORE_ID_DEFAULT: &str = "main";

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

/// A command to orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `PlaceOrder`: a new order.
    Place {
        /// Who pays.
        customer_id: String,
        /// Who cooks.
        store_id: String,
        /// At least one.
        items: Vec<Item>,
        /// Price of all items, in won.
        price: i64,
        /// Where to.
        address: Option<String>,
    },
    /// `PayOrder`: a new payment attempt.
    Pay,
    /// `CancelOrder`.
    Cancel {
        /// Why, for people.
        reason: Option<String>,
    },
}

impl Command {
    /// Reads the command of type `kind` from its JSON object; `None` if orders takes no such command.
    ///
    /// # Errors
    /// [`FieldError`] naming the field that is missing or wrong.
    pub fn read(kind: &str, body: &Value) -> Result<Option<Self>, FieldError> {
        let fields = Fields::of(body, "")?;
        match kind {
            "PlaceOrder" => place(fields).map(Some),
            "PayOrder" => Ok(Some(Self::Pay)),
            "CancelOrder" => Ok(Some(Self::Cancel { reason: fields.text("reason")?.map(str::to_owned) })),
            _ => Ok(None),
        }
    }
}

fn place(fields: Fields<'_>) -> Result<Command, FieldError> {
    let items = items(fields)?;
    // At most 100 items of 1,000 pieces at 10^12 won: 10^17, which an i64 holds.
    let price = items.iter().map(|line| line.quantity * line.price).sum();
    if price > PRICE_WON_MAX {
        return Err(fields.wrong("price", format!("comes to {price} won in all: at most {PRICE_WON_MAX} are possible")));
    }
    Ok(Command::Place {
        customer_id: fields.identifier("customerId")?.unwrap_or(CUSTOMER_ID_DEFAULT).to_owned(),
        store_id: fields.identifier("storeId")?.unwrap_or(STORE_ID_DEFAULT).to_owned(),
        address: fields.text("address")?.map(str::to_owned),
        items,
        price,
    })
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
        price: fields.integer("price", 0, PRICE_WON_MAX)?.unwrap_or(0),
    })
}
