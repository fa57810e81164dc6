//! What a follower remembers of one aggregate.

use fluvio_streams::trace::{Origin, Trace};
use serde::{Deserialize, Serialize};

use crate::front::commands::Sent;

/// How far a follower is with an aggregate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// There is such an aggregate, but it is not established yet.
    #[default]
    NotEstablished,
    /// Established, and in this stage.
    Stage(u8),
    /// The follower does not take it. Final.
    Declined,
    /// It was cancelled. Final.
    Cancelled,
    /// It was never established. Final.
    Rejected,
}

impl Progress {
    /// Returns true if it never changes again. `stages`: how many there are.
    pub fn is_final(self, stages: usize) -> bool {
        match self {
            Self::NotEstablished => false,
            Self::Stage(stage) => usize::from(stage) + 1 >= stages,
            Self::Declined | Self::Cancelled | Self::Rejected => true,
        }
    }
}

/// An aggregate as a follower knows it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Which aggregate of this id it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// How far it is.
    pub progress: Progress,
    /// Ids that senders gave to the last commands.
    pub command_ids: Vec<String>,
}

/// A command that waits for its aggregate to arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What it is, as its sender knows it.
    #[serde(flatten)]
    pub sent: Sent,
    /// Id that its sender gave it, if any.
    pub command_id: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Correlation of the command.
    pub correlation: String,
    /// Its trace, if that does not follow from the correlation.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

impl Parked {
    /// Returns to which command it goes back.
    pub fn origin(&self) -> Origin {
        Origin::kept(&self.correlation, self.trace)
    }
}
