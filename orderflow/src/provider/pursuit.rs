//! How one call is pursued until its outcome is known: what to do next after what was heard. A pure value that is told the time.
//!
//! Whoever asks takes `Failed` to mean that nothing was done, so a charge that may have been made is never answered so: it is asked for again under the same key, which a provider must
//! answer as it did before, and once nobody waits for it any more, the provider is only asked what it knows of the key. A refund that failed is asked for again by whoever asked, under the
//! same key, so there `Failed` costs nothing but time.

use std::time::Duration;

use business::partner::provider::{Operation, ProviderOutcome, ProviderResponse};
use fluvio_streams::backoff::backoff;

use super::answer::Heard;
use crate::limits::{PROVIDER_BACKOFF, PROVIDER_BACKOFF_MAX, PROVIDER_INQUIRY_BACKOFF_MAX, PROVIDER_NOT_DONE_TRIES_MAX, PROVIDER_NOT_DONE_WAIT_MAX};

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// From then on nobody waits for the outcome any more.
    pub(super) call: Duration,
    /// So long after a request the provider carries it out or never.
    pub(super) settle: Duration,
}

/// One call on its way to an outcome.
#[derive(Debug)]
pub(super) struct Pursuit {
    operation: Operation,
    key: String,
    times: Times,
    started: Duration,
    last_post: Duration,
    tries: u32,
    /// True if a request may have been carried out.
    in_doubt: bool,
    /// False if the provider does not say what it knows of a key.
    answers_inquiries: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The outcome is known.
    Answer(ProviderResponse),
    /// Ask the provider to do it, after this wait.
    Post(Duration),
    /// Ask the provider what it knows, after this wait.
    Inquire(Duration),
}

impl Pursuit {
    /// Begins; `again`: an earlier process may have made this call.
    pub(super) fn new(operation: Operation, key: &str, again: bool, times: Times, now: Duration) -> Self {
        Self { operation, key: key.to_owned(), times, started: now, last_post: now, tries: 0, in_doubt: again, answers_inquiries: true }
    }

    /// Returns true if the provider may have done it and must be asked until that is known.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt && self.operation == Operation::Accept
    }

    /// Returns true if a request must not be sent any more, though it was meant to be: it has waited too long, or the process was frozen. Another one may have taken over meanwhile, have
    /// heard that nothing is known of the key, and count on its staying so.
    pub(super) fn is_too_late(&self, now: Duration) -> bool {
        self.answers_inquiries && self.is_over(now)
    }

    /// Takes what was heard of a request that was done with at `now`.
    pub(super) fn posted(&mut self, heard: Heard, now: Duration) -> Next {
        self.tries += 1;
        match heard {
            Heard::Answer(response) => Next::Answer(response),
            Heard::NotDone { detail, may_retry, after } if !self.is_in_doubt() => {
                let wait = after.unwrap_or_default().max(self.backoff(PROVIDER_BACKOFF_MAX));
                if may_retry && self.tries < PROVIDER_NOT_DONE_TRIES_MAX && wait <= PROVIDER_NOT_DONE_WAIT_MAX { Next::Post(wait) } else { failed(&detail) }
            }
            Heard::NotDone { may_retry, after, .. } => {
                if may_retry && !self.is_over(now) {
                    Next::Post(after.unwrap_or_default().max(self.backoff(PROVIDER_BACKOFF_MAX)))
                } else {
                    // It will be refused again; what became of an earlier one is the question.
                    Next::Inquire(self.backoff(PROVIDER_INQUIRY_BACKOFF_MAX))
                }
            }
            Heard::InDoubt { detail } => {
                self.in_doubt = true;
                self.last_post = now;
                self.go_on(&detail, now)
            }
            Heard::Unknown => self.go_on("the provider knows nothing of it", now),
        }
    }

    /// Takes what was heard of an inquiry.
    pub(super) fn inquired(&mut self, heard: Heard, now: Duration) -> Next {
        self.tries += 1;
        let wait = self.backoff(PROVIDER_INQUIRY_BACKOFF_MAX);
        match heard {
            Heard::Answer(response) => Next::Answer(response),
            Heard::Unknown => match (self.last_post + self.times.settle).checked_sub(now) {
                None | Some(Duration::ZERO) => failed("the provider could not be reached in time and knows nothing of it"),
                Some(rest) => Next::Inquire(wait.min(rest)),
            },
            // A provider that answers no inquiries still answers the request itself.
            Heard::NotDone { may_retry: false, .. } => {
                self.answers_inquiries = false;
                Next::Post(wait)
            }
            Heard::NotDone { .. } | Heard::InDoubt { .. } => Next::Inquire(wait),
        }
    }

    /// Goes on after a request that may have been carried out.
    fn go_on(&self, detail: &str, now: Duration) -> Next {
        match (self.operation, self.is_over(now)) {
            (_, false) => Next::Post(self.backoff(PROVIDER_BACKOFF_MAX)),
            (Operation::Accept, true) => Next::Inquire(self.backoff(PROVIDER_INQUIRY_BACKOFF_MAX)),
            (Operation::Undo, true) => failed(detail),
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        now >= self.started + self.times.call
    }

    fn backoff(&self, max: Duration) -> Duration {
        backoff(&self.key, self.tries, PROVIDER_BACKOFF, max)
    }
}

fn failed(detail: &str) -> Next {
    Next::Answer(ProviderResponse::new(ProviderOutcome::Failed, Some(detail)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMES: Times = Times { call: Duration::from_secs(60), settle: Duration::from_secs(90) };

    fn pursuit(operation: Operation, again: bool) -> Pursuit {
        Pursuit::new(operation, "food-delivery/o-1/1/accept@0-0", again, TIMES, Duration::ZERO)
    }

    fn in_doubt() -> Heard {
        Heard::InDoubt { detail: "it hung".to_owned() }
    }

    fn not_done(may_retry: bool) -> Heard {
        Heard::NotDone { detail: "no connection".to_owned(), may_retry, after: None }
    }

    fn answer(outcome: ProviderOutcome) -> Heard {
        Heard::Answer(ProviderResponse::new(outcome, None))
    }

    fn is_failed(next: &Next) -> bool {
        matches!(next, Next::Answer(response) if response.outcome == ProviderOutcome::Failed)
    }

    #[test]
    fn what_did_nothing_is_tried_a_few_times_and_then_said_to_have_failed() {
        let mut pursuit = pursuit(Operation::Accept, false);
        for _ in 1..PROVIDER_NOT_DONE_TRIES_MAX {
            assert!(matches!(pursuit.posted(not_done(true), SECOND), Next::Post(_)));
        }
        assert!(is_failed(&pursuit.posted(not_done(true), SECOND)));
    }

    #[test]
    fn what_is_refused_for_good_fails_at_once() {
        assert!(is_failed(&pursuit(Operation::Accept, false).posted(not_done(false), SECOND)));
    }

    #[test]
    fn a_wait_that_the_provider_asks_for_is_kept_or_the_call_fails() {
        let after = |seconds: u32| Heard::NotDone { detail: String::new(), may_retry: true, after: Some(seconds * SECOND) };
        assert_eq!(pursuit(Operation::Accept, false).posted(after(1), SECOND), Next::Post(SECOND));
        assert!(is_failed(&pursuit(Operation::Accept, false).posted(after(60), SECOND)), "whoever asked waits better than we do");
        let mut doubtful = pursuit(Operation::Accept, true);
        assert_eq!(doubtful.posted(after(60), SECOND), Next::Post(60 * SECOND));
    }

    #[test]
    fn a_charge_in_doubt_is_asked_for_again_and_once_it_is_over_only_asked_about() {
        let mut pursuit = pursuit(Operation::Accept, false);
        assert!(matches!(pursuit.posted(in_doubt(), 10 * SECOND), Next::Post(_)));
        assert!(matches!(pursuit.posted(not_done(true), 20 * SECOND), Next::Post(_)));
        assert!(matches!(pursuit.posted(in_doubt(), 61 * SECOND), Next::Inquire(_)));
        assert!(matches!(pursuit.inquired(not_done(true), 70 * SECOND), Next::Inquire(_)), "not reached");
        assert!(matches!(pursuit.inquired(Heard::Unknown, 100 * SECOND), Next::Inquire(_)), "what was sent at 61 s may still be carried out");
        assert!(is_failed(&pursuit.inquired(Heard::Unknown, 151 * SECOND)));
    }

    #[test]
    fn a_refusal_does_not_settle_what_is_in_doubt() {
        for mut pursuit in [pursuit(Operation::Accept, true), {
            let mut pursuit = pursuit(Operation::Accept, false);
            pursuit.posted(in_doubt(), SECOND);
            pursuit
        }] {
            // The token is wrong, say: also the inquiry is refused.
            assert!(matches!(pursuit.posted(not_done(false), SECOND), Next::Inquire(_)));
            assert!(matches!(pursuit.inquired(not_done(false), SECOND), Next::Post(_)));
            assert_eq!(pursuit.posted(answer(ProviderOutcome::Accepted), SECOND), Next::Answer(ProviderResponse::new(ProviderOutcome::Accepted, None)));
        }
    }

    #[test]
    fn a_request_that_has_waited_too_long_is_not_sent_unless_there_is_no_other_way_to_find_out() {
        let mut pursuit = pursuit(Operation::Accept, true);
        assert_eq!([59, 60].map(|seconds| pursuit.is_too_late(seconds * SECOND)), [false, true]);
        assert!(matches!(pursuit.inquired(not_done(false), 70 * SECOND), Next::Post(_)));
        assert!(!pursuit.is_too_late(70 * SECOND));
    }

    #[test]
    fn a_refund_in_doubt_ends_and_is_asked_for_again_by_whoever_asked() {
        let mut pursuit = pursuit(Operation::Undo, true);
        assert!(matches!(pursuit.posted(in_doubt(), SECOND), Next::Post(_)));
        assert!(is_failed(&pursuit.posted(in_doubt(), 61 * SECOND)));
    }

    /// A provider as the contract wants it: it carries out each key once, some time after the request reached it, or never; and every message may be lost.
    #[derive(Default)]
    struct Ledger {
        carried_out: bool,
        due: Vec<Duration>,
    }

    impl Ledger {
        fn advance(&mut self, now: Duration) {
            self.carried_out |= self.due.iter().any(|due| *due <= now);
        }
    }

    proptest! {
        /// Whatever is lost, late or refused: `Failed` is never said of a charge that was made or still will be, and an outcome is known soon after the provider can be reached.
        #[test]
        fn failed_is_never_said_of_money_that_was_taken(
            again in any::<bool>(),
            faults in prop::collection::vec((0_u8..7, 0_u64..90), 0..60),
            earlier_delay in prop::option::of(0_u64..90),
            answers_inquiries in any::<bool>(),
        ) {
            let mut pursuit = pursuit(Operation::Accept, again);
            let mut ledger = Ledger::default();
            if let Some(delay) = earlier_delay.filter(|_| again) {
                ledger.due.push(Duration::from_secs(delay));
            }
            let (mut now, mut faults, mut after_faults) = (Duration::ZERO, faults.into_iter(), 0);
            let mut next = Next::Post(Duration::ZERO);
            while let Next::Post(wait) | Next::Inquire(wait) = next {
                now += wait;
                ledger.advance(now);
                let (fault, delay) = faults.next().unwrap_or_else(|| { after_faults += 1; (9, 0) });
                let inquires = matches!(next, Next::Inquire(_));
                let heard = match fault {
                    // Not reached, refused for now, refused for good.
                    0 | 1 => not_done(true),
                    2 => not_done(false),
                    // The request arrives, is carried out within the time to settle, and the answer is lost.
                    3..=5 if !inquires => {
                        ledger.due.push(now + Duration::from_secs(delay));
                        now += SECOND;
                        in_doubt()
                    }
                    3..=6 => in_doubt(),
                    _ if inquires && !answers_inquiries => not_done(false),
                    _ if inquires => if ledger.carried_out { answer(ProviderOutcome::Accepted) } else { Heard::Unknown },
                    _ => { ledger.carried_out = true; answer(ProviderOutcome::Accepted) }
                };
                ledger.advance(now);
                next = if inquires { pursuit.inquired(heard, now) } else { pursuit.posted(heard, now) };
                prop_assert!(after_faults < 50, "it never ends");
            }
            if is_failed(&next) {
                ledger.advance(now + 3_600 * SECOND);
                prop_assert!(!ledger.carried_out, "failed was said of money that was taken");
            }
        }
    }
}
