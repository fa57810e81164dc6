//! The orders of one partition become sales of windows.
//!
//! An order's items stand in its request, and it counts when it is placed: they are remembered in between.
//!
//! **When a window is over.** Event time goes on with the newest event of the partition, and what is placed in a window that ended longer ago than the grace is late: counted as such, and
//! nowhere else. That is decided here, by the order of the events in the partition alone: it does not depend on when they are read, on other partitions, or on who was killed. So a window
//! whose end every partition has told ([`names::SALES_CLOSED`]) is complete and changes no more. A partition without orders would hold all others up, so one that has had nothing to
//! read for a while goes by the clock ([`StreamTime`]).

use std::collections::BTreeMap;

use fluvio_streams::envelope::Message;
use fluvio_streams::processor::{Context, Failure, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{StoreSpec, names as names_of};
use fluvio_streams::window::{StreamTime, Window, event_time_ms, floor};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limits::{TALLY_ITEMS_MAX, WINDOWS_OPEN_MAX};
use crate::message::{Closed, Order, Ordered, Sales, Sold, key, label};
use crate::names;

/// Items of orders that are neither placed nor ended.
pub const BASKETS: &str = "baskets";
/// Sales that were not told yet, by window.
const TALLIES: &str = "tallies";
/// By when windows that are closed have ended: one entry.
const CLOSED: &str = "closed";

/// A basket is forgotten.
pub const BASKET_TIMER: &str = "basket";
/// Sales of a window are told.
pub const TALLY_TIMER: &str = "tally";

#[derive(Debug, Serialize, Deserialize)]
struct Basket {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incarnation: String,
    /// Pieces by item.
    items: BTreeMap<String, i64>,
}

/// Returns its stores.
pub(crate) fn stores(config: &Config) -> Vec<StoreSpec> {
    let own = vec![StoreSpec::of::<Basket>(BASKETS).keyed_by("orderId"), StoreSpec::of::<Sales>(TALLIES).keyed_by("window"), StoreSpec::of::<i64>(CLOSED)];
    [own, time(config).stores()].concat()
}

/// Returns the names of its timers.
pub(crate) fn timers(config: &Config) -> Vec<String> {
    [names_of(&[BASKET_TIMER, TALLY_TIMER]), time(config).timers()].concat()
}

/// How far event time has come in this partition.
fn time(config: &Config) -> StreamTime {
    StreamTime::new("orders").idle(config.idle_ms)
}

/// Takes an event of an order.
pub(crate) fn follow(config: &Config, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
    let order: Order = message.decode()?;
    let time_ms = event_time_ms(cx, message);
    let stream_ms = time(config).observe(cx, time_ms)?;
    let closed_ms = close(config, stream_ms, cx)?;
    match message.kind.as_str() {
        names::ORDER_REQUESTED => remember(config, order, cx)?,
        names::ORDER_PLACED => match take(&order, cx)? {
            Some(basket) => sold(config, closed_ms, time_ms, &order.customer_id, basket, cx)?,
            None => cx.add_total(names::UNKNOWN, 1)?,
        },
        _ => drop(take(&order, cx)?),
    }
    Ok(())
}

/// Closes what has ended: tells the last sales, and then that they are the last. Returns by when windows that are closed have ended.
fn close(config: &Config, stream_ms: i64, cx: &mut Context<'_>) -> Result<i64, StateError> {
    let closed_ms = cx.get(CLOSED, "")?.unwrap_or(0);
    let until_ms = floor(stream_ms - config.grace_ms, config.window_ms);
    if until_ms <= closed_ms {
        return Ok(closed_ms);
    }
    cx.put(CLOSED, "", &until_ms);
    expect_next(config, until_ms, cx)?;
    for (key, sales) in cx.scan::<Sales>(TALLIES, "", None, WINDOWS_OPEN_MAX)? {
        if sales.window.end_ms <= until_ms {
            cx.cancel_timer(TALLY_TIMER, &key)?;
            tell(&key, cx)?;
        }
    }
    let closed = Closed { partition: cx.partition(), until_ms };
    for partition in 0..cx.partitions() {
        cx.emit_to(&names::sales(), partition, names::SALES_CLOSED, names::POPULAR, &closed);
    }
    Ok(until_ms)
}

/// Lets the clock end the next window if no order ends it.
fn expect_next(config: &Config, closed_ms: i64, cx: &mut Context<'_>) -> Result<(), StateError> {
    time(config).expect(cx, closed_ms.saturating_add(config.window_ms + config.grace_ms))
}

fn remember(config: &Config, order: Order, cx: &mut Context<'_>) -> Result<(), StateError> {
    let mut basket = Basket { incarnation: order.incarnation, items: BTreeMap::new() };
    for line in &order.items {
        if let Some(item) = label(&line.item).filter(|_| line.quantity > 0) {
            let quantity: &mut i64 = basket.items.entry(item).or_default();
            *quantity = quantity.saturating_add(line.quantity);
        }
    }
    cx.put(BASKETS, &order.order_id, &basket);
    cx.set_timer(BASKET_TIMER, &order.order_id, cx.now_ms().saturating_add(config.basket_retention_ms))
}

/// Returns what was remembered of the order, and forgets it.
fn take(order: &Order, cx: &mut Context<'_>) -> Result<Option<Basket>, StateError> {
    let basket: Option<Basket> = cx.get(BASKETS, &order.order_id)?;
    let basket = basket.filter(|basket| basket.incarnation == order.incarnation);
    if basket.is_some() {
        cx.delete(BASKETS, &order.order_id);
        cx.cancel_timer(BASKET_TIMER, &order.order_id)?;
    }
    Ok(basket)
}

fn sold(config: &Config, closed_ms: i64, time_ms: i64, customer_id: &str, basket: Basket, cx: &mut Context<'_>) -> Result<(), StateError> {
    // What a customer likes does not depend on when they ordered it.
    let ordered = Ordered { items: basket.items.keys().cloned().collect() };
    cx.emit(&names::sales(), names::CUSTOMER_ORDERED, customer_id, &ordered);
    let window = Window::tumbling(time_ms, config.window_ms);
    if window.end_ms <= closed_ms {
        return cx.add_total(names::LATE, 1);
    }
    let key = key(window);
    let stored: Option<Sales> = cx.get(TALLIES, &key)?;
    let is_new = stored.is_none();
    let mut sales = stored.unwrap_or_else(|| Sales { window, orders: 0, items: BTreeMap::new() });
    sales.orders += 1;
    for (item, quantity) in basket.items {
        sales.items.entry(item).or_default().add(Sold { quantity, orders: 1 });
    }
    cx.put(TALLIES, &key, &sales);
    if sales.items.len() >= TALLY_ITEMS_MAX {
        cx.cancel_timer(TALLY_TIMER, &key)?;
        return tell(&key, cx);
    }
    if is_new {
        cx.set_timer(TALLY_TIMER, &key, cx.now_ms().saturating_add(config.publish_ms))?;
    }
    Ok(())
}

/// Tells the sales of a window that were gathered, so that a busy shop costs a record a second and not one an order.
pub(crate) fn tell(key: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
    if let Some(sales) = cx.get::<Sales>(TALLIES, key)? {
        cx.emit(&names::sales(), names::ITEMS_SOLD, names::POPULAR, &sales);
        cx.delete(TALLIES, key);
    }
    Ok(())
}

/// Lets a partition go by the clock that may never have had anything to read.
pub(crate) fn wake(config: &Config, cx: &mut Context<'_>) -> Result<(), StateError> {
    if cx.get::<i64>(CLOSED, "")?.is_none() {
        cx.put(CLOSED, "", &0);
        time(config).expect(cx, cx.now_ms())?;
    }
    Ok(())
}

/// Ends windows by the clock, if the partition has had nothing to read for a while. Returns false if the timer is another one.
pub(crate) fn on_timer(config: &Config, timer: &Timer, cx: &mut Context<'_>) -> Result<bool, StateError> {
    let Some(stream_ms) = time(config).on_timer(cx, timer)? else { return Ok(false) };
    if let Some(stream_ms) = stream_ms {
        let closed_ms = close(config, stream_ms, cx)?;
        expect_next(config, closed_ms, cx)?;
    }
    Ok(true)
}
