//! A circuit breaker as a pure state machine: no clock, no randomness, no I/O; its state is a value that the owner keeps.
//!
//! The meaning is that of Resilience4j's CircuitBreaker. Start reading at [`Breaker`].

mod config;

pub use config::{AfterHalfOpenWait, BreakerConfig, BreakerConfigError, WINDOW_SIZE_MAX, WindowKind};

use serde::{Deserialize, Serialize};

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
