//! Joins over topics: co-partitioned, by another key, and whoever is killed when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluvio_streams::join::{Change, JoinWindows, Kind, StreamStream, StreamTable, TableTable};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::processor::{Context, Failure, Input};
use fluvio_streams::runtime::{Options, Runtime, StartError};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::testing::{START_MS, TestDriver};
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{Source, Topology};
use fluvio_streams::window::event_time_ms;
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
    let joins = [(offers(), "`prices` has 3", "stock", "`offers`"), (campaign(), "`offers` has 3", "orders", "`campaign`")];
    for topic in joins.iter().flat_map(|(topology, ..)| topology.topics()).collect::<BTreeSet<_>>() {
        log.create(&topic, if joins.iter().any(|(_, _, other, _)| topic == *other) { 2 } else { 3 });
    }
    for (topology, first, other, processor) in joins {
        let options = Options::new(Arc::new(log.clone()), Arc::new(MemoryStores::default()), "test");
        let error = Runtime::start(&topology, options).await.err().expect("it is refused");
        assert!(matches!(error, StartError::NotCopartitioned { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(first) && text.contains(&format!("`{other}` has 2")) && text.contains(processor), "{text}");
    }
}

/// Offers and the orders that they may have led to, joined both ways.
fn campaign() -> Topology {
    let windows = JoinWindows::within(2_000).after(10_000).grace(30_000);
    let inner: StreamStream<u64, u64> = StreamStream::inner_join("inner", windows).expect("the windows can be");
    let left: StreamStream<u64, u64> = StreamStream::left_join("left", windows.idle(5_000)).expect("the windows can be");
    let stores = [inner.stores(), left.stores()].concat();
    let logic = Step(move |input: Input<'_>, cx: &mut Context<'_>| {
        let (pairs, alone) = match input {
            Input::Message(message) => {
                let (customer, time_ms, id) = (message.subject.as_deref().unwrap_or_default(), event_time_ms(cx, message), message.decode::<u64>()?);
                let [joined, joined_left] = [&inner, &left].map(|join| match message.kind.as_str() {
                    "Offered" => join.left(cx, customer, time_ms, id),
                    _ => join.right(cx, customer, time_ms, id),
                });
                let (joined, joined_left) = (joined?, joined_left?);
                assert!(!joined.is_late && joined.pairs == joined_left.pairs && joined.alone.is_empty());
                (joined.pairs, joined_left.alone)
            }
            Input::Timer(timer) => {
                inner.on_timer(cx, timer)?;
                (vec![], left.on_timer(cx, timer)?.unwrap_or_default())
            }
            Input::CallResult(_) => (vec![], vec![]),
        };
        for (offer, order) in pairs {
            cx.emit("campaign", "Taken", &offer.to_string(), &order);
        }
        for alone in alone {
            cx.emit("campaign", "Ignored", &alone.value.to_string(), &alone.key);
        }
        Ok::<(), Failure>(())
    });
    let sources = vec![Source::events("offers", &["Offered"]), Source::events("orders", &["Ordered"])];
    topology(vec![spec("campaign", sources, "campaign", stores, Arc::new(logic))])
}

#[test]
fn two_streams_are_joined_alike_whoever_is_killed_in_the_middle_of_a_window() {
    let story = |driver: &mut TestDriver, disturb: &dyn Fn(&mut TestDriver)| {
        // Everything has happened by now, so that times count as they are.
        driver.advance(600_000);
        for id in 0..24_u64 {
            let (topic, kind) = [("offers", "Offered"), ("orders", "Ordered")][(id * 5 / 3 % 2) as usize];
            let (customer, second) = (format!("c-{}", id * 7 % 5), id * 11 % 28);
            let time = format_rfc3339(START_MS + second as i64 * 1_000);
            driver.pipe(topic, &customer, &json!({"type": kind, "subject": customer, "time": time, "data": id}).to_string());
            if id == 13 {
                driver.run_until_idle();
                disturb(driver);
            }
        }
        driver.run_until_idle();
        // Nothing comes any more: the clock ends the waits.
        driver.advance(120_000);
        assert_eq!(driver.events("dead-letters"), []);
        let told = driver.distinct_events("campaign").into_iter().map(|event| (event.kind, event.subject, event.data.to_string()));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    };
    let told = whatever_happens(|| TestDriver::new(campaign(), PARTITIONS), &["campaign"], story);
    let of = |id: u64| (id * 5 / 3 % 2, id * 7 % 5, (id * 11 % 28) as i64);
    let is_pair = |offer: u64, order: u64| {
        let ((_, customer, offered), (_, other, ordered)) = (of(offer), of(order));
        customer == other && (-2..=10).contains(&(ordered - offered))
    };
    let (offers, orders): (Vec<u64>, Vec<u64>) = (0..24).partition(|id| of(*id).0 == 0);
    let pairs: Vec<(u64, u64)> = offers.iter().flat_map(|offer| orders.iter().filter(|order| is_pair(*offer, **order)).map(|order| (*offer, *order))).collect();
    let ignored = offers
        .iter()
        .filter(|offer| !pairs.iter().any(|(taken, _)| taken == *offer))
        .map(|offer| ("Ignored".to_owned(), offer.to_string(), format!("\"c-{}\"", of(*offer).1)));
    let mut expected: Vec<_> = pairs.iter().map(|(offer, order)| ("Taken".to_owned(), offer.to_string(), order.to_string())).chain(ignored).collect();
    expected.sort();
    assert!(pairs.len() > 3 && expected.len() > pairs.len(), "{expected:?}");
    assert_eq!(told, expected);
}
