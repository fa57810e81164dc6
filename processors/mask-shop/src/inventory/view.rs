//! Stocks as people see them, one document a product: productId, onHand, received, taken, returned, updatedAt.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::projection::Projection;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Routing, names};
use serde::Deserialize;
use serde_json::{Value, json};

use super::message;
use super::stock::Stock;

/// Projection of the events of the inventory.
#[derive(Debug, Clone, Copy)]
pub struct View;

/// What is needed of an event: it says what there is after it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct After {
    product_id: String,
    #[serde(flatten)]
    stock: Stock,
}

impl Projection for View {
    fn collection(&self) -> &'static str {
        super::COLLECTION
    }

    fn topic(&self) -> String {
        message::events()
    }

    fn routing(&self) -> Routing {
        // That there was not enough changes nothing, and makes no document of what never came in.
        Routing::Types(names(&[message::RECEIVED, message::TAKEN, message::RETURNED]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &[]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        Ok(Some(event.decode::<After>()?.product_id))
    }

    fn fold(&self, _current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let After { product_id, stock } = event.decode()?;
        let Stock { on_hand, received, taken, returned } = stock;
        let updated_at = format_rfc3339(event.time_ms);
        Ok(json!({"productId": product_id, "onHand": on_hand, "received": received, "taken": taken, "returned": returned, "updatedAt": updated_at}))
    }
}
