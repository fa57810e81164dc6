//! Ranks what was sold in each window.
//!
//! All windows are ranked in one task, so that one place knows which partitions have told their last sales. It gets what partitions have gathered, not single orders.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fluvio_streams::processor::Context;
use fluvio_streams::state::StateError;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::StoreSpec;
use fluvio_streams::window::Window;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limits::{RANKED_MAX, WINDOW_ITEMS_MAX};
use crate::message::{Closed, Popular, Ranked, Sales, Sold, key};
use crate::names;

/// Open windows.
const WINDOWS: &str = "windows";
/// What was sold in them: window, `/`, item.
const ITEMS: &str = "window-items";
/// How far each partition of orders has come: one entry.
const WATERMARKS: &str = "watermarks";

/// A ranking is told.
pub const PUBLISH_TIMER: &str = "publish";
/// There is another window to be closed.
pub const CLOSE_TIMER: &str = "close";

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    window: Window,
    orders: i64,
    /// Different items.
    items: u32,
    other_quantity: i64,
    /// Whether the publish timer is set.
    is_changed: bool,
}

/// Returns its stores.
pub(crate) fn stores() -> Vec<StoreSpec> {
    vec![StoreSpec::of::<Open>(WINDOWS).keyed_by("window"), StoreSpec::of::<Sold>(ITEMS).keyed_by("window/item"), StoreSpec::of::<Watermarks>(WATERMARKS)]
}

/// How far the partitions of orders have come, by partition.
type Watermarks = BTreeMap<u32, i64>;

/// Returns by when every partition has told its sales; `None` as long as one has told nothing.
fn complete_until(watermarks: &Watermarks, partitions: u32) -> Option<i64> {
    (0..partitions).map(|partition| watermarks.get(&partition).copied()).min().flatten()
}

/// Takes sales of a window.
pub(crate) fn sold(config: &Config, sales: &Sales, cx: &mut Context<'_>) -> Result<(), StateError> {
    let watermarks: Watermarks = cx.get(WATERMARKS, "")?.unwrap_or_default();
    if complete_until(&watermarks, cx.partitions()).is_some_and(|until_ms| sales.window.end_ms <= until_ms) {
        // Partitions tell their sales before they close a window; whatever comes after it changes nothing.
        return cx.add_total(names::LATE, sales.orders);
    }
    let key = key(sales.window);
    let stored: Option<Open> = cx.get(WINDOWS, &key)?;
    let mut open = stored.unwrap_or(Open { window: sales.window, orders: 0, items: 0, other_quantity: 0, is_changed: false });
    open.orders += sales.orders;
    for (item, sold) in &sales.items {
        let item_key = format!("{key}/{item}");
        match cx.get::<Sold>(ITEMS, &item_key)? {
            Some(mut known) => {
                known.add(*sold);
                cx.put(ITEMS, &item_key, &known);
            }
            None if open.items < WINDOW_ITEMS_MAX => {
                open.items += 1;
                cx.put(ITEMS, &item_key, sold);
            }
            None => open.other_quantity = open.other_quantity.saturating_add(sold.quantity),
        }
    }
    if !open.is_changed {
        open.is_changed = true;
        cx.set_timer(PUBLISH_TIMER, &key, cx.now_ms().saturating_add(config.publish_ms))?;
    }
    cx.put(WINDOWS, &key, &open);
    Ok(())
}

/// Tells the ranking of an open window.
pub(crate) fn publish(key: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
    let Some(mut open) = cx.get::<Open>(WINDOWS, key)? else { return Ok(()) };
    open.is_changed = false;
    cx.put(WINDOWS, key, &open);
    let sold = items(key, cx)?;
    tell(&open, sold, "Open", names::POPULAR_ITEMS_CHANGED, cx);
    Ok(())
}

/// Takes the news that a partition of orders has told all sales up to a time. Only the task that ranks windows makes something of it.
pub(crate) fn closed(closed: &Closed, cx: &mut Context<'_>) -> Result<(), StateError> {
    if fluvio_streams::partitioner::partition_for(names::POPULAR.as_bytes(), cx.partitions()) != cx.partition() {
        return Ok(());
    }
    let mut watermarks: Watermarks = cx.get(WATERMARKS, "")?.unwrap_or_default();
    let watermark = watermarks.entry(closed.partition).or_default();
    *watermark = closed.until_ms.max(*watermark);
    cx.put(WATERMARKS, "", &watermarks);
    close(cx)
}

/// Closes the oldest window that is complete; the next one is another step's, so that no step grows too large.
pub(crate) fn close(cx: &mut Context<'_>) -> Result<(), StateError> {
    let watermarks: Watermarks = cx.get(WATERMARKS, "")?.unwrap_or_default();
    let Some(until_ms) = complete_until(&watermarks, cx.partitions()) else { return Ok(()) };
    let oldest = cx.scan::<Open>(WINDOWS, "", None, 2)?;
    let mut complete = oldest.into_iter().filter(|(_, open)| open.window.end_ms <= until_ms);
    let Some((key, open)) = complete.next() else { return Ok(()) };
    let sold = items(&key, cx)?;
    for (item, _) in &sold {
        cx.delete(ITEMS, &format!("{key}/{item}"));
    }
    cx.delete(WINDOWS, &key);
    cx.cancel_timer(PUBLISH_TIMER, &key)?;
    tell(&open, sold, "Closed", names::POPULAR_ITEMS_CLOSED, cx);
    if complete.next().is_some() {
        cx.set_timer(CLOSE_TIMER, "", cx.now_ms())?;
    }
    Ok(())
}

fn items(key: &str, cx: &Context<'_>) -> Result<Vec<(String, Sold)>, StateError> {
    let prefix = format!("{key}/");
    let found = cx.scan::<Sold>(ITEMS, &prefix, None, WINDOW_ITEMS_MAX as usize)?;
    Ok(found.into_iter().map(|(item_key, sold)| (item_key[prefix.len()..].to_owned(), sold)).collect())
}

fn tell(open: &Open, mut sold: Vec<(String, Sold)>, status: &str, kind: &str, cx: &mut Context<'_>) {
    sold.sort_by_key(|(item, sold)| (Reverse(sold.quantity), item.clone()));
    let ranked = (1..).zip(sold).take(RANKED_MAX).map(|(rank, (item, sold))| Ranked { rank, item, sold });
    let window_id = open.window.to_string();
    let popular = Popular {
        window_id: window_id.clone(),
        window_start: format_rfc3339(open.window.start_ms),
        window_end: format_rfc3339(open.window.end_ms),
        status: status.to_owned(),
        orders: open.orders,
        items: ranked.collect(),
        other_quantity: open.other_quantity,
    };
    cx.emit(&names::events(), kind, &window_id, &popular);
}
