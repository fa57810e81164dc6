//! The highest temperature of each room and minute, told once the minute is over: `cargo run -p fluvio-streams --example windowed`.
//!
//! Readings name a sensor; a table says in which room it is (join); they go on under the room's name (repartition), and meet there in windows. All of it runs in the test driver, without
//! a broker; on a cluster it would be started as `word_count` is.

use std::sync::Arc;

use fluvio_streams::join::StreamTable;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::testing::{START_MS, TestDriver};
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{ProcessorSpec, Source, Topology};
use fluvio_streams::window::{WindowedAggregate, Windows, WindowsError, event_time_ms};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reading {
    celsius: i64,
    time_ms: i64,
}

/// Knows the room of each sensor.
struct Rooms(StreamTable<String>);

impl Processor for Rooms {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Input::Message(message) = input else { return Ok(()) };
        let sensor = message.subject.as_deref().unwrap_or_default();
        if message.kind == "SensorMounted" {
            self.0.update(cx, sensor, Some(&message.decode()?));
            return Ok(());
        }
        // An event gets the time of its writing, so when it was measured goes along.
        let reading = Reading { celsius: message.decode()?, time_ms: event_time_ms(cx, message) };
        if let Some((reading, room)) = self.0.inner(cx, sensor, reading)? {
            cx.emit("room-readings", "RoomMeasured", &room, &reading);
        }
        Ok(())
    }
}

/// Knows the highest temperature of each room and minute.
struct Highs(WindowedAggregate<i64>);

impl Processor for Highs {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        let closed = match input {
            Input::Message(message) => {
                let reading: Reading = message.decode()?;
                self.0.observe(cx, message.subject.as_deref().unwrap_or_default(), reading.time_ms, reading.celsius)?.closed
            }
            Input::Timer(timer) => self.0.on_timer(cx, timer)?.unwrap_or_default(),
            Input::CallResult(_) => vec![],
        };
        for high in closed {
            cx.emit("highs", "HighKnown", &high.key, &(high.window.to_string(), high.value));
        }
        Ok(())
    }

    fn totals(&self) -> &'static [&'static str] {
        &["readings_late"]
    }
}

/// The two processors and the topic between them.
pub(crate) fn topology() -> Result<Topology, WindowsError> {
    let rooms = StreamTable::new("rooms");
    let minutes = Windows::tumbling(60_000).grace(10_000).idle(5_000);
    let highs = WindowedAggregate::new("highs", minutes, i64::max)?.late_total("readings_late");
    let (by_sensor, by_room) = (Source::events("readings", &["Measured"]), Source::events("room-readings", &["RoomMeasured"]));
    let sensors = Source::events("sensors", &["SensorMounted"]);
    let spec = |name: &str, sources, sink: &str, stores, logic: Arc<dyn Processor>| ProcessorSpec {
        name: name.to_owned(),
        sources,
        sinks: vec![sink.to_owned()],
        journal: format!("{name}-journal"),
        stores,
        calls: vec![],
        rejections: "rejections".to_owned(),
        dead_letters: "dead-letters".to_owned(),
        logic,
    };
    let rooms = spec("rooms", vec![sensors, by_sensor], "room-readings", rooms.stores(), Arc::new(Rooms(rooms)));
    let highs = spec("highs", vec![by_room], "highs", highs.stores(), Arc::new(Highs(highs)));
    Ok(Topology { application: "temperatures".to_owned(), processors: vec![rooms, highs] })
}

/// Two minutes of two rooms; returns what was told, in order.
pub(crate) fn play(driver: &mut TestDriver) -> Vec<String> {
    for (sensor, room) in [("s-1", "hall"), ("s-2", "hall"), ("s-3", "attic")] {
        driver.pipe("sensors", sensor, &format!(r#"{{"type":"SensorMounted","subject":"{sensor}","data":"{room}"}}"#));
    }
    driver.run_until_idle();
    driver.advance(120_000);
    for (sensor, second, celsius) in [("s-1", 5, 20), ("s-3", 10, 31), ("s-2", 30, 22), ("s-1", 65, 25), ("s-2", 59, 23), ("s-1", 75, 24), ("s-2", 58, 40)] {
        let time = format_rfc3339(START_MS + second * 1_000);
        driver.pipe("readings", sensor, &format!(r#"{{"type":"Measured","subject":"{sensor}","time":"{time}","data":{celsius}}}"#));
        driver.run_until_idle();
    }
    driver.advance(60_000);
    let mut told: Vec<String> = driver.distinct_events("highs").into_iter().map(|high| format!("{} {}", high.subject, high.data)).collect();
    told.sort();
    told.push(format!("late: {}", driver.total("highs", "readings_late")));
    told
}

#[allow(dead_code, reason = "a test plays it with other drivers")]
fn main() -> Result<(), WindowsError> {
    for line in play(&mut TestDriver::new(topology()?, 2)) {
        println!("{line}");
    }
    Ok(())
}
