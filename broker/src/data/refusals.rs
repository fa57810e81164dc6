//! Says in the log why streams were refused: the client tries again and again, and tells its user nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fluvio_protocol::link::ErrorCode;

use crate::limits::REFUSAL_REPEAT_PAUSE;

/// Remembers what was said last, so that a client that tries again does not fill the log.
#[derive(Default)]
pub(crate) struct Refusals {
    last: Mutex<Option<(String, Instant)>>,
}

impl Refusals {
    /// Takes note of a stream that ended with an error.
    pub(super) fn tell(&self, topic: &str, partition: u32, error: &ErrorCode) {
        if matches!(error, ErrorCode::TopicDeleted) {
            return;
        }
        if self.is_news(format!("{topic}/{partition}: {error}"), Instant::now()) {
            tracing::warn!(topic, partition, %error, "stream refused; its client may not say so");
        }
    }

    fn is_news(&self, refusal: String, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = last.as_ref().is_some_and(|(known, at)| *known == refusal && now.duration_since(*at) < REFUSAL_REPEAT_PAUSE);
        if !is_known {
            *last = Some((refusal, now));
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_said_once_in_a_while() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        assert!(refusals.is_news("a".to_owned(), now));
        assert!(!refusals.is_news("a".to_owned(), now));
        assert!(refusals.is_news("b".to_owned(), now));
        assert!(!refusals.is_news("b".to_owned(), now + REFUSAL_REPEAT_PAUSE / 2));
        assert!(refusals.is_news("b".to_owned(), now + REFUSAL_REPEAT_PAUSE));
    }
}
