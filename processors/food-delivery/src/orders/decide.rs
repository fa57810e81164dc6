//! The rules of orders: what a command, a verdict on the payment, or an event of the store means for an order as it stands.
//!
//! | reason code | when |
//! |---|---|
//! | `OrderExists` | `PlaceOrder` with the id of an order that is there |
//! | `OrderUnknown` | any other command with the id of no order |
//! | `DuplicateCommand` | the order took a command of this id before |
//! | `PaymentInProgress` | `PayOrder` while an attempt waits for its answer |
//! | `OrderAlreadyPaid` | `PayOrder` for a paid order |
//! | `PaymentAttemptsExhausted` | `PayOrder` after too many attempts |
//! | `DeliveryAlreadyStarted`, `OrderAlreadyDelivered` | `CancelOrder` too late |
//! | `OrderAlreadyCancelled`, `OrderAlreadyRejected` | the order has ended; also a command of the store that crossed the cancellation |

use fluvio_streams::envelope::Unreadable;
use fluvio_streams::guard::{Deferral, Verdict};
use fluvio_streams::processor::{Failure, Rejection};

use super::event::{Event, Reason};
use super::state::{Order, Status};

/// Decides on `PayOrder`: may a new attempt be made?
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn pay(order: &Order) -> Result<(), Rejection> {
    match order.status {
        Status::PaymentDeferred => Ok(()),
        Status::PaymentPending => Err(payment_in_progress()),
        Status::Cancelled | Status::Rejected => Err(ended(order.status)),
        _ => Err(Rejection::new("OrderAlreadyPaid", "the order is paid")),
    }
}

/// Returns the refusal of `PayOrder` while an attempt waits for its answer.
pub fn payment_in_progress() -> Rejection {
    Rejection::new("PaymentInProgress", "a payment attempt is waiting for its answer")
}

/// Decides on `CancelOrder`.
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn cancel(order: &Order, reason: Option<String>) -> Result<Event, Rejection> {
    match order.status {
        Status::Delivering => Err(Rejection::new("DeliveryAlreadyStarted", "the order is on the road")),
        Status::Delivered | Status::Cancelled | Status::Rejected => Err(ended(order.status)),
        _ => Ok(Event::Cancelled { reason }),
    }
}

/// Decides on what became of the payment. `answers_command`: somebody waits for the answer, so it is given even if it is nothing new.
pub fn verdict(order: &Order, verdict: Verdict, answers_command: bool) -> Option<Event> {
    match verdict {
        Verdict::Accepted { attempt, late } if order.status.is_unpaid() => Some(Event::Placed { attempt, late }),
        Verdict::Accepted { attempt, .. } | Verdict::Unwanted { attempt } => {
            (!order.captures.contains_key(&attempt)).then_some(Event::PaymentUnwanted { attempt })
        }
        _ if !order.status.is_unpaid() => None,
        Verdict::Deferred { attempt, reason } => {
            let reason = reason_of(reason);
            let is_news = answers_command || order.deferred != Some(reason);
            is_news.then_some(Event::PaymentDeferred { reason, attempt })
        }
        Verdict::Declined { detail, .. } => Some(Event::Rejected { reason: Reason::PaymentDeclined, detail }),
        Verdict::GaveUp { reason } => Some(Event::Rejected { reason: reason_of(reason), detail: None }),
        Verdict::Requested { .. } | Verdict::Stray { .. } | Verdict::Nothing => None,
    }
}

fn reason_of(deferral: Deferral) -> Reason {
    match deferral {
        Deferral::TimedOut => Reason::PaymentTimedOut,
        Deferral::Unavailable => Reason::PaymentUnavailable,
    }
}

/// Decides on an event of the store.
///
/// # Errors
/// [`Rejection`] if the order has ended meanwhile: its word is final, and the store compensates. [`Unreadable`] if the event cannot follow.
pub fn follow_store(order: &Order, kind: &str, detail: Option<String>) -> Result<Event, Failure> {
    let status = match (kind, order.status) {
        (_, status @ (Status::Cancelled | Status::Rejected)) => return Err(ended(status).into()),
        ("OrderDeclined", Status::Placed) => return Ok(Event::Rejected { reason: Reason::StoreDeclined, detail }),
        ("OrderAccepted", Status::Placed) => Status::Accepted,
        ("CookingStarted", Status::Accepted) => Status::Cooking,
        ("DeliveryStarted", Status::Cooking) => Status::Delivering,
        ("DeliveryCompleted", Status::Delivering) => Status::Delivered,
        (_, status) => return Err(Unreadable(format!("{kind} cannot follow on status {status:?}")).into()),
    };
    Ok(Event::StatusChanged { previous_status: order.status, status })
}

fn ended(status: Status) -> Rejection {
    match status {
        Status::Cancelled => Rejection::new("OrderAlreadyCancelled", "the order was cancelled"),
        Status::Rejected => Rejection::new("OrderAlreadyRejected", "the order was rejected"),
        _ => Rejection::new("OrderAlreadyDelivered", "the order was delivered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::state::Capture;

    const STORE_EVENTS: [&str; 5] = ["OrderAccepted", "OrderDeclined", "CookingStarted", "DeliveryStarted", "DeliveryCompleted"];

    fn order(status: Status) -> Order {
        let deferred = (status == Status::PaymentDeferred).then_some(Reason::PaymentTimedOut);
        Order { status, deferred, attempts: 1, ..Order::new("0-1".to_owned(), "kim".to_owned(), "main".to_owned(), 18_000, "c-1".to_owned()) }
    }

    /// Goal: one table says what every command and every event of the store means at every status. Read a row as: at this status, `PayOrder`, `CancelOrder`, the five events of the store.
    #[test]
    fn every_command_at_every_status_has_one_outcome() {
        const NO: &str = "unreadable";
        let table = [
            (Status::PaymentPending, ["PaymentInProgress", "Cancelled", NO, NO, NO, NO, NO]),
            (Status::PaymentDeferred, ["attempt", "Cancelled", NO, NO, NO, NO, NO]),
            (Status::Placed, ["OrderAlreadyPaid", "Cancelled", "Accepted", "Rejected", NO, NO, NO]),
            (Status::Accepted, ["OrderAlreadyPaid", "Cancelled", NO, NO, "Cooking", NO, NO]),
            (Status::Cooking, ["OrderAlreadyPaid", "Cancelled", NO, NO, NO, "Delivering", NO]),
            (Status::Delivering, ["OrderAlreadyPaid", "DeliveryAlreadyStarted", NO, NO, NO, NO, "Delivered"]),
            (Status::Delivered, ["OrderAlreadyPaid", "OrderAlreadyDelivered", NO, NO, NO, NO, NO]),
            (Status::Cancelled, ["OrderAlreadyCancelled"; 7]),
            (Status::Rejected, ["OrderAlreadyRejected"; 7]),
        ];
        assert_eq!(table.map(|(status, _)| status), Status::ALL);
        let leads_to = |order: &Order, event: &Event| {
            let mut after = order.clone();
            after.apply(event);
            format!("{:?}", after.status)
        };
        for (status, expected) in table {
            let order = order(status);
            let pay = pay(&order).map_or_else(|rejection| rejection.reason, |()| "attempt".to_owned());
            let cancel = cancel(&order, None).map_or_else(|rejection| rejection.reason, |event| leads_to(&order, &event));
            let follow = STORE_EVENTS.map(|kind| match follow_store(&order, kind, None) {
                Ok(event) => leads_to(&order, &event),
                Err(Failure::Rejected(rejection)) => rejection.reason,
                Err(Failure::Unreadable(error)) => {
                    assert!(error.0.contains(kind), "{error}");
                    NO.to_owned()
                }
                Err(failure) => panic!("{failure}"),
            });
            assert_eq!([vec![pay, cancel], follow.to_vec()].concat(), expected, "at {status:?}");
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
        for status in Status::ALL {
            let expected = match status {
                Status::PaymentPending => {
                    ["OrderPlaced", "PaymentUnwanted", "OrderRejected", "PaymentDeferred", "PaymentDeferred", "OrderRejected", "", "", ""]
                }
                // That it waits for an answer is known already.
                Status::PaymentDeferred => ["OrderPlaced", "PaymentUnwanted", "OrderRejected", "", "PaymentDeferred", "OrderRejected", "", "", ""],
                _ => ["PaymentUnwanted", "PaymentUnwanted", "", "", "", "", "", "", ""],
            };
            let kinds = |order: &Order, answers_command| verdicts.clone().map(|given| verdict(order, given, answers_command).map_or("", |event| event.kind()));
            assert_eq!(kinds(&order(status), false), expected, "at {status:?}");
            let mut captured = order(status);
            captured.captures.insert(1, Capture::Refunding);
            if !status.is_unpaid() {
                assert_eq!(kinds(&captured, false), [""; 9], "the attempt is on its way back already, at {status:?}");
            }
        }
        let again = verdict(&order(Status::PaymentDeferred), Verdict::Deferred { attempt: Some(1), reason: Deferral::TimedOut }, true);
        assert_eq!(again.map(|event| event.kind()), Some("PaymentDeferred"), "whoever asks is answered, though it is nothing new");
    }
}
