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
    /// Who pays.
    pub customer_id: String,
    /// How much, in won.
    pub amount: i64,
    /// Where it stands.
    pub phase: Phase,
    /// True if nobody wants it any more. An approval that comes anyway is told: who asked then wants the money back.
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
            Phase::Authorizing => {
                self.void = true;
                Next::Nothing
            }
            _ => Next::Nothing,
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
