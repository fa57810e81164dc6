//! One trace from a command to the last of its events, over processors, a wrong partition, timers, calls and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluvio_streams::processor::{Call, Context, Failure, Input, Processor};
use fluvio_streams::testing::{Answer, SeenEvent, TestDriver};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, Topology};
use fluvio_streams::trace::{Trace, TraceContext};
use serde_json::{Value, json};

const PARTITIONS: u32 = 3;
const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Asks an outside system about each order, then lets it ripen.
struct Kitchen;

impl Processor for Kitchen {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => {
                let id = message.subject.as_deref().unwrap_or_default();
                cx.put("orders", id, &1);
                cx.emit("kitchen-events", "Asked", id, &1);
                cx.call("oven", id, &json!({}));
            }
            Input::CallResult(result) => {
                assert_eq!(result.call.span().trace, cx.origin().trace, "an outside system is told the trace that its answer comes under");
                cx.emit("kitchen-events", "Answered", &result.call.id, &1);
                cx.set_timer("ripe", &result.call.id, cx.now_ms() + 1_000)?;
            }
            Input::Timer(timer) => cx.emit("kitchen-events", "Ripe", &timer.key, &1),
        }
        Ok(())
    }
}

/// Tells what it hears.
struct Waiter;

impl Processor for Waiter {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Input::Message(message) = input else { return Ok(()) };
        cx.emit("waiter-events", &format!("{}Told", message.kind), message.subject.as_deref().unwrap_or_default(), &1);
        Ok(())
    }
}

fn driver() -> TestDriver {
    let spec = |name: &str, sources, stores: &[&str], calls: &[&str], logic: Arc<dyn Processor>| ProcessorSpec {
        name: name.to_owned(),
        sources,
        sinks: vec![format!("{name}-events")],
        journal: format!("{name}-journal"),
        stores: stores.iter().map(|name| StoreSpec::of::<u32>(name)).collect(),
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        rejections: "rejections".to_owned(),
        dead_letters: "dead-letters".to_owned(),
        logic,
    };
    let kitchen = spec("kitchen", vec![Source::commands("commands", "orderId", Routing::Except(vec![]))], &["orders"], &["oven"], Arc::new(Kitchen));
    let waiter = spec("waiter", vec![Source::events("kitchen-events", &["Asked", "Answered", "Ripe"])], &[], &[], Arc::new(Waiter));
    let answer = |_: &Call| Some(Answer { after_ms: 20, response: "{}".to_owned() });
    TestDriver::new(Topology { application: "diner".to_owned(), processors: vec![kitchen, waiter] }, PARTITIONS).with_calls(answer)
}

/// Orders, some with a trace, some under a key that takes them to a wrong partition.
fn story(driver: &mut TestDriver) -> BTreeMap<String, Vec<SeenEvent>> {
    for number in 0..8_u32 {
        let mut order = json!({"type": "Order", "orderId": format!("o-{number}"), "commandId": format!("c-{number}")});
        if number.is_multiple_of(2) {
            order["traceparent"] = format!("{}{number}{}", &GIVEN[..34], &GIVEN[35..]).into();
        }
        driver.pipe_to("commands", number % PARTITIONS, Some(b"any"), order.to_string().as_bytes());
    }
    driver.run_until_idle();
    driver.advance(5_000);
    let mut told: BTreeMap<String, Vec<SeenEvent>> = BTreeMap::new();
    for event in ["kitchen-events", "waiter-events"].into_iter().flat_map(|topic| driver.events(topic)) {
        told.entry(event.subject.clone()).or_default().push(event);
    }
    told
}

fn trace_of(number: u32) -> String {
    let given = TraceContext::parse(&format!("{}{number}{}", &GIVEN[..34], &GIVEN[35..])).expect("it is a traceparent");
    let trace = if number.is_multiple_of(2) { given.trace } else { Trace::of(&format!("c-{number}")) };
    trace.to_string()
}

fn check(told: &BTreeMap<String, Vec<SeenEvent>>) {
    assert_eq!(told.len(), 8);
    for (order, events) in told {
        let number: u32 = order.trim_start_matches("o-").parse().expect("it is a number");
        let kinds: BTreeSet<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds.len(), 6, "{order}: {kinds:?}");
        for event in events {
            let context = TraceContext::parse(&event.traceparent).unwrap_or_else(|| panic!("{order}: {}", event.traceparent));
            assert_eq!(context.trace.to_string(), trace_of(number), "{} of {order}", event.kind);
        }
        let said: BTreeSet<(&str, &str)> = events.iter().map(|event| (event.id.as_str(), event.traceparent.as_str())).collect();
        assert_eq!(said.len(), 6, "{order}: what is sent again is the same record");
        assert_eq!(said.iter().map(|(_, traceparent)| traceparent).collect::<BTreeSet<_>>().len(), 6, "{order}: each was written by another input");
    }
}

#[test]
fn all_that_follows_from_a_command_is_in_its_trace_and_no_crash_changes_what_is_said() {
    let mut quiet = driver();
    check(&story(&mut quiet));
    for step in 1..=quiet.steps() {
        let mut driver = driver();
        driver.crash_at(step);
        check(&story(&mut driver));
    }
}

/// A sender whose `traceparent` is none has its order taken all the same.
#[test]
fn what_is_no_traceparent_is_as_if_it_were_not_there() {
    let mut driver = driver();
    for (number, traceparent) in [json!("none"), json!(7), json!(null), json!({})].into_iter().enumerate() {
        let order: Value = json!({"type": "Order", "orderId": format!("o-{number}"), "commandId": format!("c-{number}"), "traceparent": traceparent});
        driver.pipe("commands", &format!("o-{number}"), &order.to_string());
    }
    driver.run_until_idle();
    assert_eq!(driver.events("dead-letters"), []);
    for event in driver.events("waiter-events") {
        let context = TraceContext::parse(&event.traceparent).expect("it has one");
        assert_eq!(context.trace, Trace::of(&event.correlation));
    }
}
