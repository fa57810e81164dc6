//! The orders of one partition become sales of windows.
//!
//! An order's items stand in its request, and it counts when it is placed: they are remembered in between.
//!
//! **When a window is over.** Event time goes on with the newest event of the partition, and what is placed in a window that ended longer ago than the grace is late: counted as such, and
//! nowhere else. That is decided here, by the order of the events in the partition alone: it does not depend on when they are read, on other partitions, or on who was killed. So a window
//! whose end every partition has told ([`names::SALES_CLOSED`]) is complete and changes no more. A partition without orders would hold all others up, so one that has had nothing to
//! read for a while goes by the clock.

use std::collections::BTreeMap;

use fluvio_streams::envelope::Message;
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::state::StateError;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limits::{TALLY_ITEMS_MAX, WINDOWS_OPEN_MAX};
use crate::message::{Closed, Order, Ordered, Sales, Sold, label};
use crate::names;
use crate::window::{Window, floor};

/// Items of orders that are neither placed nor ended.
pub const BASKETS: &str = "baskets";
/// Sales that were not told yet, by window.
const TALLIES: &str = "tallies";
/// Event time of the partition: one entry.
const CLOCK: &str = "clock";
/// All of them.
pub const STORES: [&str; 3] = [BASKETS, TALLIES, CLOCK];

/// A basket is forgotten.
pub const BASKET_TIMER: &str = "basket";
/// Sales of a window are told.
pub const TALLY_TIMER: &str = "tally";
/// The partition may have nothing to read.
pub const IDLE_TIMER: &str = "idle";

#[derive(Debug, Serialize, Deserialize)]
struct Basket {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incarnation: String,
    /// Pieces by item.
    items: BTreeMap<String, i64>,
}

/// How far event time has come in this partition.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Clock {
    /// Time of the newest event.
    newest_ms: i64,
    /// Windows that end by then are closed.
    closed_ms: i64,
    /// When the partition last had something to read, by the clock of the task.
    read_ms: i64,
    /// Whether the idle timer is set.
    ticks: bool,
}

impl Clock {
    fn load(cx: &Context<'_>) -> Result<Self, StateError> {
        Ok(cx.get(CLOCK, "")?.unwrap_or_default())
    }

    fn store(&self, cx: &mut Context<'_>) {
        cx.put(CLOCK, "", self);
    }

    /// Sets the timer by which the next window ends if no order ends it.
    fn tick(&mut self, config: &Config, at_least_ms: i64, cx: &mut Context<'_>) -> Result<(), StateError> {
        self.ticks = true;
        let due_ms = self.closed_ms.saturating_add(config.window_ms + config.grace_ms + config.idle_ms);
        cx.set_timer(IDLE_TIMER, "", due_ms.max(at_least_ms))
    }

    /// Closes what ended by `until_ms`: tells the last sales, and then that they are the last.
    fn close(&mut self, until_ms: i64, cx: &mut Context<'_>) -> Result<(), StateError> {
        if until_ms <= self.closed_ms {
            return Ok(());
        }
        self.closed_ms = until_ms;
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
        Ok(())
    }
}

/// Takes an event of an order.
pub(crate) fn follow(config: &Config, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
    let order: Order = message.decode()?;
    let now_ms = cx.now_ms();
    // An event from the future would make all that follow it late.
    let time_ms = if message.time_ms < 0 { now_ms } else { message.time_ms.min(now_ms) };
    let mut clock = Clock::load(cx)?;
    clock.read_ms = now_ms;
    clock.newest_ms = clock.newest_ms.max(time_ms);
    if !clock.ticks {
        clock.tick(config, now_ms.saturating_add(config.idle_ms), cx)?;
    }
    clock.close(floor(clock.newest_ms - config.grace_ms, config.window_ms), cx)?;
    match message.kind.as_str() {
        names::ORDER_REQUESTED => remember(config, order, cx)?,
        names::ORDER_PLACED => match take(&order, cx)? {
            Some(basket) => sold(config, &clock, time_ms, &order.customer_id, basket, cx)?,
            None => cx.add_total(names::UNKNOWN, 1)?,
        },
        _ => drop(take(&order, cx)?),
    }
    clock.store(cx);
    Ok(())
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

fn sold(config: &Config, clock: &Clock, time_ms: i64, customer_id: &str, basket: Basket, cx: &mut Context<'_>) -> Result<(), StateError> {
    // What a customer likes does not depend on when they ordered it.
    let ordered = Ordered { items: basket.items.keys().cloned().collect() };
    cx.emit(&names::sales(), names::CUSTOMER_ORDERED, customer_id, &ordered);
    let window = Window::of(time_ms, config.window_ms);
    if window.end_ms <= clock.closed_ms {
        return cx.add_total(names::LATE, 1);
    }
    let key = window.key();
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
    let mut clock = Clock::load(cx)?;
    if !clock.ticks {
        clock.tick(config, cx.now_ms().saturating_add(config.idle_ms), cx)?;
        clock.store(cx);
    }
    Ok(())
}

/// Ends windows by the clock, if the partition has had nothing to read for a while.
pub(crate) fn idle(config: &Config, due_ms: i64, cx: &mut Context<'_>) -> Result<(), StateError> {
    let now_ms = cx.now_ms();
    let mut clock = Clock::load(cx)?;
    // A timer that comes late was not watched: the task was down, and what it missed is still to be read.
    let watched_since_ms = if now_ms - due_ms < config.idle_ms { clock.read_ms } else { now_ms };
    let quiet_from_ms = watched_since_ms.saturating_add(config.idle_ms);
    let until_ms = floor(now_ms - config.grace_ms - config.idle_ms, config.window_ms);
    if until_ms <= clock.closed_ms {
        clock.tick(config, 0, cx)?;
    } else if now_ms < quiet_from_ms {
        clock.tick(config, quiet_from_ms, cx)?;
    } else {
        clock.close(until_ms, cx)?;
        clock.tick(config, 0, cx)?;
    }
    clock.store(cx);
    Ok(())
}
