//! The rules of one payment attempt: what a request or an answer of the provider means for it as it stands. Pure values; the processor writes what follows.

use fluvio_streams::envelope::Unreadable;
use serde::{Deserialize, Serialize};

use super::provider::{Operation, ProviderOutcome, ProviderResponse};

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The provider has been asked for the money.
    Authorizing,
    /// The provider took the money.
    Approved,
    /// The provider said no. Final.
    Declined,
    /// The provider could not say, and has done nothing. Final: whoever asked may make another attempt.
    Failed,
    /// Dropped before any money was taken. Final.
    Voided,
    /// The provider has been asked to give the money back.
    Refunding,
    /// The money is back. Final.
    Refunded,
}

impl Phase {
    /// Returns the event type that announces it, which is also that of the reply; none while the provider is being asked.
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Self::Authorizing | Self::Refunding => None,
            Self::Approved => Some("PaymentApproved"),
            Self::Declined => Some("PaymentDeclined"),
            Self::Failed => Some("PaymentFailed"),
            Self::Voided => Some("PaymentVoided"),
            Self::Refunded => Some("PaymentRefunded"),
        }
    }
}

/// What payments remembers of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Order.
    pub order_id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which order of this id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// Who pays.
    pub customer_id: String,
    /// How much, in won.
    pub amount: i64,
    /// Where it stands.
    pub phase: Phase,
    /// True if nobody wants it any more. An approval that comes anyway is told: who asked then wants the money back, and the attempt is remembered until it is.
    pub void: bool,
    /// How often its refund has failed.
    pub refund_failures: u32,
    /// What the provider said last.
    pub detail: Option<String>,
}

/// What follows for the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The provider is asked.
    Call(Operation),
    /// The phase is news: an event, and `copies` replies.
    Announce {
        /// How often the reply is published.
        copies: u8,
    },
    /// The reply is repeated to somebody who asks again.
    Repeat,
    /// The refund is tried again later.
    RetryRefund,
    /// The refund is refused, for this reason.
    RefuseRefund(&'static str),
    /// Nothing: an answer will come, or has come.
    Nothing,
}

impl Attempt {
    /// Decides on a request for money. `is_expired`: nobody would want it any more when the provider answers.
    pub fn request(&mut self, is_new: bool, is_expired: bool) -> Next {
        match self.phase {
            Phase::Authorizing if is_new && is_expired => {
                self.phase = Phase::Voided;
                Next::Announce { copies: 1 }
            }
            Phase::Authorizing if is_new => Next::Call(Operation::Authorize),
            _ => self.repeat(),
        }
    }

    /// Decides on a request to drop the attempt.
    pub fn void(&mut self, is_new: bool) -> Next {
        match self.phase {
            // Its request, should it still come, is then not obeyed.
            Phase::Authorizing if is_new => {
                self.phase = Phase::Voided;
                Next::Announce { copies: 1 }
            }
            // Approved: the answer crossed the request.
            Phase::Authorizing | Phase::Approved => {
                self.void = true;
                Next::Nothing
            }
            _ => Next::Nothing,
        }
    }

    /// Decides on a request to give the money back by somebody who does not know whether it was taken, or taken for nothing: these books say. Money is given back once here, and who asks
    /// has heard of it then.
    pub fn refund_unverified(&mut self, is_new: bool) -> Next {
        match self.phase {
            Phase::Approved if self.void => {
                self.phase = Phase::Refunding;
                Next::Call(Operation::Refund)
            }
            _ if is_new => Next::RefuseRefund("nothing is known of the attempt"),
            Phase::Approved => Next::RefuseRefund("the money is wanted"),
            Phase::Refunding | Phase::Refunded => Next::RefuseRefund("the refund was asked for before"),
            Phase::Authorizing | Phase::Declined | Phase::Failed | Phase::Voided => Next::RefuseRefund("the attempt has taken no money"),
        }
    }

    /// Returns true if the attempt may be forgotten: nothing will follow.
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Authorizing | Phase::Refunding => false,
            Phase::Approved => !self.void,
            Phase::Declined | Phase::Failed | Phase::Voided | Phase::Refunded => true,
        }
    }

    /// Decides on a request to give the money back.
    ///
    /// # Errors
    /// [`Unreadable`] if the attempt took none.
    pub fn refund(&mut self) -> Result<Next, Unreadable> {
        match self.phase {
            Phase::Approved => {
                self.phase = Phase::Refunding;
                Ok(Next::Call(Operation::Refund))
            }
            Phase::Refunding | Phase::Refunded => Ok(self.repeat()),
            phase => {
                Err(Unreadable(format!("RefundRequested: attempt {} of order `{}` has no money to give back: it is {phase:?}", self.attempt, self.order_id)))
            }
        }
    }

    /// Takes the provider's answer to `operation`.
    pub fn answered(&mut self, operation: Operation, response: ProviderResponse) -> Next {
        let phase = match (operation, self.phase, response.outcome) {
            (Operation::Authorize, Phase::Authorizing, ProviderOutcome::Approved) => Phase::Approved,
            (Operation::Authorize, Phase::Authorizing, _) if self.void => Phase::Voided,
            (Operation::Authorize, Phase::Authorizing, ProviderOutcome::Declined) => Phase::Declined,
            (Operation::Authorize, Phase::Authorizing, _) => Phase::Failed,
            (Operation::Refund, Phase::Refunding, ProviderOutcome::Refunded) => Phase::Refunded,
            (Operation::Refund, Phase::Refunding, _) => {
                self.refund_failures = self.refund_failures.saturating_add(1);
                self.detail = response.detail;
                return Next::RetryRefund;
            }
            _ => return Next::Nothing,
        };
        self.phase = phase;
        self.detail = response.detail;
        Next::Announce { copies: response.answers }
    }

    fn repeat(&self) -> Next {
        if self.phase.kind().is_some() { Next::Repeat } else { Next::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Next::{Call, Nothing, Repeat};

    const PHASES: [Phase; 7] = [Phase::Authorizing, Phase::Approved, Phase::Declined, Phase::Failed, Phase::Voided, Phase::Refunding, Phase::Refunded];

    fn attempt(phase: Phase) -> Attempt {
        Attempt {
            order_id: "o-1".to_owned(),
            attempt: 1,
            incarnation: String::new(),
            customer_id: "kim".to_owned(),
            amount: 18_000,
            phase,
            void: false,
            refund_failures: 0,
            detail: None,
        }
    }

    /// Goal: money is asked for once and given back once, however often and in whichever order the requests come. Read a row as: in this phase, a request, a void, a refund.
    #[test]
    fn every_request_in_every_phase_has_one_meaning() {
        let table = [
            (Phase::Authorizing, [Some(Nothing), Some(Nothing), None]),
            (Phase::Approved, [Some(Repeat), Some(Nothing), Some(Call(Operation::Refund))]),
            (Phase::Declined, [Some(Repeat), Some(Nothing), None]),
            (Phase::Failed, [Some(Repeat), Some(Nothing), None]),
            (Phase::Voided, [Some(Repeat), Some(Nothing), None]),
            (Phase::Refunding, [Some(Nothing), Some(Nothing), Some(Nothing)]),
            (Phase::Refunded, [Some(Repeat), Some(Nothing), Some(Repeat)]),
        ];
        assert_eq!(table.map(|(phase, _)| phase), PHASES);
        for (phase, expected) in table {
            let given = [Some(attempt(phase).request(false, true)), Some(attempt(phase).void(false)), attempt(phase).refund().ok()];
            assert_eq!(given, expected, "in {phase:?}");
        }
        let new = || attempt(Phase::Authorizing);
        assert_eq!(new().request(true, false), Call(Operation::Authorize));
        // Nobody is asked for what nobody wants any more, nor when the request comes after its void.
        let (mut expired, mut void) = (new(), new());
        assert_eq!((expired.request(true, true), expired.phase), (Next::Announce { copies: 1 }, Phase::Voided));
        assert_eq!((void.void(true), void.phase), (Next::Announce { copies: 1 }, Phase::Voided));
        assert_eq!(void.request(false, false), Repeat);
    }

    /// Goal: a refund for which nobody vouches pays out what was taken and dropped, once, and nothing else, whoever asks.
    #[test]
    fn an_unverified_refund_gives_back_only_what_was_taken_and_not_wanted() {
        for phase in PHASES {
            for void in [false, true] {
                let mut attempt = Attempt { void, ..attempt(phase) };
                let (first, second) = (attempt.refund_unverified(false), attempt.refund_unverified(false));
                let is_due = phase == Phase::Approved && void;
                assert_eq!(first == Next::Call(Operation::Refund), is_due, "in {phase:?}, void {void}");
                assert!(is_due || matches!(first, Next::RefuseRefund(_)), "in {phase:?}, void {void}: {first:?}");
                assert!(matches!(second, Next::RefuseRefund(_)), "once");
            }
        }
        assert!(matches!(attempt(Phase::Authorizing).refund_unverified(true), Next::RefuseRefund(_)), "unknown");
        // The dropping and the approval may cross: either way it is known, and kept in mind until the money is back.
        let mut crossed = attempt(Phase::Approved);
        assert!(crossed.is_over());
        assert_eq!((crossed.void(false), crossed.is_over()), (Nothing, false));
        assert_eq!(crossed.refund_unverified(false), Call(Operation::Refund));
    }

    /// Goal: an answer counts in the phase that waits for it, and in no other.
    #[test]
    fn every_answer_in_every_phase_has_one_meaning() {
        use ProviderOutcome::{Approved, Declined, Failed, Refunded};
        for phase in PHASES {
            for outcome in [Approved, Declined, Failed, Refunded] {
                for (operation, void) in [(Operation::Authorize, false), (Operation::Authorize, true), (Operation::Refund, false)] {
                    let mut attempt = Attempt { void, ..attempt(phase) };
                    let next = attempt.answered(operation, ProviderResponse::new(outcome, None));
                    let expected = match (operation, phase, outcome) {
                        (Operation::Authorize, Phase::Authorizing, Approved) => Phase::Approved,
                        (Operation::Authorize, Phase::Authorizing, _) if void => Phase::Voided,
                        (Operation::Authorize, Phase::Authorizing, Declined) => Phase::Declined,
                        (Operation::Authorize, Phase::Authorizing, Failed | Refunded) => Phase::Failed,
                        (Operation::Refund, Phase::Refunding, Refunded) => Phase::Refunded,
                        _ => phase,
                    };
                    let case = format!("{operation:?} answered {outcome:?} in {phase:?}, void {void}");
                    assert_eq!(attempt.phase, expected, "{case}");
                    let retries = operation == Operation::Refund && phase == Phase::Refunding && outcome != Refunded;
                    let news = if retries { Next::RetryRefund } else { Next::Nothing };
                    assert_eq!(next, if expected == phase { news } else { Next::Announce { copies: 1 } }, "{case}");
                    assert_eq!(attempt.refund_failures, u32::from(retries), "{case}");
                }
            }
        }
    }
}
