//! A partition as the goal of a request, and what a server's error codes about it mean to users of the log.

use std::fmt;

use fluvio_protocol::link::ErrorCode;

use super::limits::DETAIL_BYTES_MAX;
use crate::log::LogError;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) topic: String,
    pub(super) partition: u32,
}

impl Target {
    pub(super) fn new(topic: &str, partition: u32) -> Self {
        Self { topic: topic.to_owned(), partition }
    }

    /// Returns the refusal of what was tried, for example `appending to`.
    pub(super) fn refused(&self, verb: &str, detail: String) -> LogError {
        LogError::Refused { action: format!("{verb} {self}"), detail }
    }

    /// Returns the error that a code stands for. Codes that pass by themselves (another leader, a server that is starting) are [`LogError::Unreachable`]: trying again may help.
    pub(super) fn check(&self, verb: &str, endpoint: &str, code: &ErrorCode) -> Result<(), LogError> {
        if code.is_ok() {
            return Ok(());
        }
        let detail = bounded(code.to_string());
        Err(match code {
            ErrorCode::TopicNotFound | ErrorCode::TopicDeleted => LogError::NoTopic { topic: self.topic.clone() },
            ErrorCode::OffsetEvicted { offset, next_available } => {
                LogError::OffsetOutOfRange { topic: self.topic.clone(), partition: self.partition, offset: *offset, start: *next_available, end: -1 }
            }
            ErrorCode::NotLeaderForPartition
            | ErrorCode::PartitionNotLeader
            | ErrorCode::PartitionPendingInitialization
            | ErrorCode::TopicPendingInitialization
            | ErrorCode::TopicNotProvisioned
            | ErrorCode::RequestTimedOut { .. }
            | ErrorCode::SpuOffline
            | ErrorCode::SpuNotFound
            | ErrorCode::SpuError
            | ErrorCode::StorageError
            | ErrorCode::PartitionFull { .. }
            | ErrorCode::PartitionShortCircuited => LogError::Unreachable { endpoint: endpoint.to_owned(), detail: format!("{verb} {self}: {detail}") },
            _ => self.refused(verb, detail),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// Cuts a server's text to what an error may quote.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
