//! How notifications reach a receiver that fails, refuses, or says nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use business::{Business as _, Config};
use fluvio_streams::projection::Projection as _;
use fluvio_streams::testing::{Answer, Random, SeenEvent, TestDriver};
use notifications::delivery::Delivery;
use notifications::limits::DELIVERIES_OPEN_MAX;
use notifications::view::View;
use serde_json::{Value, json};

use crate::support::*;

const TRIES_MAX: u32 = 4;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longer than all tries of one delivery.
const LONG_MS: i64 = 60_000;

/// By idempotency key: the bodies that came, and when.
type Mail = Rc<RefCell<BTreeMap<String, Vec<(i64, Value)>>>>;

/// What a receiver answers to a try; `None`: nothing at all.
type Manners = fn(&Delivery) -> Option<Value>;

fn delivered() -> Option<Value> {
    Some(json!({"outcome": "delivered"}))
}

/// Manners by customer: `away-2` fails two tries, `gone` refuses, `silent` never answers, `shy` asks to be left alone for 30 s once, `odd` says what nobody understands, once.
fn manners(delivery: &Delivery) -> Option<Value> {
    let customer = delivery.body["customerId"].as_str().unwrap_or_default();
    let is_first = delivery.try_number == 1;
    match customer {
        "gone" => Some(json!({"outcome": "refused", "reason": "the webhook answered 404 Not Found"})),
        "silent" => None,
        "shy" if is_first => Some(json!({"outcome": "retry", "reason": "429", "retryAfterMs": 30_000})),
        "odd" if is_first => Some(json!("what?")),
        _ => match customer.strip_prefix("away-").and_then(|tries| tries.parse::<u32>().ok()) {
            Some(tries) if delivery.try_number <= tries => Some(json!({"outcome": "retry", "reason": "the webhook answered 503"})),
            _ => delivered(),
        },
    }
}

struct House {
    driver: TestDriver,
    mail: Mail,
    happened: u32,
}

impl House {
    fn new(manners: Manners, seed: Option<u64>, webhook: bool) -> Self {
        let told = notifications::Config { webhook, tries_max: TRIES_MAX, ..notifications::Config::default() };
        let mut topology = tea_house(&Config::default(), &told).topology;
        topology.processors.retain(|processor| processor.name == notifications::NAME);
        let mail = Mail::default();
        let kept = Rc::clone(&mail);
        let mut driver = TestDriver::new(topology, 1).with_calls(move |call| {
            assert_eq!(call.target, notifications::WEBHOOK);
            let delivery: Delivery = serde_json::from_str(&call.request).unwrap_or_else(|error| panic!("{error}"));
            let response = manners(&delivery);
            kept.borrow_mut().entry(delivery.notification_id).or_default().push((i64::from(delivery.try_number), Value::Object(delivery.body)));
            Some(Answer { after_ms: 5, response: response?.to_string() })
        });
        if let Some(seed) = seed {
            driver = driver.with_seed(seed);
        }
        Self { driver, mail, happened: 0 }
    }

    /// Something happens to the cup of a customer.
    fn happens(&mut self, cup: &str, customer: &str, kind: &str, status: &str) {
        self.happened += 1;
        let data = json!({"cupId": cup, "incarnation": "0-0", "customerId": customer, "status": status, "attempt": 1});
        let id = format!("e-{}", self.happened);
        let event = json!({"specversion": "1.0", "type": kind, "id": id, "subject": cup, "correlationid": format!("command-{cup}"), "data": data});
        self.driver.pipe(CUPS_EVENTS, cup, &event.to_string());
    }

    fn ordered(&mut self, cup: &str, customer: &str) {
        self.happens(cup, customer, "CupOrdered", "Ordered");
    }

    fn events(&self, kind: &str) -> Vec<SeenEvent> {
        self.driver.distinct_events(NOTIFICATIONS_EVENTS).into_iter().filter(|event| event.kind == kind).collect()
    }

    /// How often each customer's notifications were tried, as the events say.
    fn attempts(&self, kind: &str) -> BTreeMap<String, Value> {
        self.events(kind).into_iter().map(|event| (event.data["customerId"].as_str().unwrap_or_default().to_owned(), event.data["attempts"].clone())).collect()
    }

    fn totals(&self) -> [i64; 3] {
        ["notification_deliveries_open", "notifications_delivered", "notifications_undeliverable"].map(|name| self.driver.total(notifications::NAME, name))
    }

    /// The documents as a view folds them, by customer.
    fn documents(&self) -> BTreeMap<String, Value> {
        let view = View::new(TeaHouse::NAMES.system, &[]);
        let fetched = self.driver.log().fetch(NOTIFICATIONS_EVENTS, 0, 0, None, usize::MAX).unwrap_or_else(|error| panic!("{error}"));
        let mut documents: BTreeMap<String, Value> = BTreeMap::new();
        for record in fetched.records {
            let position = fluvio_streams::record::Position { topic: view.topic(), partition: 0, offset: record.offset };
            let event = fluvio_streams::envelope::read(fluvio_streams::envelope::Format::Event, position, None, &record.value, record.timestamp_ms);
            let event = event.unwrap_or_else(|error| panic!("{error}"));
            let Some(id) = view.document_id(&event).unwrap_or_else(|error| panic!("{error}")) else { continue };
            let folded = view.fold(documents.remove(&id), &event).unwrap_or_else(|error| panic!("{error}"));
            documents.insert(id, folded);
        }
        documents.into_values().map(|document| (document["customerId"].as_str().unwrap_or_default().to_owned(), document)).collect()
    }

    /// Distinct keys are distinct notifications, each has one body, and each ends once.
    fn each_has_one_end(&self) {
        let notified = [self.events("CustomerNotified"), self.events("ReversalNotified")].concat();
        let ended: Vec<Value> = ["NotificationDelivered", "NotificationUndeliverable"]
            .into_iter()
            .flat_map(|kind| self.events(kind))
            .map(|event| event.data["notificationId"].clone())
            .collect();
        for event in &notified {
            assert_eq!(ended.iter().filter(|id| **id == json!(event.id)).count(), 1, "{event:?}");
        }
        assert_eq!(ended.len(), notified.len());
        let mail = self.mail.borrow();
        let keys: Vec<&String> = mail.keys().collect();
        let mut ids: Vec<&String> = notified.iter().map(|event| &event.id).collect();
        ids.sort();
        assert_eq!(keys, ids, "the keys are the ids of the notifications");
        for (key, bodies) in mail.iter() {
            assert!(bodies.iter().all(|(_, body)| *body == bodies[0].1), "{key} has two bodies: {bodies:?}");
        }
        assert_eq!(self.totals()[0], 0);
    }
}

#[test]
fn a_receiver_gets_the_notification_under_its_event_id() {
    let mut house = House::new(manners, None, true);
    house.ordered("c-1", "kim");
    house.driver.advance(100);
    let [notified] = &house.events("CustomerNotified")[..] else { panic!("one is told") };
    assert_eq!(notified.data["delivery"], "Pending");
    let body = json!({
        "system": "tea-house", "notificationId": notified.id, "notifiedAt": "2026-01-01T00:00:00.000Z", "cupId": "c-1", "customerId": "kim", "status": "Ordered",
        "about": "CupOrdered", "message": "Cup c-1: ordered.",
    });
    assert_eq!(*house.mail.borrow(), BTreeMap::from([(notified.id.clone(), vec![(1, body)])]));
    assert_eq!(house.attempts("NotificationDelivered"), BTreeMap::from([("kim".to_owned(), json!(1))]));
    assert_eq!(house.events("NotificationDelivered")[0].correlation, "command-c-1");
    assert_eq!(house.totals(), [0, 1, 0]);
    house.each_has_one_end();
}

#[test]
fn a_reversal_is_delivered_to_whom_it_is_about_if_that_is_known() {
    let mut house = House::new(manners, None, true);
    house.happens("c-1", "away-1", "ForgottenCupRefunded", "");
    let unknown = json!({"cupId": "c-2", "incarnation": "", "attempt": 1, "amount": 7});
    let event = json!({"specversion": "1.0", "type": "ForgottenCupRefunded", "id": "e-unknown", "subject": "c-2", "data": unknown});
    house.driver.pipe(CUPS_EVENTS, "c-2", &event.to_string());
    house.driver.advance(LONG_MS);
    let [known, unknown] = &house.events("ReversalNotified")[..] else { panic!("both are told") };
    let message = |id: &str| format!("Cup {id}: cup refunded.");
    let about = "ForgottenCupRefunded";
    assert_eq!(known.data, json!({"cupId": "c-1", "customerId": "away-1", "about": about, "message": message("c-1"), "delivery": "Pending"}));
    assert_eq!(unknown.data, json!({"cupId": "c-2", "about": about, "message": message("c-2")}), "nobody knows to whom");
    assert_eq!(house.attempts("NotificationDelivered"), BTreeMap::from([("away-1".to_owned(), json!(2))]));
    let bodies = house.mail.borrow()[&known.id].clone();
    assert_eq!((bodies.len(), &bodies[0].1["notificationId"], bodies[0].1.get("status")), (2, &json!(known.id), None));
    let documents = house.documents();
    assert_eq!((&documents["away-1"]["delivery"], &documents["away-1"]["about"]), (&json!("Delivered"), &json!(about)));
    assert_eq!((&documents[""]["cupId"], documents[""].get("delivery")), (&json!("c-2"), None));
    assert_eq!(house.driver.distinct_events(DEAD_LETTERS), []);
}

#[test]
fn a_receiver_that_fails_is_tried_again_and_nobody_else_waits() {
    let mut house = House::new(manners, None, true);
    for (cup, customer) in ["away-1", "away-3", "silent", "shy", "odd", "kim"].into_iter().enumerate() {
        house.ordered(&format!("c-{cup}"), customer);
    }
    house.driver.advance(100);
    assert_eq!(house.attempts("NotificationDelivered"), BTreeMap::from([("kim".to_owned(), json!(1))]), "those that fail hold nobody up");
    assert_eq!(house.documents()["away-3"]["delivery"], "Pending");
    house.driver.advance(1_100);
    let tried = |customer: &str, attempts: u32| (customer.to_owned(), json!(attempts));
    assert_eq!(house.attempts("NotificationDelivered"), BTreeMap::from([tried("kim", 1), tried("away-1", 2), tried("odd", 2)]));
    house.driver.advance(28_000);
    assert!(!house.attempts("NotificationDelivered").contains_key("shy"), "it asked for more time");
    house.driver.advance(LONG_MS);
    let all = BTreeMap::from([tried("kim", 1), tried("away-1", 2), tried("odd", 2), tried("away-3", 4), tried("shy", 2)]);
    assert_eq!(house.attempts("NotificationDelivered"), all);
    let document = &house.documents()["away-3"];
    assert_eq!((&document["delivery"], &document["attempts"], &document["status"]), (&json!("Delivered"), &json!(4), &json!("Ordered")));
    assert_eq!(house.totals(), [1, 5, 0], "the silent one is still being called");
    assert_eq!(house.driver.distinct_events(DEAD_LETTERS), []);
}

#[test]
fn what_is_refused_or_fails_too_often_is_given_up_into_the_dead_letters() {
    let mut house = House::new(manners, None, true);
    house.ordered("c-1", "gone");
    house.ordered("c-2", "away-99");
    house.driver.advance(100);
    assert_eq!(house.attempts("NotificationUndeliverable"), BTreeMap::from([("gone".to_owned(), json!(1))]), "a refusal is final");
    house.driver.advance(DAY_MS);
    let attempts = BTreeMap::from([("gone".to_owned(), json!(1)), ("away-99".to_owned(), json!(TRIES_MAX))]);
    assert_eq!(house.attempts("NotificationUndeliverable"), attempts);
    house.each_has_one_end();
    assert_eq!(house.totals(), [0, 0, 2]);
    let documents = house.documents();
    assert_eq!((&documents["away-99"]["delivery"], &documents["away-99"]["deliveryReason"]), (&json!("Undeliverable"), &json!("the webhook answered 503")));
    let letters = house.driver.distinct_events(DEAD_LETTERS);
    assert_eq!(letters.len(), 2);
    let [letter] = letters.iter().filter(|letter| letter.data["key"] == "c-2").collect::<Vec<_>>()[..] else { panic!("one about c-2: {letters:?}") };
    assert_eq!(letter.data["error"], "the notification was not delivered in 4 tries: the webhook answered 503");
    assert_eq!((&letter.data["topic"], &letter.data["processor"]), (&json!(NOTIFICATIONS_EVENTS), &json!("notifications")));
    let [notification] = &house.events("CustomerNotified")[1..] else { panic!("two are told") };
    assert_eq!(notification.subject, "c-2");
    let sent: Value = serde_json::from_str(letter.data["value"].as_str().expect("it quotes what was sent")).expect("it is JSON");
    assert_eq!((&sent["customerId"], &sent["notificationId"]), (&json!("away-99"), &json!(notification.id)));
    // Whoever waits for the outcome of the command must not take the letter for it.
    assert_eq!(letter.correlation, notification.id);
}

#[test]
fn what_was_told_without_a_webhook_is_never_delivered() {
    let mut house = House::new(manners, None, false);
    house.ordered("c-1", "kim");
    house.driver.advance(LONG_MS);
    assert_eq!(house.mail.borrow().len(), 0);
    assert_eq!(house.events("CustomerNotified").len(), 1);
    assert_eq!(house.totals(), [0, 0, 0]);
}

#[test]
fn more_than_a_task_can_hold_is_given_up_at_once() {
    let mut house = House::new(manners, None, true);
    for cup in 0..DELIVERIES_OPEN_MAX {
        house.ordered(&format!("c-{cup}"), "silent");
    }
    house.ordered("c-last", "kim");
    house.driver.run_until_idle();
    assert_eq!(house.totals(), [DELIVERIES_OPEN_MAX, 0, 1]);
    let given_up = house.events("NotificationUndeliverable");
    assert_eq!(given_up.iter().map(|event| event.subject.as_str()).collect::<Vec<_>>(), ["c-last"]);
    assert_eq!(given_up[0].data["reason"], "too many notifications wait for the webhook");
}

fn story(house: &mut House) {
    for (cup, customer) in ["kim", "away-2", "gone", "away-99"].into_iter().enumerate() {
        let cup = format!("c-{cup}");
        house.happens(&cup, customer, "CupRequested", "PaymentPending");
        house.ordered(&cup, customer);
        house.driver.advance(7);
    }
    house.driver.advance(600);
    house.happens("c-9", "kim", "ForgottenCupRefunded", "");
    house.happens("c-0", "kim", "CupCancelled", "Cancelled");
    house.happens("c-0", "kim", "CupRefunded", "Cancelled");
    house.driver.advance(LONG_MS);
    house.each_has_one_end();
}

/// What anybody can see, without the ids and times that a kill may shift.
fn seen(house: &House) -> Vec<(String, String, String, Value)> {
    let events = [NOTIFICATIONS_EVENTS, DEAD_LETTERS].into_iter().flat_map(|topic| house.driver.distinct_events(topic));
    let mut seen: Vec<_> = events
        .map(|event| {
            let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
            let about = if event.kind == "DeadLetter" { text("key") } else { event.subject.clone() };
            (about, event.kind.clone(), [text("status"), text("about"), text("reason"), text("error")].join("|"), event.data["attempts"].clone())
        })
        .collect();
    // The order of what a customer is told is kept; that of what becomes of it need not be.
    seen.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    seen
}

#[test]
fn a_kill_anywhere_delivers_nothing_twice_but_under_its_key() {
    let mut undisturbed = House::new(manners, None, true);
    story(&mut undisturbed);
    let expected = seen(&undisturbed);
    for step in 1.. {
        let mut disturbed = House::new(manners, None, true);
        disturbed.driver.crash_at(step);
        story(&mut disturbed);
        assert_eq!(seen(&disturbed), expected, "killed at step {step}");
        if disturbed.driver.crashes() == 0 {
            assert!(step > 100, "a story has many places to die at, this one had {step}");
            return;
        }
    }
}

#[test]
fn takeovers_in_any_order_deliver_each_notification() {
    for seed in 0..100 {
        println!("seed {seed}");
        let mut house = House::new(manners, Some(seed), true);
        let mut random = Random::new(seed);
        for cup in 0..10 {
            let customer = ["kim", "away-1", "away-3", "gone", "away-99", "shy"][random.below(6) as usize];
            house.ordered(&format!("c-{cup}"), customer);
            house.driver.advance(random.below(800) as i64);
            match random.below(5) {
                0 => house.driver.kill(notifications::NAME, 0),
                1 => house.driver.kill_and_lose_store(notifications::NAME, 0),
                2 => house.driver.usurp(notifications::NAME, 0),
                _ => {}
            }
        }
        house.driver.advance(2 * LONG_MS);
        house.each_has_one_end();
        assert_eq!(house.events("CustomerNotified").len(), 10);
    }
}
