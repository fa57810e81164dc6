//! The synchronous step: asks a partner over a pair of topics, and turns whatever happens into one [`Verdict`] at a time.
//!
//! What it is: request/reply with a correlation id `<key>/<attempt>`, a deadline, a circuit breaker, deferral, paced retries and giving up, made of nothing but state, timers and
//! effects of the step that it runs in ([`Context`]). What it is not: it knows no business; what a verdict means is decided by the processor that asks.
//! Start reading at [`Guard`].

mod config;

pub use config::{GuardConfig, GuardConfigError, GuardTotals};

use serde_json::Value;

use crate::breaker::State;
use crate::processor::{Context, Timer};
use crate::state::StateError;

/// Why a key has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// The partner did not answer before the deadline.
    TimedOut,
    /// The breaker lets no call through, or the partner failed.
    Unavailable,
}

/// The partner's answer to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The partner has done what was asked.
    Accepted,
    /// The partner says no.
    Declined {
        /// Why, for people.
        detail: Option<String>,
    },
    /// The partner could not find out.
    Failed {
        /// Why, for people.
        detail: Option<String>,
    },
}

/// What the business must now decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The partner has been asked.
    Requested {
        /// Attempt, from 1.
        attempt: u32,
    },
    /// Not yet.
    Deferred {
        /// The attempt that came to nothing so far; `None` if the partner was not asked.
        attempt: Option<u32>,
        /// Why.
        reason: Deferral,
    },
    /// Yes: final.
    Accepted {
        /// Attempt, from 1.
        attempt: u32,
        /// True if the answer came after the deadline.
        late: bool,
    },
    /// No: final.
    Declined {
        /// Attempt, from 1.
        attempt: u32,
        /// Why, as the partner said.
        detail: Option<String>,
    },
    /// Nobody said yes in time: final. The attempts still open are voided by the guard.
    GaveUp {
        /// Why.
        reason: Deferral,
    },
    /// Accepted although the key is settled, closed, or accepted by another attempt: must be undone. Reported once per attempt however often the reply repeats.
    Unwanted {
        /// Attempt, from 1.
        attempt: u32,
    },
    /// Nothing to decide: a duplicate, stale or unknown reply, or a call that is not possible now.
    Nothing,
}

/// Asks a partner. Stateless itself: everything it remembers is in the stores of the task.
#[derive(Debug, Clone)]
pub struct Guard {
    config: GuardConfig,
}

impl Guard {
    /// Returns a guard.
    ///
    /// # Errors
    /// [`GuardConfigError`] naming the setting that is out of its range.
    pub fn new(config: GuardConfig) -> Result<Self, GuardConfigError> {
        config.check()?;
        Ok(Self { config })
    }

    /// Returns the names of its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<String> {
        ["guard", "queue", "breaker"].map(|store| format!("{}-{store}", self.config.name)).to_vec()
    }

    /// Asks the partner about a new key. `request` is an object; the guard adds `attempt`, `correlationId`, `deadlineAt` and `giveUpAt`.
    /// Returns `Requested`, `Deferred`, or `Nothing` if the key is known.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn start(&self, cx: &mut Context<'_>, key: &str, request: Value) -> Result<Verdict, StateError> {
        let _ = (cx, key, request);
        Ok(Verdict::Nothing)
    }

    /// Makes a new attempt now, if the breaker lets it. Returns `Requested`, `Deferred` (it waits its turn in the queue), or `Nothing`: the key is unknown or settled, an attempt is
    /// younger than its deadline, or there were too many.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn again(&self, cx: &mut Context<'_>, key: &str) -> Result<Verdict, StateError> {
        let _ = (cx, key);
        Ok(Verdict::Nothing)
    }

    /// Takes the partner's answer. Returns `Accepted`, `Declined`, `Deferred`, `Unwanted` or `Nothing`.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn on_reply(&self, cx: &mut Context<'_>, key: &str, attempt: u32, reply: Reply) -> Result<Verdict, StateError> {
        let _ = (cx, key, attempt, reply);
        Ok(Verdict::Nothing)
    }

    /// Takes a timer. Returns `None` if it is not one of the guard's, else what it means for which keys: `Requested`, `Deferred` or `GaveUp`.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn on_timer(&self, cx: &mut Context<'_>, timer: &Timer) -> Result<Option<Vec<(String, Verdict)>>, StateError> {
        let _ = (cx, timer);
        Ok(None)
    }

    /// Ends a key that the business no longer wants: timers are dropped, the queue is left, open attempts are voided, later acceptances are `Unwanted`.
    /// An acceptance that was reported before stays the business's to undo.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn close(&self, cx: &mut Context<'_>, key: &str) -> Result<(), StateError> {
        let _ = (cx, key);
        Ok(())
    }

    /// Forgets a key, closing it first. Late replies are then unknown, so this is for the end of its retention; an id must not be started again.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn forget(&self, cx: &mut Context<'_>, key: &str) -> Result<(), StateError> {
        let _ = (cx, key);
        Ok(())
    }

    /// Returns the state of this task's breaker.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn breaker_state(&self, cx: &Context<'_>) -> Result<State, StateError> {
        let _ = cx;
        Ok(State::Closed)
    }

    /// Puts this task's breaker into a state, as an operator.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn force(&self, cx: &mut Context<'_>, state: State) -> Result<(), StateError> {
        let _ = (cx, state);
        Ok(())
    }
}
