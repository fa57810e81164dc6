//! The rules of the shared front and follower with the names of food delivery, as tables: what every command, verdict and event means at every status.

use business::StageCommand;
use business::follower::decide::decide;
use business::follower::state::Progress;
use business::front::decide;
use business::front::event::Event;
use business::front::state::{Aggregate, Capture, Status};
use fluvio_streams::guard::{Deferral, Verdict};
use fluvio_streams::processor::Failure;
use fluvio_streams::trace::Origin;
use food_delivery::names::{NAMES, STORE};

fn at(status: Status) -> Aggregate<()> {
    let deferred = (status == Status::Deferred).then(|| "PaymentTimedOut".to_owned());
    Aggregate { status, deferred, attempts: 1, ..Aggregate::new("0-1".to_owned(), "kim".to_owned(), 18_000, (), Origin::kept("c-1", None)) }
}

/// Goal: one table says what every command and every event of the store means at every status. Read a row as: at this status, `PayOrder`, `CancelOrder`, the five events of the store.
#[test]
fn every_command_at_every_status_has_one_outcome() {
    const NO: &str = "unreadable";
    let table = [
        ("PaymentPending", ["PaymentInProgress", "Cancelled", NO, NO, NO, NO, NO]),
        ("PaymentDeferred", ["attempt", "Cancelled", NO, NO, NO, NO, NO]),
        ("Placed", ["OrderAlreadyPaid", "Cancelled", "Accepted", "Rejected", NO, NO, NO]),
        ("Accepted", ["OrderAlreadyPaid", "Cancelled", NO, NO, "Cooking", NO, NO]),
        ("Cooking", ["OrderAlreadyPaid", "Cancelled", NO, NO, NO, "Delivering", NO]),
        ("Delivering", ["OrderAlreadyPaid", "DeliveryAlreadyStarted", NO, NO, NO, NO, "Delivered"]),
        ("Delivered", ["OrderAlreadyPaid", "OrderAlreadyDelivered", NO, NO, NO, NO, NO]),
        ("Cancelled", ["OrderAlreadyCancelled"; 7]),
        ("Rejected", ["OrderAlreadyRejected"; 7]),
    ];
    let statuses = Status::all(&NAMES);
    assert_eq!(table.map(|(status, _)| status).to_vec(), statuses.iter().map(|status| status.name(&NAMES)).collect::<Vec<_>>());
    let leads_to = |status, event: &Event| {
        let mut after = at(status);
        after.apply(event);
        after.status.name(&NAMES).to_owned()
    };
    for (status, (name, expected)) in statuses.into_iter().zip(table) {
        let pay = decide::retry(&NAMES, status).map_or_else(|rejection| rejection.reason, |()| "attempt".to_owned());
        let cancel = decide::cancel(&NAMES, status, None).map_or_else(|rejection| rejection.reason, |event| leads_to(status, &event));
        let follow = STORE.commands.iter().map(|StageCommand { event: kind, declines, .. }| {
            match decide::follow(&NAMES, status, kind, declines.map(|(reason, _)| reason), None) {
                Ok(event) => leads_to(status, &event),
                Err(Failure::Rejected(rejection)) => rejection.reason,
                Err(Failure::Unreadable(error)) => {
                    assert!(error.0.contains(kind), "{error}");
                    NO.to_owned()
                }
                Err(failure) => panic!("{failure}"),
            }
        });
        assert_eq!([pay, cancel].into_iter().chain(follow).collect::<Vec<_>>(), expected, "at {name}");
    }
}

/// An approval places an order that waits for it, and is unwanted by every other, once an attempt; nothing else moves an order that waits no more.
#[test]
fn every_verdict_at_every_status_has_one_meaning() {
    let verdicts = [
        Verdict::Accepted { attempt: 1, late: false },
        Verdict::Unwanted { attempt: 1 },
        Verdict::Declined { attempt: 1, detail: None },
        Verdict::Deferred { attempt: Some(1), reason: Deferral::TimedOut },
        Verdict::Deferred { attempt: None, reason: Deferral::Unavailable },
        Verdict::GaveUp { reason: Deferral::TimedOut },
        Verdict::Requested { attempt: 1 },
        Verdict::Stray { attempt: 1 },
        Verdict::Nothing,
    ];
    let meaning = |aggregate: &Aggregate<()>, given: Verdict, answers_command| {
        decide::verdict(&NAMES.words, aggregate, given, answers_command).map_or("", |event| event.kind(&NAMES.words))
    };
    for status in Status::all(&NAMES) {
        let expected = match status {
            Status::Pending => ["OrderPlaced", "PaymentUnwanted", "OrderRejected", "PaymentDeferred", "PaymentDeferred", "OrderRejected", "", "", ""],
            // That it waits for an answer is known already.
            Status::Deferred => ["OrderPlaced", "PaymentUnwanted", "OrderRejected", "", "PaymentDeferred", "OrderRejected", "", "", ""],
            _ => ["PaymentUnwanted", "PaymentUnwanted", "", "", "", "", "", "", ""],
        };
        assert_eq!(verdicts.clone().map(|given| meaning(&at(status), given, false)), expected, "at {status:?}");
        let mut accepted = at(status);
        accepted.captures.insert(1, Capture::Undoing);
        if !status.is_waiting() {
            assert_eq!(verdicts.clone().map(|given| meaning(&accepted, given, false)), [""; 9], "the attempt is on its way back already, at {status:?}");
        }
    }
    let again = meaning(&at(Status::Deferred), Verdict::Deferred { attempt: Some(1), reason: Deferral::TimedOut }, true);
    assert_eq!(again, "PaymentDeferred", "whoever asks is answered, though it is nothing new");
}

/// Goal: one table says what every command of the store means at every progress. Read a row as: at this progress, the five commands in their order.
#[test]
fn every_command_of_the_store_at_every_progress_has_one_outcome() {
    let table = [
        (Progress::NotEstablished, ["OrderNotPlaced"; 5]),
        (Progress::Stage(0), ["OrderAccepted", "OrderDeclined", "OrderNotAccepted", "OrderNotAccepted", "OrderNotAccepted"]),
        (Progress::Stage(1), ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingStarted", "CookingNotStarted", "CookingNotStarted"]),
        (Progress::Stage(2), ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryStarted", "DeliveryNotStarted"]),
        (Progress::Stage(3), ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryAlreadyStarted", "DeliveryCompleted"]),
        (Progress::Stage(4), ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryAlreadyStarted", "OrderAlreadyDelivered"]),
        (Progress::Declined, ["OrderAlreadyDeclined"; 5]),
        (Progress::Cancelled, ["OrderAlreadyCancelled"; 5]),
        (Progress::Rejected, ["OrderAlreadyRejected"; 5]),
    ];
    for (progress, outcomes) in table {
        for (command, expected) in STORE.commands.iter().zip(outcomes) {
            let outcome = match decide(&NAMES.words, &STORE, command, progress) {
                Ok(after) => {
                    assert_ne!(after, progress, "{} at {progress:?} moves on", command.kind);
                    command.event.to_owned()
                }
                Err(rejection) => rejection.reason,
            };
            assert_eq!(outcome, expected, "{} at {progress:?}", command.kind);
        }
    }
}
