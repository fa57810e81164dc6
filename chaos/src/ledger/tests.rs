//! A ledger that finds nothing proves nothing: here it is given a small evening that is right, and then the same evening with one thing wrong at a time.

use serde_json::{Value, json};

use super::*;

/// Topics and what else there is, before the ledger takes it.
#[derive(Clone)]
struct Evening {
    records: Vec<(&'static str, Option<String>, Vec<u8>)>,
    outside: Outside,
}

const PRICE: i64 = 5_000;

impl Evening {
    /// One order that is placed and accepted, sent twice; one that is cancelled and refunded; one that is declined; one command that is refused, and one that nobody can read.
    fn right() -> Self {
        let mut evening = Self { records: Vec::new(), outside: Outside::default() };
        for (order, id, kind) in [
            ("o-1", "k-1", "PlaceOrder"),
            ("o-1", "k-1", "PlaceOrder"),
            ("o-1", "k-2", "AcceptOrder"),
            ("o-2", "k-3", "PlaceOrder"),
            ("o-2", "k-4", "CancelOrder"),
            ("o-3", "k-5", "PlaceOrder"),
            ("o-3", "k-6", "PayOrder"),
        ] {
            evening.sent(order, id, kind);
        }
        evening.records.push(("commands", None, b"no JSON".to_vec()));
        evening.about("k-1", "o-1", "OrderRequested", "PaymentPending", 0, 0, json!({"items": []}));
        evening.about("k-1", "o-1", "OrderPlaced", "Placed", 1, 0, json!({"attempt": 1, "late": false}));
        evening.about("k-2", "o-1", "OrderStatusChanged", "Accepted", 1, 0, json!({"previousStatus": "Placed"}));
        evening.about("k-3", "o-2", "OrderRequested", "PaymentPending", 0, 0, json!({"items": []}));
        evening.about("k-3", "o-2", "OrderPlaced", "Placed", 1, 0, json!({"attempt": 1, "late": true}));
        evening.about("k-4", "o-2", "OrderCancelled", "Cancelled", 1, 0, json!({"reason": "hungry no more"}));
        evening.about("k-4", "o-2", "OrderRefunded", "Cancelled", 1, 1, json!({"attempt": 1, "amount": PRICE}));
        evening.about("k-5", "o-3", "OrderRequested", "PaymentPending", 0, 0, json!({"items": []}));
        evening.about("k-5", "o-3", "OrderRejected", "Rejected", 0, 0, json!({"reason": "PaymentDeclined"}));
        evening.event("store-events", "k-2", "o-1", "OrderAccepted", json!({}));
        for kind in ["StoreOrderCancelled", "DeliveryCancelled"] {
            evening.event("store-events", "k-4", "o-2", kind, json!({}));
        }
        for (order, id) in [("o-1", "k-1"), ("o-2", "k-3"), ("o-3", "k-5")] {
            evening.event("payment-requests", id, order, "PaymentRequested", json!({"attempt": 1, "amount": PRICE}));
        }
        for (order, id, kind) in
            [("o-1", "k-1", "PaymentApproved"), ("o-2", "k-3", "PaymentApproved"), ("o-2", "k-4", "PaymentRefunded"), ("o-3", "k-5", "PaymentDeclined")]
        {
            evening.event("payments-events", id, order, kind, json!({"attempt": 1, "amount": PRICE}));
        }
        for (order, amount) in [("o-1", PRICE), ("o-2", PRICE), ("o-2", -PRICE)] {
            evening.outside.movements.push(Movement { key: format!("{order}/{}", amount.signum()), order: order.to_owned(), attempt: 1, amount });
        }
        evening.event("rejections", "k-1", "o-1", "CommandRejected", json!({"reason": "DuplicateCommand", "position": "food-delivery-commands/0/1"}));
        evening.event("rejections", "k-6", "o-3", "CommandRejected", json!({"reason": "OrderAlreadyRejected", "position": "food-delivery-commands/0/6"}));
        evening.event("dead-letters", "x", "x", "DeadLetter", json!({"topic": "food-delivery-commands", "partition": 0, "offset": 7, "error": "no JSON"}));
        evening.tell();
        evening.show();
        evening
    }

    fn sent(&mut self, order: &str, id: &str, kind: &str) {
        let value = json!({"type": kind, "orderId": order, "commandId": id}).to_string();
        self.records.push(("commands", Some(order.to_owned()), value.into_bytes()));
        self.outside.sent.push(Sent { order: order.to_owned(), id: id.to_owned(), is_acknowledged: true });
    }

    fn event(&mut self, topic: &'static str, correlation: &str, order: &str, kind: &str, data: Value) {
        let id = format!("{topic}/{}", self.records.len());
        let value = json!({"specversion": "1.0", "id": id, "type": kind, "subject": order, "time": format!("T{}", self.records.len()), "correlationid": correlation, "data": data});
        self.records.push((topic, Some(order.to_owned()), value.to_string().into_bytes()));
    }

    #[expect(clippy::too_many_arguments, reason = "all of it differs from event to event")]
    fn about(&mut self, correlation: &str, order: &str, kind: &str, status: &str, captured: i64, refunded: i64, more: Value) {
        let payment = json!({"attempts": 1, "captured": captured * PRICE, "refunded": refunded * PRICE});
        let mut data = json!({"orderId": order, "customerId": "kim", "storeId": "main", "status": status, "price": PRICE, "payment": payment});
        let more = more.as_object().cloned().unwrap_or_default();
        more.into_iter().for_each(|(name, value)| data[name] = value);
        self.event("orders-events", correlation, order, kind, data);
    }

    fn tell(&mut self) {
        for (order, about, status) in [
            ("o-1", "OrderRequested", "PaymentPending"),
            ("o-1", "OrderPlaced", "Placed"),
            ("o-1", "OrderStatusChanged", "Accepted"),
            ("o-2", "OrderRequested", "PaymentPending"),
            ("o-2", "OrderPlaced", "Placed"),
            ("o-2", "OrderCancelled", "Cancelled"),
            ("o-2", "OrderRefunded", "Cancelled"),
            ("o-3", "OrderRequested", "PaymentPending"),
            ("o-3", "OrderRejected", "Rejected"),
        ] {
            self.event("notifications-events", "k", order, "CustomerNotified", json!({"orderId": order, "about": about, "status": status, "message": "news"}));
        }
    }

    /// Fills the views by hand, as people who read the contract would.
    fn show(&mut self) {
        let times: Vec<String> = (0..self.records.len()).map(|number| format!("T{number}")).collect();
        let base = |order: &str, requested: usize, updated: usize| json!({"orderId": order, "customerId": "kim", "storeId": "main", "items": [], "price": PRICE, "requestedAt": times[requested], "updatedAt": times[updated]});
        let with = |mut document: Value, more: Value| {
            more.as_object().cloned().unwrap_or_default().into_iter().for_each(|(name, value)| document[name] = value);
            document
        };
        let payment = |captured: i64, refunded: i64| json!({"attempts": 1, "captured": captured, "refunded": refunded});
        self.outside.orders = vec![
            with(base("o-1", 8, 10), json!({"status": "Accepted", "late": false, "payment": payment(PRICE, 0)})),
            with(base("o-2", 11, 14), json!({"status": "Cancelled", "late": true, "cancelReason": "hungry no more", "payment": payment(PRICE, PRICE)})),
            with(base("o-3", 15, 16), json!({"status": "Rejected", "reason": "PaymentDeclined", "payment": payment(0, 0)})),
        ];
        for (topic, _, value) in self.records.iter().filter(|(topic, ..)| *topic == "notifications-events") {
            assert_eq!(*topic, "notifications-events");
            let event: Value = serde_json::from_slice(value).expect("it is JSON");
            self.outside.notifications.push(with(event["data"].clone(), json!({"notificationId": event["id"], "notifiedAt": event["time"]})));
        }
    }

    /// Returns where a record of this type stands.
    fn at(&self, topic: &str, kind: &str) -> usize {
        let is_it = |value: &[u8]| serde_json::from_slice::<Value>(value).is_ok_and(|value| value["type"] == kind);
        self.records.iter().position(|(of, _, value)| *of == topic && is_it(value)).unwrap_or_else(|| panic!("there is no {kind} in {topic}"))
    }

    fn without(mut self, topic: &str, kind: &str) -> Self {
        self.records.remove(self.at(topic, kind));
        self
    }

    /// Doubles a record: the same, or one with another id.
    fn doubled(mut self, topic: &str, kind: &str, with_id: Option<&str>) -> Self {
        let at = self.at(topic, kind);
        let mut record = self.records[at].clone();
        if let Some(id) = with_id {
            let mut event: Value = serde_json::from_slice(&record.2).expect("it is JSON");
            event["id"] = json!(id);
            record.2 = event.to_string().into_bytes();
        }
        self.records.insert(at + 1, record);
        self
    }

    fn changed(mut self, topic: &str, kind: &str, change: impl Fn(&mut Value)) -> Self {
        let at = self.at(topic, kind);
        let mut event: Value = serde_json::from_slice(&self.records[at].2).expect("it is JSON");
        change(&mut event);
        self.records[at].2 = event.to_string().into_bytes();
        self
    }

    fn judged(&self) -> Verdicts {
        self.judged_by(Ledger::default())
    }

    fn judged_by(&self, mut ledger: Ledger) -> Verdicts {
        for (topic, key, value) in &self.records {
            let offset = ledger.next_offset(topic, 0);
            ledger.take(Record { topic, partition: 0, offset, key: key.as_deref().map(str::as_bytes), value });
        }
        ledger.judge(&self.outside)
    }

    #[track_caller]
    fn breaks(&self, law: Law) {
        let verdicts = self.judged();
        assert!(verdicts.of(law).exceptions > 0, "{law:?} is not broken: {verdicts}");
    }
}

#[test]
fn an_evening_that_is_right_breaks_no_law_and_every_law_is_tried() {
    let verdicts = Evening::right().judged();
    assert_eq!(verdicts.exceptions(), 0, "{verdicts}");
    assert!(Law::ALL.iter().all(|law| verdicts.of(*law).checked > 0), "{verdicts}");
}

#[test]
fn a_record_that_was_written_again_after_a_crash_is_no_exception() {
    let verdicts = Evening::right().doubled("orders-events", "OrderPlaced", None).doubled("rejections", "CommandRejected", None).judged();
    assert_eq!(verdicts.exceptions(), 0, "{verdicts}");
}

/// Goal: where versions take turns, a repeat may have other members of the envelope, and nothing else.
#[test]
fn a_repeat_by_another_version_is_the_same_but_for_the_envelope() {
    let again = |member: &str| {
        Evening::right().doubled("orders-events", "OrderPlaced", None).changed("orders-events", "OrderPlaced", |event| event[member] = json!("new"))
    };
    again("traceparent").breaks(Law::SameTwice);
    let exceptions = |evening: Evening| evening.judged_by(Ledger::of_versions()).of(Law::SameTwice).exceptions;
    assert_eq!(exceptions(again("traceparent")), 0);
    assert_eq!(exceptions(again("time")), 1);
}

#[test]
fn an_event_that_happened_twice_is_found() {
    Evening::right().doubled("orders-events", "OrderPlaced", Some("another")).breaks(Law::Rules);
    Evening::right().doubled("orders-events", "OrderCancelled", Some("another")).breaks(Law::OneOutcome);
    Evening::right().doubled("rejections", "CommandRejected", Some("another")).breaks(Law::OneOutcome);
    Evening::right().doubled("dead-letters", "DeadLetter", Some("another")).breaks(Law::OneOutcome);
    Evening::right().doubled("store-events", "OrderAccepted", Some("another")).breaks(Law::OneOutcome);
    Evening::right().doubled("store-events", "StoreOrderCancelled", Some("another")).breaks(Law::Compensated);
    Evening::right().doubled("notifications-events", "CustomerNotified", Some("another")).breaks(Law::Notified);
    Evening::right().doubled("payments-events", "PaymentApproved", Some("another")).breaks(Law::ChargedOnce);
    Evening::right().doubled("payment-requests", "PaymentRequested", Some("another")).breaks(Law::ChargedOnce);
    Evening::right().changed("orders-events", "OrderCancelled", |event| event["id"] = json!("orders-events/9")).breaks(Law::SameTwice);
}

#[test]
fn an_outcome_that_is_missing_is_found() {
    for (topic, kind) in [
        ("rejections", "CommandRejected"),
        ("dead-letters", "DeadLetter"),
        ("orders-events", "OrderStatusChanged"),
        ("orders-events", "OrderCancelled"),
        ("orders-events", "OrderRejected"),
    ] {
        Evening::right().without(topic, kind).breaks(Law::OneOutcome);
    }
    Evening::right().without("orders-events", "OrderPlaced").breaks(Law::Rules);
    Evening::right().without("orders-events", "OrderRejected").breaks(Law::Settled);
    Evening::right().without("payments-events", "PaymentDeclined").breaks(Law::Settled);
    Evening::right().without("notifications-events", "CustomerNotified").breaks(Law::Notified);
    Evening::right().without("store-events", "DeliveryCancelled").breaks(Law::Compensated);
}

#[test]
fn what_is_not_on_record_or_was_sent_by_nobody_is_found() {
    Evening::right().without("commands", "AcceptOrder").breaks(Law::OnRecord);
    let mut evening = Evening::right();
    evening.outside.sent.retain(|sent| sent.id != "k-2");
    evening.breaks(Law::OnRecord);
    let mut evening = Evening::right();
    evening.records.push(("orders-events", None, b"no event".to_vec()));
    evening.breaks(Law::Readable);
}

#[test]
fn money_that_is_not_where_it_should_be_is_found() {
    let with = |change: fn(&mut Vec<Movement>)| {
        let mut evening = Evening::right();
        change(&mut evening.outside.movements);
        evening
    };
    // The provider's books lack a charge, a refund; have a charge under another key, a refund twice, another amount.
    with(|movements| drop(movements.remove(0))).breaks(Law::ChargedOnce);
    with(|movements| drop(movements.remove(2))).breaks(Law::NothingLost);
    with(|movements| drop(movements.remove(2))).breaks(Law::Balance);
    with(|movements| movements.push(Movement { key: "other".to_owned(), ..movements[0].clone() })).breaks(Law::ChargedOnce);
    with(|movements| movements.push(movements[2].clone())).breaks(Law::NothingLost);
    with(|movements| movements[0].amount += 1).breaks(Law::NothingLost);
    with(|movements| movements.push(Movement { attempt: 2, ..movements[0].clone() })).breaks(Law::NothingLost);
    Evening::right().without("orders-events", "OrderRefunded").breaks(Law::NothingLost);
    Evening::right().changed("payments-events", "PaymentApproved", |event| event["data"]["amount"] = json!(1)).breaks(Law::Rules);
}

#[test]
fn a_view_that_shows_something_else_is_found() {
    let with = |change: fn(&mut Outside)| {
        let mut evening = Evening::right();
        change(&mut evening.outside);
        evening
    };
    with(|outside| drop(outside.orders.pop())).breaks(Law::Views);
    with(|outside| outside.orders[0]["status"] = json!("Placed")).breaks(Law::Views);
    with(|outside| outside.orders[1]["payment"]["refunded"] = json!(0)).breaks(Law::Views);
    with(|outside| outside.orders[2]["more"] = json!(true)).breaks(Law::Views);
    with(|outside| drop(outside.notifications.pop())).breaks(Law::Views);
    with(|outside| outside.notifications.push(json!({"notificationId": "nobody's"}))).breaks(Law::Views);
}

#[test]
fn an_event_that_says_what_does_not_follow_is_found() {
    Evening::right().changed("orders-events", "OrderPlaced", |event| event["data"]["status"] = json!("Accepted")).breaks(Law::Rules);
    Evening::right().changed("orders-events", "OrderPlaced", |event| event["data"]["payment"]["captured"] = json!(0)).breaks(Law::Rules);
    Evening::right().changed("orders-events", "OrderStatusChanged", |event| event["data"]["status"] = json!("Cooking")).breaks(Law::Rules);
}

#[test]
fn a_hole_is_found() {
    let mut ledger = Ledger::default();
    ledger.take(Record { topic: "commands", partition: 0, offset: 1, key: None, value: b"{}" });
    assert_eq!(ledger.judge(&Outside::default()).of(Law::Readable).exceptions, 1);
}

#[test]
fn a_command_that_was_forwarded_has_the_outcome_that_it_got_there() {
    let wrapped = |id: &str| {
        json!({"specversion": "1.0", "id": id, "type": "AcceptOrder", "subject": "o-9", "time": "T", "correlationid": "k-9", "data": {}}).to_string()
    };
    let evening = |answers: &[i64]| {
        let mut evening = Evening::right();
        evening.sent("o-9", "k-9", "AcceptOrder");
        // The one who forwarded it was killed, and forwarded it again: positions 9 and 10.
        for _ in 0..2 {
            evening.records.push(("commands", Some("o-9".to_owned()), wrapped("f").into_bytes()));
        }
        for offset in answers {
            let data = json!({"reason": "OrderUnknown", "position": format!("food-delivery-commands/0/{offset}")});
            evening.event("rejections", "k-9", "o-9", "CommandRejected", data);
        }
        evening
    };
    assert_eq!(evening(&[9]).judged().exceptions(), 0, "{}", evening(&[9]).judged());
    evening(&[]).breaks(Law::OneOutcome);
    evening(&[9, 10]).breaks(Law::OneOutcome);
}

/// An attempt is given up, the order waits on for the next one, and then the first is approved after all.
#[test]
fn a_charge_that_was_given_up_is_given_back_while_the_order_waits() {
    let evening = |is_given_up: bool| {
        let mut evening = Evening::right();
        let payment = |captured: i64, refunded: i64| json!({"attempts": 1, "captured": captured, "refunded": refunded});
        let about = |evening: &mut Evening, kind: &str, status: &str, more: Value| evening.about("k-9", "o-9", kind, status, 0, 0, more);
        evening.sent("o-9", "k-9", "PlaceOrder");
        about(&mut evening, "OrderRequested", "PaymentPending", json!({"items": []}));
        about(&mut evening, "PaymentDeferred", "PaymentDeferred", json!({"reason": "PaymentTimedOut"}));
        if is_given_up {
            evening.event("payment-requests", "k-9", "o-9", "PaymentVoidRequested", json!({"attempt": 1, "amount": PRICE}));
        }
        about(&mut evening, "PaymentUnwanted", "PaymentDeferred", json!({"attempt": 1, "payment": payment(PRICE, 0)}));
        evening.judged().of(Law::Rules).exceptions
    };
    assert_eq!((evening(true), evening(false)), (0, 1));
}
