//! Joins over topics: co-partitioned, by another key, and whoever is killed when.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluvio_streams::join::{Change, Kind, StreamTable, TableTable};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::processor::{Context, Failure, Input};
use fluvio_streams::runtime::{Options, Runtime, StartError};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::testing::TestDriver;
use fluvio_streams::topology::{Source, Topology};
use serde_json::{Value, json};

use crate::support::{PARTITIONS, Step, spec, topology, whatever_happens};

/// Orders, keyed by order, meet the addresses of their customers: they go on under the customer's id to a topic between the two processors.
fn parcels() -> Topology {
    let by_customer = Step(|input: Input<'_>, cx: &mut Context<'_>| {
        let Input::Message(order) = input else { return Ok(()) };
        let data: Value = order.decode()?;
        cx.emit("orders-by-customer", "Ordered", data["customer"].as_str().unwrap_or_default(), &data);
        Ok::<(), Failure>(())
    });
    let addresses: StreamTable<String> = StreamTable::new("addresses");
    let stores = addresses.stores();
    let address = Step(move |input: Input<'_>, cx: &mut Context<'_>| {
        let Input::Message(message) = input else { return Ok(()) };
        let customer = message.subject.as_deref().unwrap_or_default();
        match message.kind.as_str() {
            "Moved" => addresses.update(cx, customer, Some(&message.decode()?)),
            "Forgotten" => addresses.update(cx, customer, None),
            _ => {
                let (order, address) = addresses.left(cx, customer, message.decode::<Value>()?)?;
                cx.emit("parcels", "Addressed", customer, &json!({"order": order["order"], "address": address}));
            }
        }
        Ok::<(), Failure>(())
    });
    let sources = vec![Source::events("customers", &["Moved", "Forgotten"]), Source::events("orders-by-customer", &["Ordered"])];
    topology(vec![
        spec("by-customer", vec![Source::events("orders", &["Ordered"])], "orders-by-customer", vec![], Arc::new(by_customer)),
        spec("address", sources, "parcels", stores, Arc::new(address)),
    ])
}

fn event(driver: &mut TestDriver, topic: &str, kind: &str, key: &str, data: &Value) {
    driver.pipe(topic, key, &json!({"type": kind, "subject": key, "data": data}).to_string());
}

fn order(driver: &mut TestDriver, number: usize) {
    let order = format!("o-{number}");
    event(driver, "orders", "Ordered", &order, &json!({"order": order, "customer": format!("c-{}", number % 5)}));
}

#[test]
fn a_stream_meets_a_table_by_another_key() {
    let story = |driver: &mut TestDriver, disturb: &dyn Fn(&mut TestDriver)| {
        for customer in 0..4 {
            event(driver, "customers", "Moved", &format!("c-{customer}"), &json!(format!("street {customer}")));
        }
        driver.run_until_idle();
        (0..10).for_each(|number| order(driver, number));
        driver.run_until_idle();
        disturb(driver);
        event(driver, "customers", "Moved", "c-1", &json!("lane 1"));
        event(driver, "customers", "Forgotten", "c-2", &json!({}));
        driver.run_until_idle();
        (10..20).for_each(|number| order(driver, number));
        driver.run_until_idle();
        assert_eq!(driver.events("dead-letters"), []);
        let parcels = driver.distinct_events("parcels").into_iter().map(|parcel| (parcel.data["order"].to_string(), parcel.data["address"].clone()));
        let mut parcels: Vec<_> = parcels.collect();
        parcels.sort_by_key(|(order, _)| order.clone());
        parcels
    };
    let parcels = whatever_happens(|| TestDriver::new(parcels(), PARTITIONS), &["by-customer", "address"], story);
    assert_eq!(parcels.len(), 20, "each order once");
    let parcels: BTreeMap<_, _> = parcels.into_iter().collect();
    let address = |order: &str| parcels[&format!("\"{order}\"")].clone();
    assert_eq!([address("o-1"), address("o-11"), address("o-2"), address("o-12")], [json!("street 1"), json!("lane 1"), json!("street 2"), Value::Null]);
    assert_eq!(address("o-4"), Value::Null, "nobody has said where this customer lives");
}

/// Prices and stock of products, as one table.
fn offers() -> Topology {
    let offers: TableTable<i64, i64> = TableTable::new("offers", Kind::Inner);
    let stores = offers.stores();
    let logic = Step(move |input: Input<'_>, cx: &mut Context<'_>| {
        let Input::Message(message) = input else { return Ok(()) };
        let product = message.subject.as_deref().unwrap_or_default();
        let value: Option<i64> = if message.kind == "Gone" { None } else { Some(message.decode()?) };
        let change = match message.position.topic.as_str() {
            "prices" => offers.left(cx, product, value)?,
            _ => offers.right(cx, product, value)?,
        };
        match change {
            Change::Updated(offer) => cx.emit("offers", "Offered", product, &offer),
            Change::Removed => cx.emit("offers", "NoLongerOffered", product, &json!({})),
            Change::Nothing => {}
        }
        Ok::<(), Failure>(())
    });
    let sources = vec![Source::events("prices", &["Set", "Gone"]), Source::events("stock", &["Set", "Gone"])];
    topology(vec![spec("offers", sources, "offers", stores, Arc::new(logic))])
}

#[test]
fn two_tables_end_as_one_whatever_the_order_in_which_they_are_read() {
    let story = |driver: &mut TestDriver, disturb: &dyn Fn(&mut TestDriver)| {
        for number in 0..30_i64 {
            let (topic, product) = (["prices", "stock"][(number * 5 / 3 % 2) as usize], format!("p-{}", number * 7 % 4));
            let kind = if number % 6 == 5 { "Gone" } else { "Set" };
            event(driver, topic, kind, &product, &json!(number));
            if number == 15 {
                driver.run_until_idle();
                disturb(driver);
            }
        }
        driver.run_until_idle();
        let mut last = BTreeMap::new();
        for event in driver.distinct_events("offers") {
            let is_offered = last.insert(event.subject, (event.kind.clone(), event.data));
            assert!(event.kind != "NoLongerOffered" || is_offered.is_some_and(|(kind, _)| kind == "Offered"), "only what was told is taken back");
        }
        last.retain(|_, (kind, _)| kind == "Offered");
        last
    };
    let offers = whatever_happens(|| TestDriver::new(offers(), PARTITIONS), &["offers"], story);
    assert!(!offers.is_empty() && offers.values().all(|(_, offer)| offer["left"].is_i64() && offer["right"].is_i64()), "{offers:?}");
}

#[tokio::test]
async fn a_join_over_topics_with_different_numbers_of_partitions_is_refused_naming_both() {
    let log = MemoryLog::default();
    for topic in offers().topics() {
        log.create(&topic, if topic == "stock" { 2 } else { 3 });
    }
    let options = Options::new(Arc::new(log), Arc::new(MemoryStores::default()), "test");
    let error = Runtime::start(&offers(), options).await.err().expect("it is refused");
    assert!(matches!(error, StartError::NotCopartitioned { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("`prices` has 3") && text.contains("`stock` has 2") && text.contains("`offers`"), "{text}");
}
