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
        Verdict::Requested { .. } | Verdict::Nothing => None,
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
