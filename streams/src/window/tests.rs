//! Windows in one task, on a clock moved by hand: against a naive model that looks at all records, at their edges, and when the clock closes them.

mod harness;
mod model;

use proptest::prelude::*;

use super::*;
use crate::limits::{WINDOWS_CLOSED_MAX, WINDOWS_PER_RECORD_MAX};
use harness::{LATE, World};
use model::{Model, Record, sorted_sessions};

fn window(start_ms: i64, end_ms: i64) -> Window {
    Window { start_ms, end_ms }
}

/// Records in no order: times before and after the epoch, few keys, so that they meet.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0_u8..3, -100_i64..300).prop_map(|(key, time_ms)| Record { key: format!("k-{key}"), time_ms });
    prop::collection::vec(record, 0..80)
}

fn shapes() -> impl Strategy<Value = Windows> {
    let shape = prop_oneof![
        (1_i64..50).prop_map(Windows::tumbling),
        (1_i64..50, 1_i64..50).prop_map(|(size_ms, advance_ms)| Windows::hopping(size_ms, advance_ms.min(size_ms))),
        (1_i64..40).prop_map(Windows::session),
    ];
    (shape, prop_oneof![Just(0_i64), 0_i64..120]).prop_map(|(windows, grace_ms)| windows.grace(grace_ms))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What is closed, when, what is late and what is open: as the model says after each record, which looks at all records anew.
    #[test]
    fn windows_are_as_the_model_says(windows in shapes(), records in records()) {
        let mut world = World::new(windows);
        let mut model = Model::new(windows);
        for (id, record) in records.iter().enumerate() {
            let seen = world.observe(&record.key, record.time_ms, id);
            let expected = model.observe(id, record);
            prop_assert_eq!(seen.missed.len(), expected.missed, "record {} {:?}", id, record);
            prop_assert_eq!(&world.closed, &model.closed);
            prop_assert_eq!(world.open(), model.open());
            prop_assert_eq!(world.total(LATE), model.late);
            for updated in &seen.updated {
                prop_assert!(seen.closed.iter().all(|closed| closed != updated), "a window that a record has updated is open");
            }
        }
        world.observe("end", 1_000_000, records.len());
        model.observe(records.len(), &Record { key: "end".to_owned(), time_ms: 1_000_000 });
        prop_assert_eq!(&world.closed, &model.closed);
        prop_assert_eq!(world.timers(), 0, "nothing is left to be done");
    }

    /// With grace enough, sessions do not depend on the order of records.
    #[test]
    fn sessions_are_those_of_the_sorted_records(gap_ms in 1_i64..40, records in records()) {
        let mut world = World::new(Windows::session(gap_ms).grace(1_000));
        for (id, record) in records.iter().enumerate() {
            world.observe(&record.key, record.time_ms, id);
        }
        prop_assert_eq!(world.total(LATE), 0);
        let mut open = world.open();
        open.iter_mut().for_each(|session| session.value.sort_unstable());
        prop_assert_eq!(open, sorted_sessions(gap_ms, &records));
    }

    /// Whoever follows the updates of sessions, and forgets those that are replaced, knows all that are open or closed.
    #[test]
    fn updates_of_sessions_lead_to_what_is_there(gap_ms in 1_i64..40, grace_ms in 0_i64..60, records in records()) {
        let mut world = World::new(Windows::session(gap_ms).grace(grace_ms));
        let mut followed = std::collections::BTreeMap::new();
        for (id, record) in records.iter().enumerate() {
            let seen = world.observe(&record.key, record.time_ms, id);
            seen.replaced.iter().for_each(|window| assert!(followed.remove(&(record.key.clone(), *window)).is_some(), "{window:?} was told"));
            followed.extend(seen.updated.into_iter().map(|windowed| ((windowed.key, windowed.window), windowed.value)));
        }
        let there = world.open().into_iter().chain(world.closed.iter().cloned());
        prop_assert_eq!(followed, there.map(|windowed| ((windowed.key, windowed.window), windowed.value)).collect());
    }
}

#[test]
fn a_window_is_open_until_stream_time_reaches_its_end_and_grace() {
    let mut world = World::new(Windows::tumbling(10).grace(5));
    world.observe("a", 9, 0);
    world.observe("b", 14, 1);
    assert_eq!(world.observe("a", 0, 2).missed, [], "14 is before the end of the grace");
    assert_eq!(world.closed, []);
    let closed = world.observe("b", 15, 3).closed;
    assert_eq!(closed, [Windowed { key: "a".to_owned(), window: window(0, 10), value: vec![0, 2] }]);
    let late = world.observe("a", 9, 4);
    assert_eq!((late.missed, late.updated, world.total(LATE)), (vec![window(0, 10)], vec![], 1));
}

#[test]
fn a_record_may_be_late_for_one_of_its_windows_and_in_time_for_another() {
    let mut world = World::new(Windows::hopping(20, 10));
    world.observe("a", 25, 0);
    let seen = world.observe("a", 15, 1);
    assert_eq!((seen.missed, seen.updated.len()), (vec![window(0, 20)], 1));
    assert_eq!(world.total(LATE), 1, "a record is late once, however many windows it misses");
}

#[test]
fn a_record_between_two_sessions_makes_them_one() {
    let mut world = World::new(Windows::session(10).grace(100));
    world.observe("a", 0, 0);
    world.observe("a", 15, 1);
    world.observe("b", 7, 2);
    let seen = world.observe("a", 8, 3);
    assert_eq!(seen.updated, [Windowed { key: "a".to_owned(), window: window(0, 25), value: vec![0, 1, 3] }]);
    assert_eq!(seen.replaced, [window(0, 10), window(15, 25)]);
}

#[test]
fn records_a_gap_apart_are_two_sessions() {
    let mut world = World::new(Windows::session(10).grace(100));
    world.observe("a", 0, 0);
    assert_eq!(world.observe("a", 10, 1).replaced, []);
    assert_eq!(world.observe("a", 19, 2).replaced, [window(10, 20)]);
}

/// Keys that look like the inside of the store do not get into each other's sessions.
#[test]
fn keys_may_hold_anything() {
    let mut world = World::new(Windows::session(10).grace(100));
    let keys = ["", "/", "a", "a/", "1/a/", "a/8000000000000000", "8000000000000000/a", "a\u{0}", "a\u{0}b", "주문"];
    for (id, key) in keys.iter().enumerate() {
        assert_eq!(world.observe(key, 5, id).replaced, [], "key {key:?}");
    }
    world.observe("end", 1_000, keys.len());
    assert_eq!(world.closed.len(), keys.len());
    assert!(world.closed.iter().all(|closed| closed.value == [keys.iter().position(|key| *key == closed.key).expect("it was observed")]));
}

#[test]
fn many_windows_close_in_many_steps_and_none_of_them_takes_anything_more() {
    let mut world = World::new(Windows::tumbling(10));
    let keys = WINDOWS_CLOSED_MAX * 3 + 7;
    for id in 0..keys {
        world.observe(&format!("k-{id:05}"), 5, id);
    }
    world.fire = false;
    assert_eq!(world.observe("next", 10, keys).closed.len(), WINDOWS_CLOSED_MAX);
    let late = world.observe(&format!("k-{:05}", keys - 1), 9, keys + 1);
    assert_eq!((late.missed.len(), late.closed.len()), (1, WINDOWS_CLOSED_MAX), "closed, though not told yet; and this step tells more");
    world.fire = true;
    world.fire_due();
    assert_eq!(world.closed.len(), keys);
    assert!(world.closed.iter().enumerate().all(|(id, closed)| closed.value == [id]), "each once, in order");
    assert_eq!(world.timers(), 0);
}

#[test]
fn large_windows_close_one_at_a_time() {
    let mut world = World::new(Windows::tumbling(10));
    for id in 0..5 {
        world.observe_all(&format!("k-{id}"), 5, vec![id; 40_000]);
    }
    world.fire = false;
    assert_eq!(world.observe("next", 10, 9).closed.len(), 1);
    world.fire = true;
    world.fire_due();
    assert_eq!(world.closed.len(), 5);
}

/// What is closed takes nothing more, also while it waits to be told: a record that comes just in time begins a session of its own beside it.
#[test]
fn a_closed_session_that_is_not_told_yet_is_not_joined() {
    let mut world = World::new(Windows::session(10));
    for id in 0..=WINDOWS_CLOSED_MAX {
        world.observe(&format!("k-{id:05}"), 0, id);
    }
    world.fire = false;
    world.observe("next", 10, 0);
    let seen = world.observe(&format!("k-{WINDOWS_CLOSED_MAX:05}"), 5, 7);
    assert_eq!((seen.updated[0].window, &seen.updated[0].value, seen.replaced), (window(5, 15), &vec![7], vec![]));
    assert_eq!(seen.closed.iter().map(|closed| (closed.window, &closed.value)).collect::<Vec<_>>(), [(window(0, 10), &vec![WINDOWS_CLOSED_MAX])]);
}

/// A timer that was taken back with a refused input is set again by the next record.
#[test]
fn closing_goes_on_with_the_next_record_if_its_timer_is_lost() {
    let mut world = World::new(Windows::tumbling(10));
    for id in 0..=WINDOWS_CLOSED_MAX {
        world.observe(&format!("k-{id}"), 5, id);
    }
    world.fire = false;
    world.observe("next", 10, 0);
    world.lose_timers();
    assert_eq!(world.observe("next", 10, 1).closed.len(), 1);
}

#[test]
fn after_its_windows_were_changed_an_aggregate_closes_the_old_ones_too() {
    for (before, after) in [
        (Windows::tumbling(10).grace(50), Windows::tumbling(10)),
        (Windows::tumbling(10), Windows::tumbling(10).grace(50)),
        (Windows::tumbling(10).grace(50), Windows::tumbling(20).grace(50)),
        (Windows::session(10).grace(50), Windows::session(30).grace(20)),
    ] {
        let mut world = World::new(before);
        world.observe("a", 5, 0);
        world.observe("a", 15, 1);
        let mut world = world.changed(after);
        world.observe("a", 16, 2);
        world.observe("end", 1_000, 3);
        let mut taken: Vec<usize> = world.closed.iter().flat_map(|closed| closed.value.clone()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2], "{before:?} -> {after:?}: {:?}", world.closed);
    }
}

#[test]
fn the_clock_closes_windows_of_a_source_that_has_fallen_silent() {
    let mut world = World::new(Windows::tumbling(1_000).grace(100).idle(500));
    world.observe("a", 400, 0);
    world.wait_until(1_599);
    assert_eq!(world.closed, []);
    world.wait_until(2_100);
    assert_eq!(world.closed.len(), 1);
    assert_eq!(world.timers(), 0, "nothing is open, so nobody looks");
    // The clock has moved stream time no further than it had to.
    assert_eq!(world.observe("a", 1_000, 1).missed, []);
    assert_eq!(world.observe("a", 999, 2).missed.len(), 1);
}

#[test]
fn without_an_idle_time_the_last_windows_stay_open() {
    let mut world = World::new(Windows::tumbling(1_000));
    world.observe("a", 400, 0);
    world.wait_until(1_000_000_000);
    assert_eq!((world.closed.len(), world.timers()), (0, 0));
}

#[test]
fn as_long_as_records_come_the_clock_closes_nothing() {
    let mut world = World::new(Windows::tumbling(1_000).idle(500));
    for id in 0..100 {
        // Read far behind the present.
        world.observe("a", 400, id);
        let now_ms = world.now_ms;
        world.wait_until(now_ms + 300);
    }
    assert_eq!(world.closed, []);
    assert!(world.fired < 70, "the clock looks in once an idle time, not with every record: {}", world.fired);
}

/// However long the outage, and whenever it began: what happened meanwhile, and was written at once, is not late.
#[test]
fn after_an_outage_the_backlog_is_not_late() {
    for outage_ms in [1, 400, 599, 600, 601, 1_000, 1_099, 1_100, 1_101, 1_200, 1_300, 5_000, 100_000] {
        for down_from_ms in (400..3_000).step_by(50) {
            let mut world = World::new(Windows::tumbling(1_000).idle(600));
            world.now_ms = 400;
            world.observe("a", 400, 0);
            world.wait_until(down_from_ms);
            world.now_ms = down_from_ms + outage_ms;
            // Timers come before records.
            world.fire_due();
            world.observe("a", down_from_ms, 1);
            assert_eq!(world.total(LATE), 0, "down from {down_from_ms} for {outage_ms} ms");
        }
    }
}

/// What a record costs does not depend on how many windows are open, or were.
#[test]
fn a_record_costs_the_same_however_many_windows_there_are() {
    for (windows, gets, ranges) in [
        (Windows::tumbling(1_000).grace(5_000), 2, 0),
        (Windows::hopping(1_000, 100).grace(5_000), 11, 0),
        // A session that grows is moved, and its neighbours are looked for.
        (Windows::session(1_000).grace(5_000), 2, 1),
    ] {
        let mut world = World::new(windows);
        for key in 0..5_000 {
            world.observe(&format!("k-{key}"), 20_000, key);
        }
        let (got, ranged, entries) = world.cost("k-7", 20_001);
        assert!(got <= gets && ranged <= ranges && entries <= 2, "{windows:?}: {got} gets, {ranged} ranges with {entries} entries");
    }
}

/// A timer that comes late does not say that nothing came: the task was down. So also a record that was written late is taken, as it would have been without the outage.
#[test]
fn a_timer_that_was_missed_closes_nothing() {
    let mut world = World::new(Windows::tumbling(1_000).idle(600));
    world.now_ms = 400;
    world.observe("a", 400, 0);
    world.wait_until(1_250);
    world.now_ms = 10_000;
    world.fire_due();
    assert_eq!(world.observe("a", 999, 1).missed, []);
    world.wait_until(12_000);
    assert_eq!(world.closed.len(), 1, "and then it goes on as ever");
}

#[test]
fn times_at_the_ends_of_the_world_are_taken() {
    for windows in [Windows::tumbling(1_000).grace(5), Windows::hopping(7, 2), Windows::session(1_000)] {
        let mut world = World::new(windows);
        for (id, time_ms) in [i64::MIN, -1, 0, i64::MAX].into_iter().enumerate() {
            assert_eq!(world.observe("a", time_ms, id).missed, []);
        }
        assert!(world.closed.len() >= 2);
    }
}

#[test]
fn windows_that_cannot_be_are_refused_by_name() {
    for (windows, named) in [
        (Windows::tumbling(0), "size_ms"),
        (Windows::tumbling(i64::MAX), "size_ms"),
        (Windows::hopping(10, 11), "advance_ms"),
        (Windows::hopping(10, 0), "advance_ms"),
        (Windows::session(0), "gap_ms"),
        (Windows::session(5).grace(-1), "grace_ms"),
        (Windows::tumbling(5).idle(0), "idle_ms"),
        (Windows::hopping(WINDOWS_PER_RECORD_MAX * 10 + 1, 10), "overlap"),
    ] {
        let error = WindowedAggregate::<u64>::new("any", windows, u64::max).expect_err("it cannot be").to_string();
        assert!(error.contains(named), "{error}");
    }
    WindowedAggregate::<u64>::new("any", Windows::hopping(WINDOWS_PER_RECORD_MAX * 10, 10), u64::max).expect("as many as may be");
}

#[test]
fn a_window_goes_by_the_time_at_which_it_begins() {
    assert_eq!(Window::tumbling(1_795_254_000_123, 3_600_000).to_string(), "2026-11-21T09:00:00Z");
    assert_eq!(Window::tumbling(1_700, 500).to_string(), "1970-01-01T00:00:01.500Z");
    assert_eq!(Window::tumbling(-1, 10), window(-10, 0));
}
