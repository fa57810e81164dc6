//! The small business that the guarantees are tried on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection};
use fluvio_streams::testing::{Answer, TestDriver};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};

pub(crate) const PARTITIONS: u32 = 3;
pub(crate) const DEPOSITS: i64 = 12;

#[derive(Deserialize)]
struct Deposit {
    account: String,
    amount: i64,
}

/// Takes deposits, keeps balances, has a receipt printed for each, and reminds once an account after a while.
struct Till;

impl Processor for Till {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => {
                if message.kind != "Deposit" {
                    return Err(fluvio_streams::envelope::Unreadable(format!("no such command `{}`", message.kind)).into());
                }
                let deposit: Deposit = message.decode()?;
                if deposit.amount <= 0 {
                    return Err(Rejection::new("AmountNotPositive", "an amount is more than 0").into());
                }
                let before = context.get::<i64>("accounts", &deposit.account)?;
                context.put("accounts", &deposit.account, &(before.unwrap_or(0) + deposit.amount));
                context.emit("till-events", "Deposited", &deposit.account, &json!({"amount": deposit.amount, "id": context.next_event_id()}));
                context.call("printer", &format!("{}/{}", message.id, deposit.account), &json!({"amount": deposit.amount}));
                if before.is_none() {
                    context.set_timer("remind", &deposit.account, context.now_ms() + 1_000)?;
                }
                context.add_total("deposited", deposit.amount)?;
            }
            Input::Timer(timer) => context.emit("till-events", "Reminded", &timer.key, &json!({"id": context.next_event_id()})),
            Input::CallResult(result) => {
                context.emit("till-events", "Printed", &result.call.id, &json!({"receipt": result.response, "id": context.next_event_id()}));
            }
        }
        Ok(())
    }
}

/// Counts what the till says it took.
struct Audit;

impl Processor for Audit {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        if let Input::Message(message) = input {
            let account = message.subject.clone().unwrap_or_default();
            let amount = serde_json::from_str::<serde_json::Value>(&message.data).ok().and_then(|data| data["amount"].as_i64()).unwrap_or(0);
            let counted = context.get::<i64>("counted", &account)?.unwrap_or(0) + amount;
            context.put("counted", &account, &counted);
            context.emit("audit-events", "Counted", &account, &json!({"counted": counted, "id": context.next_event_id()}));
        }
        Ok(())
    }
}

fn spec(name: &str, source: Source, sink: &str, store: &str, calls: &[&str], logic: Arc<dyn Processor>) -> ProcessorSpec {
    ProcessorSpec {
        name: name.into(),
        sources: vec![source],
        sinks: vec![sink.into()],
        journal: format!("{name}-journal"),
        stores: vec![store.into()],
        calls: calls.iter().map(|call| (*call).into()).collect(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic,
    }
}

/// Returns the topology of the business.
pub(crate) fn topology() -> Topology {
    let till = spec("till", Source::commands("commands", "account", Routing::Except(vec![])), "till-events", "accounts", &["printer"], Arc::new(Till));
    let audit = spec("audit", Source::events("till-events", &["Deposited"]), "audit-events", "counted", &[], Arc::new(Audit));
    Topology { application: "bank".into(), processors: vec![till, audit] }
}

/// Returns a driver with a printer that answers after 5 ms and gives one answer per id.
pub(crate) fn driver() -> TestDriver {
    let printed: Rc<RefCell<BTreeMap<String, String>>> = Rc::default();
    TestDriver::new(topology(), PARTITIONS).with_calls(move |call| {
        let mut printed = printed.borrow_mut();
        let response = printed.entry(call.id.clone()).or_insert_with(|| json!(format!("receipt for {}", call.id)).to_string());
        Some(Answer { after_ms: 5, response: response.clone() })
    })
}

/// What anybody can see at the end.
#[derive(Debug, PartialEq)]
pub(crate) struct World {
    pub(crate) balances: BTreeMap<String, i64>,
    pub(crate) counted: BTreeMap<String, i64>,
    pub(crate) receipts: Vec<String>,
    pub(crate) reminders: Vec<String>,
}

/// Plays the story with one disturbance in the middle, and looks at the end.
pub(crate) fn run(driver: &mut TestDriver, disturb: impl Fn(&mut TestDriver)) -> World {
    for number in 1..=DEPOSITS / 2 {
        deposit(driver, number);
    }
    driver.run_until_idle();
    for number in DEPOSITS / 2 + 1..=DEPOSITS {
        deposit(driver, number);
    }
    disturb(driver);
    driver.run_until_idle();
    driver.advance(10);
    driver.advance(2_000);
    // Sends are delayed at random under a seed; a last rest lets them arrive.
    driver.run_until_idle();
    look(driver)
}

fn deposit(driver: &mut TestDriver, number: i64) {
    let account = format!("a-{}", number % 4);
    driver.pipe("commands", &account, &format!(r#"{{"type":"Deposit","commandId":"c-{number}","account":"{account}","amount":{number}}}"#));
}

fn look(driver: &TestDriver) -> World {
    let accounts: Vec<String> = (0..4).map(|number| format!("a-{number}")).collect();
    let of = |processor: &str, store: &str| -> BTreeMap<String, i64> {
        accounts.iter().map(|account| (account.clone(), driver.state::<i64>(processor, store, account).unwrap_or(0))).collect()
    };
    let seen = |kind: &str| -> Vec<String> {
        let mut subjects: Vec<String> =
            driver.distinct_events("till-events").into_iter().filter(|event| event.kind == kind).map(|event| event.subject).collect();
        subjects.sort();
        subjects
    };
    for event in ["till-events", "audit-events"].into_iter().flat_map(|topic| driver.events(topic)) {
        assert_eq!(event.data["id"], event.id, "the id that was foretold: {event:?}");
    }
    let balances = of("till", "accounts");
    assert_eq!(driver.total("till", "deposited"), balances.values().sum::<i64>(), "the total is the sum of the balances");
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for event in driver.distinct_events("audit-events") {
        let counted = event.data["counted"].as_i64().unwrap_or(-1);
        let before = last.insert(event.subject, counted);
        assert!(before.is_none_or(|before| before < counted), "a count never goes back");
    }
    assert_eq!(last, of("audit", "counted"), "the last event says what the state says");
    World { balances, counted: of("audit", "counted"), receipts: seen("Printed"), reminders: seen("Reminded") }
}
