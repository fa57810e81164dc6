//! A circuit breaker as a pure state machine: no clock, no randomness, no I/O; its state is a value that the owner keeps.
//!
//! The meaning is that of Resilience4j's CircuitBreaker, as its documentation tells it; the table in `tests/documentation.rs` goes through it sentence by sentence. What differs:
//! a scheduler's work happens when the breaker is next asked, as of the time when it was due; a permission is given back only to the stay in half-open that gave it; open keeps no
//! counts, since the transition tells those that opened it. What is not here: metrics-only, waits that grow from one opening to the next, and judging results, which is the caller's:
//! what it wants ignored it gives back with [`Breaker::release`]. Start reading at [`Breaker`].

mod config;
mod window;

pub use config::{AfterHalfOpenWait, BreakerConfig, BreakerConfigError, WINDOW_SIZE_MAX, WindowKind};
pub use window::Counts;

use serde::{Deserialize, Serialize};

use window::Window;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Lets calls through and measures them.
    Closed,
    /// Lets none through until its wait is over.
    Open,
    /// Lets a few through to find out whether to close.
    HalfOpen,
    /// Lets none through until an operator says otherwise.
    ForcedOpen,
    /// Lets all through and measures nothing until an operator says otherwise.
    Disabled,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// When, ms since the Unix epoch.
    pub at_ms: i64,
    /// What the window of the state before held.
    pub counts: Counts,
}

/// An answer to [`Breaker::try_acquire`].
#[derive(Debug, Clone, PartialEq)]
pub struct Acquisition {
    /// True if the call may be made. Its outcome must then be reported, or the permission released.
    pub permitted: bool,
    /// What changed by asking.
    pub transitions: Vec<Transition>,
}

/// A circuit breaker. Times are ms since the Unix epoch and must not run backwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Number of states entered so far, so that a permission is known to be of this stay.
    generation: u64,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Closed { window: Window },
    Open { until_ms: i64 },
    HalfOpen { since_ms: i64, permits: u32, window: Window },
    ForcedOpen,
    Disabled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled];

    /// Returns its name, as events and labels have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::Disabled => "disabled",
        }
    }
}

impl Breaker {
    /// Returns a closed breaker.
    pub fn new(config: &BreakerConfig) -> Self {
        Self { generation: 0, phase: Phase::Closed { window: Window::closed(config) } }
    }

    /// Returns its state as of the last time that it was asked something.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }

    /// Returns what distinguishes this stay in its state from all others: to be kept with a permission and given to [`Self::release`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what the window of the present state holds.
    pub fn counts(&self, now_ms: i64) -> Counts {
        match &self.phase {
            Phase::Closed { window } | Phase::HalfOpen { window, .. } => window.counts(now_ms),
            Phase::Open { .. } | Phase::ForcedOpen | Phase::Disabled => Counts::default(),
        }
    }

    /// Asks whether a call may be made.
    pub fn try_acquire(&mut self, now_ms: i64, config: &BreakerConfig) -> Acquisition {
        let mut transitions = self.advance(now_ms, config);
        if matches!(self.phase, Phase::Open { until_ms } if now_ms > until_ms) {
            transitions.extend(self.transition_to(State::HalfOpen, now_ms, config));
        }
        let permitted = match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => true,
            Phase::Open { .. } | Phase::ForcedOpen => false,
            Phase::HalfOpen { permits, .. } => {
                let permitted = *permits > 0;
                *permits = permits.saturating_sub(1);
                permitted
            }
        };
        Acquisition { permitted, transitions }
    }

    /// Reports a call that succeeded after `duration_ms`.
    pub fn on_success(&mut self, now_ms: i64, duration_ms: i64, config: &BreakerConfig) -> Vec<Transition> {
        self.on_outcome(now_ms, duration_ms, false, config)
    }

    /// Reports a call that failed after `duration_ms`.
    pub fn on_failure(&mut self, now_ms: i64, duration_ms: i64, config: &BreakerConfig) -> Vec<Transition> {
        self.on_outcome(now_ms, duration_ms, true, config)
    }

    /// Gives back a permission that was not used, or whose outcome nobody will know. `generation` is that of the time when it was given.
    pub fn release(&mut self, generation: u64) {
        if let Phase::HalfOpen { permits, .. } = &mut self.phase
            && generation == self.generation
        {
            *permits += 1;
        }
    }

    /// Does what is due by time alone; nothing with the default settings. See [`Self::wakes_at`].
    pub fn advance(&mut self, now_ms: i64, config: &BreakerConfig) -> Vec<Transition> {
        let mut transitions = Vec::new();
        self.skip_idle_cycles(now_ms, config);
        while let Some((due_ms, to)) = self.due(config).filter(|(due_ms, _)| *due_ms <= now_ms) {
            transitions.extend(self.transition_to(to, due_ms, config));
            self.skip_idle_cycles(now_ms, config);
        }
        transitions
    }

    /// Returns when [`Self::advance`] has something to do, if ever.
    pub fn wakes_at(&self, config: &BreakerConfig) -> Option<i64> {
        self.due(config).map(|(due_ms, _)| due_ms)
    }

    /// Returns from when on a call may be let through, as far as that depends on time alone: `None` if it depends on outcomes or an operator.
    pub fn permits_at(&self, config: &BreakerConfig) -> Option<i64> {
        match self.phase {
            Phase::Closed { .. } | Phase::Disabled => Some(i64::MIN),
            Phase::Open { until_ms } if config.automatic_half_open => Some(until_ms),
            Phase::Open { until_ms } => Some(until_ms.saturating_add(1)),
            Phase::HalfOpen { permits, .. } if permits > 0 => Some(i64::MIN),
            Phase::HalfOpen { .. } => self.wakes_at(config),
            Phase::ForcedOpen => None,
        }
    }

    /// Enters a state, as an operator or a threshold wants it. Returns `None` and changes nothing if it is in that state already.
    pub fn transition_to(&mut self, to: State, now_ms: i64, config: &BreakerConfig) -> Option<Transition> {
        (self.state() != to).then(|| self.enter(to, now_ms, config))
    }

    /// Returns to closed as if new, whatever the state was; what was measured is lost. Returns `None` if it was closed before.
    pub fn reset(&mut self, now_ms: i64, config: &BreakerConfig) -> Option<Transition> {
        let transition = self.enter(State::Closed, now_ms, config);
        (transition.from != State::Closed).then_some(transition)
    }

    fn enter(&mut self, to: State, now_ms: i64, config: &BreakerConfig) -> Transition {
        let transition = Transition { from: self.state(), to, at_ms: now_ms, counts: self.counts(now_ms) };
        self.generation += 1;
        self.phase = match to {
            State::Closed => Phase::Closed { window: Window::closed(config) },
            State::Open => Phase::Open { until_ms: now_ms.saturating_add(config.wait_duration_in_open_ms) },
            State::HalfOpen => {
                let permits = config.permitted_calls_in_half_open;
                Phase::HalfOpen { since_ms: now_ms, permits, window: Window::of_calls(permits) }
            }
            State::ForcedOpen => Phase::ForcedOpen,
            State::Disabled => Phase::Disabled,
        };
        transition
    }

    fn on_outcome(&mut self, now_ms: i64, duration_ms: i64, failed: bool, config: &BreakerConfig) -> Vec<Transition> {
        let mut transitions = self.advance(now_ms, config);
        let window = match &mut self.phase {
            Phase::Closed { window } => {
                // Settings may have changed since the state was written.
                if !window.fits(config) {
                    *window = Window::closed(config);
                }
                window
            }
            Phase::HalfOpen { window, .. } => window,
            // The answer to a call of an earlier state: too late to tell anything.
            Phase::Open { .. } | Phase::ForcedOpen | Phase::Disabled => return transitions,
        };
        window.record(now_ms, failed, duration_ms > config.slow_call_duration_threshold_ms);
        let counts = window.counts(now_ms);
        if counts.calls < window.minimum_number_of_calls(config) {
            return transitions;
        }
        if counts.failure_rate() >= config.failure_rate_threshold || counts.slow_call_rate() >= config.slow_call_rate_threshold {
            transitions.extend(self.transition_to(State::Open, now_ms, config));
        } else if self.state() == State::HalfOpen {
            transitions.extend(self.transition_to(State::Closed, now_ms, config));
        }
        transitions
    }

    /// Returns the change that time alone brings, and when.
    fn due(&self, config: &BreakerConfig) -> Option<(i64, State)> {
        match self.phase {
            Phase::Open { until_ms } if config.automatic_half_open => Some((until_ms, State::HalfOpen)),
            Phase::HalfOpen { since_ms, .. } if config.max_wait_duration_in_half_open_ms > 0 => {
                let to = match config.after_half_open_wait {
                    AfterHalfOpenWait::Open => State::Open,
                    AfterHalfOpenWait::Closed => State::Closed,
                };
                Some((since_ms.saturating_add(config.max_wait_duration_in_half_open_ms), to))
            }
            _ => None,
        }
    }

    /// An automatic breaker that nobody asks goes round between open and half-open; whole rounds leave no trace, so a long silence costs nothing.
    fn skip_idle_cycles(&mut self, now_ms: i64, config: &BreakerConfig) {
        let goes_round = config.automatic_half_open && config.max_wait_duration_in_half_open_ms > 0 && config.after_half_open_wait == AfterHalfOpenWait::Open;
        if let Phase::Open { until_ms } = &mut self.phase
            && goes_round
        {
            let round_ms = config.wait_duration_in_open_ms.saturating_add(config.max_wait_duration_in_half_open_ms);
            let rounds = now_ms.saturating_sub(*until_ms).max(0) / round_ms;
            *until_ms += rounds * round_ms;
        }
    }
}

#[cfg(test)]
mod tests;
