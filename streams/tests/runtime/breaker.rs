//! What a breaker does is told when it is committed, once: not when the transaction fails, and not by those who read of it in the journal.

use std::sync::{Arc, Mutex, PoisonError};

use fluvio_streams::breaker::{BreakerConfig, State};
use fluvio_streams::guard::{Guard, GuardConfig, Reply};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection};
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{Options, Runtime};
use fluvio_streams::state::store::{MemoryStores, Stores};
use fluvio_streams::telemetry::{Event, Observer};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};
use serde_json::json;

use super::{eventually, options};

/// Asks the oven about each order, and hears that it failed.
struct Kitchen {
    guard: Guard,
}

impl Kitchen {
    fn new() -> Self {
        let breaker = BreakerConfig { minimum_number_of_calls: 2, window_size: 2, ..BreakerConfig::default() };
        Self { guard: Guard::new(GuardConfig { breaker, ..GuardConfig::new("oven", "requests", "Bake", "Void") }).expect("the settings are right") }
    }
}

impl Processor for Kitchen {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        let message = match input {
            Input::Message(message) => message,
            Input::Timer(timer) => return Ok(self.guard.on_timer(context, timer).map(drop)?),
            Input::CallResult(_) => return Ok(()),
        };
        let order = message.subject.as_deref().unwrap_or_default();
        match message.kind.as_str() {
            "Order" => drop(self.guard.start(context, order, "1st", json!({}))?),
            "Burn" => drop(self.guard.on_reply(context, order, 1, None, Reply::Failed { detail: None })?),
            "Close" => self.guard.force(context, State::Closed)?,
            _ => {
                self.guard.force(context, State::Disabled)?;
                return Err(Rejection::new("NotAllowed", "nobody may do without the breaker").into());
            }
        }
        context.emit("done", "Done", order, &json!({}));
        Ok(())
    }
}

fn topology() -> Topology {
    let logic = Kitchen::new();
    let kitchen = ProcessorSpec {
        name: "kitchen".into(),
        sources: vec![Source::commands("commands", "orderId", Routing::Except(vec![]))],
        sinks: vec!["requests".into(), "done".into()],
        journal: "kitchen-journal".into(),
        stores: logic.guard.stores(),
        calls: Vec::new(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic: Arc::new(logic),
    };
    Topology { application: "shop".into(), processors: vec![kitchen] }
}

/// Hears what breakers do.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<String>>,
}

impl Ear {
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Ear {
    fn observe(&self, event: &Event<'_>) {
        if let Event::BreakerTransitioned { task, guard, from, to } = event {
            let line = format!("{}-{}-{}: {guard} {} -> {}", task.application, task.processor, task.partition, from.name(), to.name());
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }
}

async fn start(log: &MemoryLog, stores: &Arc<dyn Stores>, ear: &Arc<Ear>) -> Runtime {
    let options = Options { observer: ear.clone(), ..options(Arc::new(log.clone()), stores.clone()) };
    Runtime::start(&topology(), options).await.expect("it starts")
}

fn tell(log: &MemoryLog, kind: &str, order: &str) {
    let value = format!(r#"{{"type":"{kind}","orderId":"{order}"}}"#);
    log.append("commands", 0, 0, NewRecord::keyed(order, value)).expect("the topic is there");
}

/// Waits until what an order was told has left: effects follow their commit.
async fn until_left(log: &MemoryLog, topic: &str, order: &str) {
    let about = format!(r#""subject":"{order}""#);
    let has_left = || {
        log.fetch(topic, 0, 0, None, usize::MAX)
            .expect("the topic is there")
            .records
            .iter()
            .any(|record| String::from_utf8_lossy(&record.value).contains(&about))
    };
    eventually(&format!("{order} in {topic}"), has_left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transition_of_a_breaker_is_told_once() {
    let log = MemoryLog::default();
    for topic in topology().topics() {
        log.create(&topic, 1);
    }
    let (stores, ear): (Arc<dyn Stores>, _) = (Arc::new(MemoryStores::default()), Arc::new(Ear::default()));
    let runtime = start(&log, &stores, &ear).await;
    for (kind, order) in [("Order", "o-1"), ("Order", "o-2"), ("Burn", "o-1"), ("Burn", "o-2"), ("Disable", "o-3")] {
        tell(&log, kind, order);
    }
    until_left(&log, "rejections", "o-3").await;
    runtime.stop().await;
    assert_eq!(ear.heard(), ["shop-kitchen-0: oven closed -> open"], "what was taken back with its command never happened");

    // One comes back with its store, one with nothing but the journal: the breaker is open, and nobody opened it.
    for (round, stores) in (0..).zip([stores, Arc::new(MemoryStores::default()) as Arc<dyn Stores>]) {
        let ear = Arc::new(Ear::default());
        let runtime = start(&log, &stores, &ear).await;
        let order = format!("o-1{round}");
        tell(&log, "Order", &order);
        until_left(&log, "done", &order).await;
        assert_eq!(ear.heard(), Vec::<String>::new());
        runtime.stop().await;
    }

    let ear = Arc::new(Ear::default());
    let runtime = start(&log, &(Arc::new(MemoryStores::default()) as Arc<dyn Stores>), &ear).await;
    tell(&log, "Close", "o-4");
    until_left(&log, "done", "o-4").await;
    runtime.stop().await;
    assert_eq!(ear.heard(), ["shop-kitchen-0: oven open -> closed"], "it was open all the time");
}
