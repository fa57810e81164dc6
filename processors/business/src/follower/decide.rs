//! The rules of a follower: what a command means for an aggregate as it stands.
//!
//! | reason code (of a store that follows orders) | when |
//! |---|---|
//! | `OrderUnknown` | the aggregate did not arrive within the time that a command waits for it |
//! | `OrderNotPlaced` | it is not established yet |
//! | `DuplicateCommand` | the follower took a command of this id for it before |
//! | those of [`StageCommand::missing`](super::StageCommand), [`taken`](super::StageCommand) | an earlier step was left out, or this one was taken |
//! | `OrderAlreadyCancelled`, `OrderAlreadyRejected`, and that of [`StageCommand::declines`](super::StageCommand) | it has ended |
//! | `StoreOverloaded` | too many commands wait for their aggregates |

use fluvio_streams::processor::Rejection;

use super::state::Progress;
use super::{FollowerNames, StageCommand};
use crate::names::Words;

/// Decides on a command: returns the progress after it.
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn decide(words: &Words, follower: &FollowerNames, command: &StageCommand, progress: Progress) -> Result<Progress, Rejection> {
    let noun = words.noun.to_lowercase();
    let refused = |reason: &str, detail: String| Err(Rejection::new(reason, detail));
    match progress {
        Progress::NotEstablished => refused(follower.not_established, format!("the {noun} is not established yet")),
        Progress::Rejected => refused(words.already_rejected, format!("the {noun} was rejected")),
        Progress::Cancelled => refused(words.already_cancelled, format!("the {noun} was cancelled")),
        Progress::Declined => {
            let code = follower.commands.iter().find_map(|command| command.declines).map_or(words.already_rejected, |(_, code)| code);
            refused(code, format!("{} declined the {noun}", follower.title))
        }
        Progress::Stage(stage) if stage < command.stage => {
            let missing = follower.commands.iter().find(|other| other.stage == stage && other.declines.is_none()).unwrap_or(command);
            refused(missing.missing, format!("the {noun} is not that far: {} comes first", missing.kind))
        }
        Progress::Stage(stage) if stage > command.stage => refused(command.taken, format!("the {noun} is past that")),
        Progress::Stage(_) if command.declines.is_some() => Ok(Progress::Declined),
        Progress::Stage(stage) => Ok(Progress::Stage(stage + 1)),
    }
}
