//! The rules of a front: what a command, a verdict of the guard, or an event of a follower means for an aggregate as it stands.
//!
//! | reason code (of a front of orders that are paid) | when |
//! |---|---|
//! | `OrderExists` | the opening command with the id of an aggregate that is there |
//! | `OrderUnknown` | any other command with the id of none |
//! | `DuplicateCommand` | the aggregate took a command of this id before |
//! | `PaymentInProgress` | a new attempt is asked for while one waits for its answer |
//! | `OrderAlreadyPaid` | a new attempt is asked for, but it is established |
//! | `PaymentAttemptsExhausted` | a new attempt is asked for after too many |
//! | those of [`Stage::too_late`](crate::Stage) | a cancellation too late |
//! | `OrderAlreadyCancelled`, `OrderAlreadyRejected` | it has ended; also a command to a follower that crossed the cancellation |

use fluvio_streams::envelope::Unreadable;
use fluvio_streams::guard::{Deferral, Verdict};
use fluvio_streams::processor::{Failure, Rejection};

use super::event::Event;
use super::state::{Aggregate, Status};
use crate::names::{Names, Words};

/// Decides whether a new attempt may be made, as the customer asks.
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn retry(names: &Names, status: Status) -> Result<(), Rejection> {
    match status {
        Status::Deferred => Ok(()),
        Status::Pending => Err(in_progress(&names.words)),
        Status::Cancelled | Status::Rejected => Err(ended(names, status)),
        Status::Established(_) => Err(Rejection::new(names.words.already_established, format!("{} is established", the(&names.words)))),
    }
}

/// Returns the refusal of a new attempt while one waits for its answer.
pub fn in_progress(words: &Words) -> Rejection {
    Rejection::new(words.in_progress, "an attempt is waiting for its answer")
}

/// Decides on a cancellation by the customer.
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn cancel(names: &Names, status: Status, reason: Option<String>) -> Result<Event, Rejection> {
    match status {
        Status::Cancelled | Status::Rejected => Err(ended(names, status)),
        Status::Pending | Status::Deferred => Ok(Event::Cancelled { reason }),
        Status::Established(stage) => match names.stages.get(usize::from(stage)).and_then(|stage| stage.too_late) {
            Some(code) => Err(Rejection::new(code, format!("it is too late to cancel: {} is {}", the(&names.words), status.name(names)))),
            None => Ok(Event::Cancelled { reason }),
        },
    }
}

/// Decides on what became of the question to the partner. `answers_command`: somebody waits for the answer, so it is given even if it is nothing new.
pub fn verdict<D>(words: &Words, aggregate: &Aggregate<D>, verdict: Verdict, answers_command: bool) -> Option<Event> {
    match verdict {
        Verdict::Accepted { attempt, late } if aggregate.status.is_waiting() => Some(Event::Established { attempt, late }),
        Verdict::Accepted { attempt, .. } | Verdict::Unwanted { attempt } => {
            (!aggregate.captures.contains_key(&attempt)).then_some(Event::Unwanted { attempt })
        }
        _ if !aggregate.status.is_waiting() => None,
        Verdict::Deferred { attempt, reason } => {
            let reason = reason_of(words, reason).to_owned();
            let is_news = answers_command || aggregate.deferred.as_ref() != Some(&reason);
            is_news.then_some(Event::Deferred { reason, attempt })
        }
        Verdict::Declined { detail, .. } => Some(Event::Rejected { reason: words.declined.to_owned(), detail }),
        Verdict::GaveUp { reason } => Some(Event::Rejected { reason: reason_of(words, reason).to_owned(), detail: None }),
        Verdict::Requested { .. } | Verdict::Stray { .. } | Verdict::Nothing => None,
    }
}

fn reason_of(words: &Words, deferral: Deferral) -> &'static str {
    match deferral {
        Deferral::TimedOut => words.timed_out,
        Deferral::Unavailable => words.unavailable,
    }
}

/// Decides on an event of a follower. `declines`: the reason code if the event says that the follower does not take it.
///
/// # Errors
/// [`Rejection`] if it has ended meanwhile: the front's word is final, and the follower compensates. [`Unreadable`] if the event cannot follow.
pub fn follow(names: &Names, status: Status, kind: &str, declines: Option<&str>, detail: Option<String>) -> Result<Event, Failure> {
    let stage = names.stages.iter().position(|stage| !stage.event.is_empty() && stage.event == kind);
    match (status, stage, declines) {
        (Status::Cancelled | Status::Rejected, ..) => Err(ended(names, status).into()),
        (Status::Established(0), _, Some(reason)) => Ok(Event::Rejected { reason: reason.to_owned(), detail }),
        (Status::Established(now), Some(stage), None) if usize::from(now) + 1 == stage => {
            Ok(Event::StatusChanged { from: status, to: Status::Established(now + 1) })
        }
        _ => Err(Unreadable(format!("{kind} cannot follow on status {}", status.name(names))).into()),
    }
}

/// Returns the refusal of what comes too late for an aggregate that has ended.
fn ended(names: &Names, status: Status) -> Rejection {
    let words = &names.words;
    match status {
        Status::Cancelled => Rejection::new(words.already_cancelled, format!("{} was cancelled", the(words))),
        _ => Rejection::new(words.already_rejected, format!("{} was rejected", the(words))),
    }
}

/// Returns the aggregate in a sentence: `the order`.
fn the(words: &Words) -> String {
    format!("the {}", words.noun.to_lowercase())
}
