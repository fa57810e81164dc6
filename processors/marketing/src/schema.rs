//! What the records of marketing look like, see [`crate::message`].

use business::schema::records::{event, message};
use business::schema::{Object, count, id, list, map, one_of, text, time};
use fluvio_streams::system::RecordSpec;
use serde_json::{Value, json};

use crate::names;

/// Returns every type of record that marketing tells itself and others.
pub fn records() -> Vec<RecordSpec> {
    own().into_iter().chain(told()).map(|record| RecordSpec { follower: Some(names::NAME), ..record }).collect()
}

fn item() -> Value {
    text("Which item.")
}

fn sold() -> Object {
    Object::default().must("quantity", count(0, "Pieces.")).must("orders", count(0, "Orders with it."))
}

/// What it tells itself.
fn own() -> [RecordSpec; 6] {
    let sales = names::sales();
    let window = Object::default().must("startMs", count(0, "First ms of it.")).must("endMs", count(0, "First ms after it."));
    let items_sold = Object::default()
        .must("window", window.schema("When, in ms since the Unix epoch."))
        .must("orders", count(0, "Orders in all."))
        .must("items", map(sold().schema("How much of an item."), "By item."));
    let closed = Object::default().must("partition", count(0, "Partition of orders.")).must("untilMs", count(0, "In ms since the Unix epoch."));
    let related = json!({"type": "array", "prefixItems": [item(), count(1, "How many customers.")], "minItems": 2, "maxItems": 2});
    let found = Object::default().must("item", item()).must("others", list(0, related, "Most customers first."));
    [
        message(&sales, names::ITEMS_SOLD, items_sold, "Sales of one window, as one partition of orders has them."),
        message(&sales, names::SALES_CLOSED, closed, "A partition will tell nothing more of windows that end by then."),
        message(&sales, names::CUSTOMER_ORDERED, Object::default().must("items", list(1, item(), "What.")), "A customer has ordered these different items."),
        message(&sales, names::ITEMS_RELATED, Object::default().must("others", list(1, item(), "What else.")), "One customer has ordered an item and others."),
        message(
            &sales,
            names::RELATED_WANTED,
            Object::default().must("customerId", id("Who is to be told.")),
            "What else did those order who ordered an item?",
        ),
        message(&sales, names::RELATED_FOUND, found, "What else those ordered who ordered the item."),
    ]
}

/// What it finds out.
fn told() -> [RecordSpec; 3] {
    let ranked = sold().must("rank", count(1, "Place, from 1.")).must("item", item()).schema("A place in the ranking.");
    let popular = Object::default()
        .must("windowId", text("Which window: when it begins."))
        .must("windowStart", time("When it begins."))
        .must("windowEnd", time("When it ends."))
        .must("status", one_of(&["Open", "Closed"], "`Closed` once nothing changes any more."))
        .must("orders", count(0, "Orders in all."))
        .must("items", list(0, ranked, "The most sold first."))
        .must("otherQuantity", count(0, "Pieces of items that are too many to be counted one by one."));
    let favourite = Object::default().must("item", item()).must("times", count(1, "Orders with it.")).schema("What the customer ordered often.");
    let suggestion = Object::default()
        .must("item", item())
        .must("because", text("The item of the customer's for whose sake it is suggested."))
        .must("customers", count(1, "How many who ordered that also ordered it."))
        .schema("What the customer has not ordered yet.");
    let recommendations = Object::default()
        .must("customerId", id("To whom."))
        .must("favourites", list(0, favourite, "What they ordered most."))
        .must("suggestions", list(0, suggestion, "What others ordered who ordered the same."));
    let events = names::events();
    [
        event(&events, names::POPULAR_ITEMS_CHANGED, popular.clone(), "The ranking of a window, as it is now."),
        event(&events, names::POPULAR_ITEMS_CLOSED, popular, "The ranking of a window, for good."),
        event(&events, names::RECOMMENDATIONS_CHANGED, recommendations, "What a customer may like, as it is now; empty when the customer is forgotten."),
    ]
}
