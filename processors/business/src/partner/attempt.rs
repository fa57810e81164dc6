//! The rules of one attempt: what a request or an answer of the provider means for it as it stands. Pure values; the processor writes what follows.

use fluvio_streams::envelope::Unreadable;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::provider::{Operation, ProviderOutcome, ProviderResponse};
use crate::names::PartnerNames;

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The provider has been asked.
    Asking,
    /// The provider has done it: the money is taken.
    Accepted,
    /// The provider said no. Final.
    Declined,
    /// The provider could not say, and has done nothing. Final: whoever asked may make another attempt.
    Failed,
    /// Dropped before anything was done. Final.
    Voided,
    /// The provider has been asked to undo it.
    Undoing,
    /// It is undone: the money is back. Final.
    Undone,
}

impl Phase {
    /// Returns the event type that announces it, which is also that of the reply; none while the provider is being asked.
    pub fn kind(self, names: &PartnerNames) -> Option<&'static str> {
        match self {
            Self::Asking | Self::Undoing => None,
            Self::Accepted => Some(names.accepted),
            Self::Declined => Some(names.declined),
            Self::Failed => Some(names.failed),
            Self::Voided => Some(names.voided),
            Self::Undone => Some(names.undone),
        }
    }
}

/// What a partner remembers of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Aggregate.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Which aggregate of this id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// Whose.
    pub customer_id: String,
    /// How much, in won; 1 where no money is involved.
    pub amount: i64,
    /// Where it stands.
    pub phase: Phase,
    /// True if nobody wants it any more. An acceptance that comes anyway is told: who asked then wants it undone, and the attempt is remembered until it is.
    pub void: bool,
    /// True if it was dropped before the provider was asked, as far as is remembered here: that nobody wants it was the first that was heard of it. It may have been accepted all the same, by a
    /// stand-in, or so long ago that it is forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// How often its undoing has failed.
    pub undo_failures: u32,
    /// What the provider said last.
    pub detail: Option<String>,
    /// What the front said beside this.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
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
    /// The undoing is tried again later.
    RetryUndo,
    /// The undoing is refused, for this reason.
    RefuseUndo(&'static str),
    /// Nothing: an answer will come, or has come.
    Nothing,
}

impl Attempt {
    /// Decides on a request. `is_expired`: nobody would want it any more when the provider answers.
    pub fn request(&mut self, is_new: bool, is_expired: bool) -> Next {
        match self.phase {
            Phase::Asking if is_new && is_expired => self.drop_unasked(),
            Phase::Asking if is_new => Next::Call(Operation::Accept),
            _ => self.repeat(),
        }
    }

    /// Decides on a request to drop the attempt.
    pub fn void(&mut self, is_new: bool) -> Next {
        match self.phase {
            // Its request, should it still come, is then not obeyed.
            Phase::Asking if is_new => self.drop_unasked(),
            // Accepted: the answer crossed the request.
            Phase::Asking | Phase::Accepted => {
                self.void = true;
                Next::Nothing
            }
            _ => Next::Nothing,
        }
    }

    /// Decides on a request to undo it by somebody who does not know whether it was done, or done in vain: these books say. It is undone once here, and who asks has heard of it then.
    pub fn undo_unverified(&mut self, is_new: bool) -> Next {
        match self.phase {
            Phase::Accepted if self.void => {
                self.phase = Phase::Undoing;
                Next::Call(Operation::Undo)
            }
            _ if is_new => Next::RefuseUndo("nothing is known of the attempt"),
            Phase::Accepted => Next::RefuseUndo("it is wanted"),
            Phase::Undoing | Phase::Undone => Next::RefuseUndo("it was asked for before"),
            Phase::Asking | Phase::Declined | Phase::Failed | Phase::Voided => Next::RefuseUndo("nothing was done for the attempt"),
        }
    }

    /// Returns true if the attempt may be forgotten: nothing will follow.
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Asking | Phase::Undoing => false,
            Phase::Accepted => !self.void,
            Phase::Declined | Phase::Failed | Phase::Voided | Phase::Undone => true,
        }
    }

    /// Decides on a request to undo it.
    ///
    /// # Errors
    /// [`Unreadable`] if nothing was done.
    pub fn undo(&mut self) -> Result<Next, Unreadable> {
        match self.phase {
            Phase::Accepted => {
                self.phase = Phase::Undoing;
                Ok(Next::Call(Operation::Undo))
            }
            Phase::Undoing | Phase::Undone => Ok(self.repeat()),
            phase => Err(Unreadable(format!("there is nothing to undo for attempt {} of `{}`: it is {phase:?}", self.attempt, self.id))),
        }
    }

    /// Takes the provider's answer to `operation`.
    pub fn answered(&mut self, operation: Operation, response: ProviderResponse) -> Next {
        let phase = match (operation, self.phase, response.outcome) {
            (Operation::Accept, Phase::Asking, ProviderOutcome::Accepted) => Phase::Accepted,
            (Operation::Accept, Phase::Asking, _) if self.void => Phase::Voided,
            (Operation::Accept, Phase::Asking, ProviderOutcome::Declined) => Phase::Declined,
            (Operation::Accept, Phase::Asking, _) => Phase::Failed,
            (Operation::Undo, Phase::Undoing, ProviderOutcome::Undone) => Phase::Undone,
            (Operation::Undo, Phase::Undoing, _) => {
                self.undo_failures = self.undo_failures.saturating_add(1);
                self.detail = response.detail;
                return Next::RetryUndo;
            }
            _ => return Next::Nothing,
        };
        self.phase = phase;
        self.detail = response.detail;
        Next::Announce { copies: response.answers }
    }

    fn drop_unasked(&mut self) -> Next {
        (self.phase, self.unasked) = (Phase::Voided, true);
        Next::Announce { copies: 1 }
    }

    fn repeat(&self) -> Next {
        if matches!(self.phase, Phase::Asking | Phase::Undoing) { Next::Nothing } else { Next::Repeat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Next::{Call, Nothing, Repeat};

    const PHASES: [Phase; 7] = [Phase::Asking, Phase::Accepted, Phase::Declined, Phase::Failed, Phase::Voided, Phase::Undoing, Phase::Undone];

    fn attempt(phase: Phase) -> Attempt {
        Attempt {
            id: "o-1".to_owned(),
            attempt: 1,
            incarnation: String::new(),
            customer_id: "kim".to_owned(),
            amount: 18_000,
            phase,
            void: false,
            unasked: false,
            undo_failures: 0,
            detail: None,
            details: Map::new(),
        }
    }

    /// Goal: money is asked for once and given back once, however often and in whichever order the requests come. Read a row as: in this phase, a request, a void, a refund.
    #[test]
    fn every_request_in_every_phase_has_one_meaning() {
        let table = [
            (Phase::Asking, [Some(Nothing), Some(Nothing), None]),
            (Phase::Accepted, [Some(Repeat), Some(Nothing), Some(Call(Operation::Undo))]),
            (Phase::Declined, [Some(Repeat), Some(Nothing), None]),
            (Phase::Failed, [Some(Repeat), Some(Nothing), None]),
            (Phase::Voided, [Some(Repeat), Some(Nothing), None]),
            (Phase::Undoing, [Some(Nothing), Some(Nothing), Some(Nothing)]),
            (Phase::Undone, [Some(Repeat), Some(Nothing), Some(Repeat)]),
        ];
        assert_eq!(table.map(|(phase, _)| phase), PHASES);
        for (phase, expected) in table {
            let given = [Some(attempt(phase).request(false, true)), Some(attempt(phase).void(false)), attempt(phase).undo().ok()];
            assert_eq!(given, expected, "in {phase:?}");
        }
        let new = || attempt(Phase::Asking);
        assert_eq!(new().request(true, false), Call(Operation::Accept));
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
                let (first, second) = (attempt.undo_unverified(false), attempt.undo_unverified(false));
                let is_due = phase == Phase::Accepted && void;
                assert_eq!(first == Next::Call(Operation::Undo), is_due, "in {phase:?}, void {void}");
                assert!(is_due || matches!(first, Next::RefuseUndo(_)), "in {phase:?}, void {void}: {first:?}");
                assert!(matches!(second, Next::RefuseUndo(_)), "once");
            }
        }
        assert!(matches!(attempt(Phase::Asking).undo_unverified(true), Next::RefuseUndo(_)), "unknown");
        // The dropping and the approval may cross: either way it is known, and kept in mind until the money is back.
        let mut crossed = attempt(Phase::Accepted);
        assert!(crossed.is_over());
        assert_eq!((crossed.void(false), crossed.is_over()), (Nothing, false));
        assert_eq!(crossed.undo_unverified(false), Call(Operation::Undo));
    }

    /// Goal: an answer counts in the phase that waits for it, and in no other.
    #[test]
    fn every_answer_in_every_phase_has_one_meaning() {
        use ProviderOutcome::{Accepted, Declined, Failed, Undone};
        for phase in PHASES {
            for outcome in [Accepted, Declined, Failed, Undone] {
                for (operation, void) in [(Operation::Accept, false), (Operation::Accept, true), (Operation::Undo, false)] {
                    let mut attempt = Attempt { void, ..attempt(phase) };
                    let next = attempt.answered(operation, ProviderResponse::new(outcome, None));
                    let expected = match (operation, phase, outcome) {
                        (Operation::Accept, Phase::Asking, Accepted) => Phase::Accepted,
                        (Operation::Accept, Phase::Asking, _) if void => Phase::Voided,
                        (Operation::Accept, Phase::Asking, Declined) => Phase::Declined,
                        (Operation::Accept, Phase::Asking, Failed | Undone) => Phase::Failed,
                        (Operation::Undo, Phase::Undoing, Undone) => Phase::Undone,
                        _ => phase,
                    };
                    let case = format!("{operation:?} answered {outcome:?} in {phase:?}, void {void}");
                    assert_eq!(attempt.phase, expected, "{case}");
                    let retries = operation == Operation::Undo && phase == Phase::Undoing && outcome != Undone;
                    let news = if retries { Next::RetryUndo } else { Next::Nothing };
                    assert_eq!(next, if expected == phase { news } else { Next::Announce { copies: 1 } }, "{case}");
                    assert_eq!(attempt.undo_failures, u32::from(retries), "{case}");
                }
            }
        }
    }
}
