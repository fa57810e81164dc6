//! The synchronous step: asks a partner over a pair of topics, and turns whatever happens into one [`Verdict`] at a time.
//!
//! What it is: request/reply with a correlation id `<key>/<attempt>`, a deadline, a circuit breaker, deferral, paced retries and giving up, made of nothing but state, timers and
//! effects of the step that it runs in ([`Context`]). What it is not: it knows no business; what a verdict means is decided by the processor that asks.
//! Start reading at [`Guard`].

mod config;
mod names;
mod record;
mod step;

pub use config::{GuardConfig, GuardConfigError, GuardTotals};

use serde_json::Value;

use crate::breaker::{Breaker, State};
use crate::processor::{Context, Timer};
use crate::state::StateError;
use crate::topology::StoreSpec;

use names::Names;
use record::{Partner, Record};
use step::Step;

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

/// A change of the state of a guard's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerChange {
    /// Name of the guard.
    pub guard: &'static str,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
}

/// A partner's first answer to an attempt: for telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartnerAnswer {
    /// Name of the guard.
    pub guard: &'static str,
    /// What it says: `accepted`, `declined`, `failed`, or `unwanted` for an acceptance after the attempt was given up.
    pub outcome: &'static str,
    /// True if it came after the deadline.
    pub late: bool,
    /// From the question to the answer, as the journal has them, in ms.
    pub took_ms: i64,
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
    /// Accepted, but the guard knows of no such attempt: the key was forgotten, or started anew since, or the partner errs. Nothing is remembered of it, so a repeated reply is reported again.
    Stray {
        /// Attempt, as the reply says.
        attempt: u32,
    },
    /// Nothing to decide: a duplicate or stale reply, an unknown one that accepts nothing, or a call that is not possible now.
    Nothing,
}

/// Asks a partner. Stateless itself: everything it remembers is in the stores of the task.
///
/// Of one key, at most one attempt is ever `Accepted`; every other acceptance is `Unwanted` once, so whoever undoes those keeps the books straight. `Accepted`, `Declined` and `GaveUp`
/// are final, and nothing but `Unwanted` follows them. Giving up is an act: until the timer has fired, an acceptance still counts, however late it is read.
///
/// A key that was forgotten may be started again. Its attempts are numbered from 1 again, so each start has an *incarnation*, which the partner is told and may repeat: replies to another
/// incarnation are `Stray`.
#[derive(Debug, Clone)]
pub struct Guard {
    config: GuardConfig,
    names: Names,
}

impl Guard {
    /// Returns a guard.
    ///
    /// # Errors
    /// [`GuardConfigError`] naming the setting that is out of its range.
    pub fn new(config: GuardConfig) -> Result<Self, GuardConfigError> {
        config.check()?;
        Ok(Self { names: Names::new(config.name), config })
    }

    /// Returns its settings.
    pub fn config(&self) -> &GuardConfig {
        &self.config
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        let Names { records, queue, partner, .. } = &self.names;
        vec![StoreSpec::of::<Record>(records), StoreSpec::of::<()>(queue), StoreSpec::of::<Partner>(partner)]
    }

    /// Returns the names of its timers, for [`crate::processor::Processor::timers`].
    pub fn timers(&self) -> Vec<String> {
        let Names { attempt_timer, unavailable_timer, retry_timer, breaker_timer, .. } = &self.names;
        [attempt_timer, unavailable_timer, retry_timer, breaker_timer].map(Clone::clone).to_vec()
    }

    /// Asks the partner about a new key. The request goes to the partner with `attempt`, `correlationId` (`<key>/<attempt>`), `incarnation`, `deadlineAt` and `giveUpAt` added, under the
    /// correlation of this input; so does whatever the guard does for the key later. The incarnation is never used again for this key, for example the position of the command.
    /// Returns `Requested`, `Deferred`, `GaveUp` if the queue is full, or `Nothing` if the key is known.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    ///
    /// # Panics
    /// If the request is not a JSON object.
    pub fn start(&self, cx: &mut Context<'_>, key: &str, incarnation: &str, request: Value) -> Result<Verdict, StateError> {
        let Value::Object(request) = request else { panic!("request of guard `{}` is not a JSON object", self.config.name) };
        self.step(cx, |step| step.start(key, incarnation, request))
    }

    /// Makes a new attempt now, if the breaker lets it. Returns `Requested`, `Deferred` (it waits its turn in the queue), or `Nothing`: the key is unknown or settled, an attempt is
    /// younger than its deadline, or there were too many.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn again(&self, cx: &mut Context<'_>, key: &str) -> Result<Verdict, StateError> {
        self.step(cx, |step| step.again(key))
    }

    /// Takes the partner's answer; one that names no incarnation is to the present one. Returns `Accepted`, `Declined`, `Deferred` or `GaveUp` (the attempt failed: the key is retried or
    /// not), `Unwanted`, `Stray` or `Nothing`.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn on_reply(&self, cx: &mut Context<'_>, key: &str, attempt: u32, incarnation: Option<&str>, reply: Reply) -> Result<Verdict, StateError> {
        self.step(cx, |step| step.reply(key, attempt, incarnation, reply))
    }

    /// Takes a timer. Returns `None` if it is not one of the guard's, else what it means for which keys: `Requested`, `Deferred` or `GaveUp`, and no entry for `Nothing`.
    /// The context keeps the timer's own correlation, which for a retry is not that of the key. The processor must then not refuse the input: a timer that is taken back is lost.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn on_timer(&self, cx: &mut Context<'_>, timer: &Timer) -> Result<Option<Vec<(String, Verdict)>>, StateError> {
        self.step(cx, |step| step.timer(timer))
    }

    /// Ends a key that the business no longer wants: timers are dropped, the queue is left, open attempts are voided, later acceptances are `Unwanted`.
    /// An acceptance that was reported before stays the business's to undo.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn close(&self, cx: &mut Context<'_>, key: &str) -> Result<(), StateError> {
        self.step(cx, |step| step.close(key))
    }

    /// Forgets a key, closing it first, for the end of its retention: a late acceptance is then `Stray`, and the key may be started again.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn forget(&self, cx: &mut Context<'_>, key: &str) -> Result<(), StateError> {
        self.step(cx, |step| step.forget(key))
    }

    /// Returns the state of this task's breaker.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn breaker_state(&self, cx: &Context<'_>) -> Result<State, StateError> {
        let partner: Option<Partner> = cx.get(&self.names.partner, names::ONLY)?;
        Ok(partner.map_or_else(|| Breaker::new(&self.config.breaker), |partner| partner.breaker).state())
    }

    /// Puts this task's breaker into a state, as an operator; nothing happens if it is in that state already.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn force(&self, cx: &mut Context<'_>, state: State) -> Result<(), StateError> {
        self.step(cx, |step| step.force(state))
    }

    /// Makes this task's breaker as if new, as an operator: closed, and nothing measured.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn reset(&self, cx: &mut Context<'_>) -> Result<(), StateError> {
        self.step(cx, |step| step.reset())
    }

    fn step<T>(&self, cx: &mut Context<'_>, act: impl FnOnce(&mut Step<'_, '_, '_>) -> Result<T, StateError>) -> Result<T, StateError> {
        let mut step = Step::begin(self, cx)?;
        let result = act(&mut step)?;
        step.finish()?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests;
