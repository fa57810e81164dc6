//! What customers order, and what the inventory is told of it.

use business::fields::Fields;
use business::front::event::Event;
use business::front::state::Aggregate;
use business::schema::{Described, Object, free_text, id, integer};
use business::{Business, Followed, Names, Opening};
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::system::{CommandSpec, FieldError, Outcome};
use fluvio_streams::topology::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::inventory::{self, message};
use crate::limits::QTY_MAX;
use crate::names::{NAMES, OUT_OF_STOCK};

/// Customer of an order that names none.
pub const CUSTOMER_ID_DEFAULT: &str = "guest";

/// The mask shop.
#[derive(Debug)]
pub struct MaskShop;

/// What is remembered of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// What is ordered.
    pub product_id: String,
    /// How many pieces, from 1.
    pub qty: i64,
    /// Where to. It is told when the delivery team is asked, which is in the step that takes the order; no event but the first repeats where a customer lives.
    #[serde(skip)]
    pub address: Option<String>,
}

impl Business for MaskShop {
    type Details = Details;

    const NAMES: Names = NAMES;

    fn open(fields: Fields<'_>) -> Result<Opening<Details>, FieldError> {
        let address = fields.text("address")?.map(str::to_owned);
        Ok(Opening {
            customer_id: fields.identifier("customerId")?.unwrap_or(CUSTOMER_ID_DEFAULT).to_owned(),
            amount: 1,
            told: Map::from_iter([("address".to_owned(), json!(address))]),
            details: Details { product_id: product_id(fields)?.to_owned(), qty: qty(fields)?, address },
        })
    }

    fn describe() -> Described {
        let ordered = || Object::default().must("productId", id("What is ordered.")).must("qty", integer(1, QTY_MAX, "How many pieces."));
        let address = || free_text("Where to.");
        Described {
            command: ordered().may("customerId", id("Who orders.")).may("address", address()),
            details: ordered(),
            told: Object::default().may("address", address()),
            request: ordered().may("address", address()),
        }
    }

    fn request(order: &Aggregate<Details>) -> Map<String, Value> {
        let Details { product_id, qty, address } = &order.details;
        let mut told = Map::from_iter([("productId".to_owned(), json!(product_id)), ("qty".to_owned(), json!(qty))]);
        told.extend(address.iter().map(|address| ("address".to_owned(), json!(address))));
        told
    }

    fn changed(cx: &mut Context<'_>, id: &str, order: &Aggregate<Details>, event: &Event) {
        let kind = match event {
            Event::Established { .. } => message::TAKE,
            // It was established. The inventory knows whether it had enough, and gives back what it took.
            Event::Cancelled { .. } | Event::Rejected { .. } if !order.captures.is_empty() => message::RETURN,
            Event::StatusChanged { to, .. } if to.is_final(&NAMES) => message::SETTLE,
            _ => return,
        };
        let Details { product_id, qty, .. } = &order.details;
        let request = message::Request { order_id: id.to_owned(), incarnation: order.incarnation.clone(), qty: *qty };
        cx.emit(&message::requests(), kind, product_id, &request);
    }

    fn sources() -> Vec<Source> {
        vec![Source::events(&message::replies(), &[message::SHORT])]
    }

    fn sinks() -> Vec<String> {
        vec![message::requests()]
    }

    fn follow(message: &Message, _order: &Aggregate<Details>) -> Result<Followed, Failure> {
        match message.kind.as_str() {
            message::SHORT => Ok(Followed::Cancel { reason: OUT_OF_STOCK.to_owned() }),
            kind => Err(Unreadable(format!("`{kind}` is no reply of the inventory")).into()),
        }
    }

    fn commands() -> Vec<CommandSpec> {
        vec![inventory::command::SPEC]
    }

    fn outcome(command: &str, event: &str, _data: &Value) -> Option<(Outcome, Option<String>)> {
        (command == inventory::command::RESTOCK && event == message::RECEIVED).then_some((Outcome::Done, None))
    }
}

/// Reads which product a command is about.
pub(crate) fn product_id(fields: Fields<'_>) -> Result<&str, FieldError> {
    fields.identifier("productId")?.ok_or_else(|| fields.wrong("productId", "is missing"))
}

/// Reads how many pieces a command is about.
pub(crate) fn qty(fields: Fields<'_>) -> Result<i64, FieldError> {
    fields.integer("qty", 1, QTY_MAX)?.ok_or_else(|| fields.wrong("qty", "is missing"))
}
