//! The delivery of a notification to the webhook: what is asked, what comes back, and when it is tried again.
//!
//! A delivery is either being made (a journaled call) or waits for another try (an entry and a durable timer). Nothing else waits for it: not the processor, not another delivery.

use std::time::Duration;

use fluvio_streams::backoff::backoff;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::{BACKOFF_MS, BACKOFF_MS_MAX};

/// What whoever delivers is asked: POST `body` with the header `Idempotency-Key: <notificationId>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// CloudEvents id of the notification. A receiver that gets it again has it already.
    pub notification_id: String,
    /// Which try this is, from 1.
    pub try_number: u32,
    /// What is sent; the same at each try.
    pub body: Map<String, Value>,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// The receiver has it.
    Delivered,
    /// The receiver may take it another time.
    Retry {
        /// What went wrong, for people.
        reason: String,
        /// How long the receiver wants to be left alone, in ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The receiver will never take it.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

impl Delivery {
    /// Returns the id of the call that makes this try: no two tries share one.
    pub(crate) fn call_id(&self) -> String {
        format!("{}#{}", self.notification_id, self.try_number)
    }

    /// Returns how long to wait after this try has failed, in ms: doubling, drawn from the upper half by the key, so that what failed together does not come back together.
    pub(crate) fn backoff_ms(&self, retry_after_ms: Option<u64>) -> i64 {
        let drawn = backoff(&self.notification_id, self.try_number, Duration::from_millis(BACKOFF_MS), Duration::from_millis(BACKOFF_MS_MAX));
        (drawn.as_millis() as u64).max(retry_after_ms.unwrap_or(0).min(BACKOFF_MS_MAX)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(partition: u32, retry_after_ms: Option<u64>) -> Vec<i64> {
        let delivery = |try_number| Delivery { notification_id: format!("n/{partition}/1/0"), try_number, body: Map::new() };
        (1..=16).map(|try_number| delivery(try_number).backoff_ms(retry_after_ms)).collect()
    }

    #[test]
    fn waits_double_from_a_second_to_ten_minutes_and_differ_by_key() {
        for (index, wait) in waits(0, None).into_iter().enumerate() {
            let longest = (1_000_i64 << index).min(600_000);
            assert!((longest / 2..=longest).contains(&wait), "wait {index} is {wait} ms");
        }
        assert_eq!(waits(0, None), waits(0, None), "a try that is made again waits as long");
        let first: std::collections::BTreeSet<i64> = (0..100).map(|partition| waits(partition, None)[0]).collect();
        assert!(first.len() > 80, "they spread: {first:?}");
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_wait_but_not_for_an_endless_one() {
        assert_eq!(waits(0, Some(120_000))[0], 120_000);
        assert_eq!(waits(0, Some(u64::MAX))[0], 600_000);
        assert_eq!(waits(0, Some(1))[3], waits(0, None)[3], "nor for a shorter one");
    }
}
