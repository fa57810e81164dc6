//! Windows: counts are exact, late orders are told apart, and what is closed stays.

use serde_json::json;

use crate::support::*;
use marketing::{Config, names};

fn item(item: &str, quantity: i64) -> (String, i64) {
    (item.to_owned(), quantity)
}

/// Lets the clock close every window.
fn all_over(shop: &mut Shop) {
    shop.driver.advance(60 * MINUTE_MS);
}

#[test]
fn placed_orders_are_ranked_in_the_window_in_which_they_were_placed() {
    let mut shop = Shop::new(&config());
    let start = shop.window_ms();
    shop.driver.advance(30 * MINUTE_MS);
    for (order, items, minute) in [
        ("o-1", &[("tea", 1), ("chicken", 2)][..], 10),
        ("o-2", &[("tea", 1)], 11),
        ("o-3", &[("rice", 5)], 19),
        ("o-4", &[("tea", 1), ("tea", 2)], 20),
        ("o-5", &[("rice", 1)], 21),
    ] {
        shop.place(order, "kim", items, start + minute * MINUTE_MS);
    }
    shop.driver.advance(2_000);
    let open = shop.windows();
    assert_eq!(open.len(), 2);
    assert_eq!((open[0].2, &open[0].3), (3, &vec![item("rice", 5), item("chicken", 2), item("tea", 2)]));
    assert_eq!((open[1].2, &open[1].3), (2, &vec![item("tea", 3), item("rice", 1)]));
    all_over(&mut shop);
    let closed = shop.windows();
    for (open, closed) in open.iter().zip(&closed) {
        assert_eq!(closed.1, "Closed");
        assert_eq!((&open.0, open.2, &open.3), (&closed.0, closed.2, &closed.3));
    }
    assert_eq!((shop.late(), shop.unknown()), (0, 0));
}

#[test]
fn only_what_is_placed_counts_and_it_counts_once() {
    let mut shop = Shop::new(&config());
    let now = shop.driver.now_ms();
    shop.request("o-1", "kim", &[("tea", 1)], now);
    shop.event(names::ORDER_REJECTED, "o-1", "kim", now, &json!({}));
    shop.event(names::ORDER_PLACED, "o-1", "kim", now, &json!({}));
    shop.place("o-2", "kim", &[("rice", 1)], now);
    // Cancelled afterwards: it was popular all the same.
    shop.event(names::ORDER_CANCELLED, "o-2", "kim", now, &json!({}));
    // The id is used again.
    shop.request("o-2", "kim", &[("soup", 1)], now);
    shop.event(names::ORDER_PLACED, "o-2", "kim", now, &json!({"incarnation": "i-0"}));
    shop.event(names::ORDER_PLACED, "o-2", "kim", now, &json!({}));
    all_over(&mut shop);
    assert_eq!(shop.windows()[0].3, [item("rice", 1), item("soup", 1)]);
    assert_eq!(shop.unknown(), 2, "placed without items that are known");
}

#[test]
fn the_items_of_an_order_that_nobody_settles_are_forgotten() {
    let mut shop = Shop::new(&Config { basket_retention_ms: 5 * MINUTE_MS, ..config() });
    let now = shop.driver.now_ms();
    shop.request("o-1", "kim", &[("tea", 1)], now);
    shop.driver.advance(6 * MINUTE_MS);
    shop.event(names::ORDER_PLACED, "o-1", "kim", now, &json!({}));
    shop.driver.run_until_idle();
    assert_eq!((shop.unknown(), shop.windows().len()), (1, 0));
}

#[test]
fn a_window_takes_late_orders_within_its_grace_and_none_after() {
    // One partition: its own event time decides.
    let mut shop = Shop::on(&config(), 1);
    let start = shop.window_ms();
    shop.driver.advance(60 * MINUTE_MS);
    shop.place("o-1", "kim", &[("tea", 1)], start + 5 * MINUTE_MS);
    // The window is over, its grace is not.
    shop.place("o-2", "kim", &[("rice", 1)], start + 10 * MINUTE_MS + 59_999);
    shop.place("o-3", "kim", &[("tea", 1)], start + 9 * MINUTE_MS);
    shop.driver.run_until_idle();
    assert_eq!(shop.late(), 0);
    // Now it is.
    shop.place("o-4", "kim", &[("rice", 1)], start + 11 * MINUTE_MS);
    shop.driver.run_until_idle();
    let first = shop.windows().remove(0);
    assert_eq!((first.1.as_str(), first.2, &first.3), ("Closed", 2, &vec![item("tea", 2)]));
    shop.place("o-5", "kim", &[("tea", 100)], start + 9 * MINUTE_MS);
    all_over(&mut shop);
    assert_eq!(shop.late(), 1, "it is counted as late");
    assert_eq!(shop.windows().remove(0), first, "and changes nothing");
    // What a customer likes has no window.
    assert_eq!(shop.recommendations("kim")["favourites"][0], json!({"item": "tea", "times": 3}));
}

/// Whether an order is late depends on its own partition alone: not on who else is how far.
#[test]
fn an_order_is_late_by_the_events_of_its_own_partition() {
    let mut shop = Shop::new(&config());
    let start = shop.window_ms();
    shop.driver.advance(60 * MINUTE_MS);
    shop.place("o-1", "kim", &[("tea", 1)], start + 11 * MINUTE_MS);
    shop.place("o-1", "kim", &[("tea", 1)], start + 10 * MINUTE_MS - 1);
    shop.place("o-1", "kim", &[("tea", 1)], start + 10 * MINUTE_MS);
    all_over(&mut shop);
    assert_eq!((shop.late(), shop.windows().len(), shop.windows()[0].2), (1, 1, 2));
}

#[test]
fn a_window_is_not_closed_before_every_partition_has_passed_it() {
    let mut shop = Shop::new(&config());
    let start = shop.window_ms();
    shop.driver.advance(60 * MINUTE_MS);
    // Marketing was added later: one partition is read far ahead of the others.
    for minute in 0..50 {
        shop.place("o-1", "kim", &[("tea", 1)], start + minute * MINUTE_MS);
    }
    shop.driver.run_until_idle();
    assert!(shop.windows().iter().all(|window| window.1 == "Open"));
    for order in ["o-2", "o-3", "o-4", "o-5", "o-6", "o-7"] {
        shop.place(order, "kim", &[("rice", 1)], start + MINUTE_MS);
    }
    all_over(&mut shop);
    let windows = shop.windows();
    assert_eq!(windows[0].3, [item("tea", 10), item("rice", 6)]);
    assert!(windows.iter().all(|window| window.1 == "Closed" && (window.2 == 10 || window.2 == 16)), "{windows:?}");
    assert_eq!(shop.late(), 0);
}

#[test]
fn a_partition_without_orders_holds_up_no_window_for_long() {
    let mut shop = Shop::new(&config());
    let now = shop.driver.now_ms();
    shop.place("o-1", "kim", &[("tea", 1)], now);
    shop.driver.advance(config().window_ms + 3 * MINUTE_MS);
    let windows = shop.windows();
    assert_eq!((windows.len(), windows[0].1.as_str()), (1, "Closed"));
    // Its clock goes on: an order of then is late, an order of now is not.
    shop.place("o-1", "kim", &[("tea", 1)], now);
    shop.place("o-1", "kim", &[("tea", 1)], shop.driver.now_ms());
    shop.driver.advance(2_000);
    assert_eq!((shop.late(), shop.windows().len()), (1, 2));
}

#[test]
fn after_an_outage_it_catches_up_and_no_order_is_late() {
    // Also those that end a moment after the clock would have ended a window.
    for outage_ms in (1..40).map(|half_minutes| half_minutes * MINUTE_MS / 2).chain([200 * MINUTE_MS]) {
        let mut shop = Shop::new(&config());
        // The clocks of all partitions tick.
        for order in 0..9 {
            let now = shop.driver.now_ms();
            shop.place(&format!("o-{order}"), "kim", &[("tea", 1)], now);
        }
        shop.driver.advance(25 * MINUTE_MS);
        shop.driver.take_down("marketing");
        for order in 0..60 {
            shop.driver.advance(outage_ms / 60);
            let now = shop.driver.now_ms();
            shop.place(&format!("o-{order}"), "kim", &[("tea", 1)], now);
        }
        shop.driver.bring_up("marketing");
        all_over(&mut shop);
        assert_eq!(shop.late(), 0, "after {outage_ms} ms");
        assert_eq!(shop.windows().iter().map(|window| window.2).sum::<i64>(), 69, "after {outage_ms} ms");
        assert!(shop.windows().iter().all(|window| window.1 == "Closed"));
    }
}

#[test]
fn an_event_from_the_future_makes_no_other_late() {
    let mut shop = Shop::on(&config(), 1);
    let now = shop.driver.now_ms();
    shop.place("o-1", "kim", &[("tea", 1)], now + 1_000 * 24 * 60 * MINUTE_MS);
    shop.place("o-2", "kim", &[("tea", 1)], now);
    all_over(&mut shop);
    assert_eq!(shop.late(), 0);
    assert_eq!(shop.windows()[0].3, [item("tea", 2)]);
}

#[test]
fn windows_and_totals_are_the_same_whoever_is_killed_when() {
    let story = |shop: &mut Shop| {
        let start = shop.window_ms();
        shop.driver.advance(20 * MINUTE_MS);
        for (number, minute) in [(1, 1), (2, 9), (3, 12), (4, 2), (5, 13), (6, 3)] {
            let (order, customer) = (format!("o-{}", number % 4), format!("c-{}", number % 2));
            shop.place(&order, &customer, &[("tea", number), ("rice", 1)], start + minute * MINUTE_MS);
            // In the middle of the window, with sales that are gathered and not told.
            shop.driver.advance(400);
        }
        shop.driver.kill("marketing", 0);
        shop.driver.kill_and_lose_store("marketing", 1);
        shop.driver.usurp("marketing", 2);
        shop.driver.advance(40 * MINUTE_MS);
    };
    killed_everywhere(story, |shop| (shop.windows(), shop.late(), shop.unknown()));
}

#[test]
fn a_random_order_of_work_counts_every_order_once() {
    for seed in 0..40 {
        let mut shop = Shop::new(&config());
        shop.driver = std::mem::replace(&mut shop.driver, Shop::new(&config()).driver).with_seed(seed);
        shop.driver.crash_at(20 + seed * 7);
        let start = shop.window_ms();
        shop.driver.advance(30 * MINUTE_MS);
        for number in 0..30_i64 {
            // Event time goes on within each order's partition; partitions are read in any order.
            shop.place(&format!("o-{number}"), "kim", &[("tea", 1)], start + number * MINUTE_MS);
        }
        all_over(&mut shop);
        let windows = shop.windows();
        assert_eq!(windows.iter().map(|window| (window.1.as_str(), window.2)).collect::<Vec<_>>(), [("Closed", 10); 3], "seed {seed}");
        assert_eq!(shop.late(), 0, "seed {seed}");
    }
}

#[test]
fn more_items_than_can_be_counted_one_by_one_are_counted_together() {
    let mut shop = Shop::on(&config(), 1);
    let now = shop.driver.now_ms();
    for order in 0..30 {
        let names: Vec<String> = (0..50).map(|item| format!("item-{order}-{item}")).collect();
        let items: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        shop.place(&format!("o-{order}"), &format!("c-{order}"), &items, now);
    }
    shop.driver.advance(2_000);
    let document = shop.documents(&marketing::view::PopularItems).into_values().next().expect("there is a window");
    assert_eq!((&document["orders"], &document["otherQuantity"]), (&json!(30), &json!(500)));
    assert_eq!(document["items"].as_array().map(Vec::len), Some(50));
    all_over(&mut shop);
    assert_eq!(shop.driver.events("food-delivery-dead-letters"), []);
}
