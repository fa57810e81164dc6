//! A restart in the middle of windows changes nothing of what is told of them.

use std::sync::Arc;

use fluvio_streams::processor::{Context, Failure, Input};
use fluvio_streams::testing::{START_MS, TestDriver};
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::Source;
use fluvio_streams::window::{Windowed, WindowedAggregate, Windows, event_time_ms};
use serde_json::json;

use crate::support::{PARTITIONS, Step, spec, topology, whatever_happens};

type Ids = Vec<u64>;

fn concat(mut earlier: Ids, later: Ids) -> Ids {
    earlier.extend(later);
    earlier
}

/// One aggregate of each kind, in one task.
struct Visits([(&'static str, WindowedAggregate<Ids>); 4]);

impl Visits {
    fn new() -> Self {
        let kinds = [
            ("tumbling", Windows::tumbling(10_000).grace(3_000)),
            ("hopping", Windows::hopping(10_000, 4_000).grace(3_000)),
            ("session", Windows::session(5_000).grace(3_000)),
            ("silent", Windows::tumbling(10_000).idle(2_000)),
        ];
        Self(kinds.map(|(name, windows)| (name, WindowedAggregate::new(name, windows, concat).expect("the windows can be").late_total(name))))
    }

    fn take(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        for (name, aggregate) in &self.0 {
            let closed = match input {
                Input::Message(message) => {
                    let time_ms = event_time_ms(cx, message);
                    aggregate.observe(cx, message.subject.as_deref().unwrap_or_default(), time_ms, vec![message.decode()?])?.closed
                }
                Input::Timer(timer) => aggregate.on_timer(cx, timer)?.unwrap_or_default(),
                Input::CallResult(_) => vec![],
            };
            for Windowed { key, window, value } in closed {
                cx.emit("visits-events", name, &key, &json!({"window": window, "ids": value}));
            }
        }
        Ok(())
    }
}

fn driver() -> TestDriver {
    let visits = Visits::new();
    let stores = visits.0.iter().flat_map(|(_, aggregate)| aggregate.stores()).collect();
    let logic = Arc::new(Step(move |input: Input<'_>, cx: &mut Context<'_>| visits.take(input, cx)));
    TestDriver::new(topology(vec![spec("visits", vec![Source::events("pages", &["Visited"])], "visits-events", stores, logic)]), PARTITIONS)
}

fn visit(driver: &mut TestDriver, partition: u32, page: &str, second: i64, id: u64) {
    let time = format_rfc3339(START_MS + second * 1_000);
    let event = format!(r#"{{"type":"Visited","subject":"{page}","time":"{time}","data":{id}}}"#);
    driver.pipe_to("pages", partition, Some(page.as_bytes()), event.as_bytes());
}

/// (kind, partition, key, window and ids) of every window, and how many records were late for each kind.
type Told = (Vec<(String, u32, String, String)>, Vec<i64>);

fn story(driver: &mut TestDriver, disturb: &dyn Fn(&mut TestDriver)) -> Told {
    // Everything has happened by now, so that times count as they are.
    driver.advance(600_000);
    for (id, second) in (0_u64..).zip([1, 4, 12, 3, 9, 14, 2, 22, 19, 8, 30, 12, 33, 41, 40]) {
        let page = ["home", "about", "search"][id as usize % 3];
        visit(driver, id as u32 % PARTITIONS / 2, page, second, id);
        if id == 7 {
            driver.run_until_idle();
            disturb(driver);
        }
        if id % 4 == 0 {
            driver.run_until_idle();
        }
    }
    // Nothing comes any more; the clock closes what it may, then records close the rest.
    driver.advance(20_000);
    let silent = driver.distinct_events("visits-events").iter().filter(|event| event.kind == "silent").map(|event| ids(&event.data)).sum::<usize>();
    assert_eq!(silent as i64 + driver.total("visits", "silent"), 15, "the clock has closed every window");
    (0..PARTITIONS).for_each(|partition| visit(driver, partition, "end", 500, 99));
    driver.run_until_idle();
    assert_eq!(driver.events("dead-letters"), []);
    let mut told: Vec<_> =
        driver.distinct_events("visits-events").into_iter().map(|event| (event.kind, event.partition, event.subject, event.data.to_string())).collect();
    told.sort();
    (told, Visits::new().0.iter().map(|(name, _)| driver.total("visits", name)).collect())
}

fn ids(data: &serde_json::Value) -> usize {
    data["ids"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_restart_in_the_middle_of_windows_changes_nothing() {
    let (told, late) = whatever_happens(driver, &["visits"], story);
    let of = |kind: &str| told.iter().filter(|(of, ..)| of == kind).map(|(.., data)| ids(&serde_json::from_str(data).expect("JSON"))).sum::<usize>() as i64;
    assert_eq!((of("tumbling") + late[0], of("session") + late[2]), (15, 15), "each record is in one window or late");
    assert!(late.iter().all(|late| *late > 0), "the story has late records of every kind: {late:?}");
    assert!(of("hopping") > of("tumbling"), "hopping windows overlap");
}

/// As many keys as there are may end at once, with names as long as they may be: no step is too large, and each is told once.
#[test]
fn a_window_of_many_keys_closes_within_the_bounds_of_a_transaction() {
    let mut driver = driver();
    driver.advance(600_000);
    let keys = 1_200;
    for id in 0..keys {
        let page = format!("{id:0>width$}", width = if id % 2 == 0 { 256 } else { 5 });
        visit(&mut driver, 0, &page, 1, id);
    }
    driver.run_until_idle();
    visit(&mut driver, 0, &"x".repeat(256), 500, keys);
    driver.advance(10_000);
    assert_eq!(driver.events("dead-letters"), []);
    for kind in ["tumbling", "hopping", "session", "silent"] {
        let told: Vec<_> = driver.distinct_events("visits-events").into_iter().filter(|event| event.kind == kind && !event.subject.starts_with('x')).collect();
        let expected = if kind == "hopping" { 3 * keys } else { keys };
        assert_eq!(told.iter().map(|event| ids(&event.data)).sum::<usize>() as u64, expected, "{kind}");
        assert_eq!(driver.total("visits", kind), 0);
    }
}

/// A window that closes while a task is down is told when it is back.
#[test]
fn an_outage_at_the_end_of_a_window_loses_nothing() {
    let mut driver = driver();
    visit(&mut driver, 0, "home", 0, 1);
    driver.run_until_idle();
    driver.take_down("visits");
    driver.advance(60_000);
    visit(&mut driver, 0, "home", 9, 2);
    driver.bring_up("visits");
    driver.advance(10_000);
    let told = driver.distinct_events("visits-events").into_iter().filter(|event| event.kind == "silent").map(|event| event.data["ids"].clone());
    assert_eq!(told.collect::<Vec<_>>(), [json!([1, 2])], "what was waiting is taken before the clock closes the window");
}
