//! Which instance of an application runs which task: agreed through a topic of one partition, and nothing else.
//!
//! All members announce themselves in the topic and read all of it in the same order, so they agree on who is there, who leads (whoever has been there longest) and what the leader has
//! assigned. A member that falls silent, by the monotonic clock of whoever notices, is evicted by a record. Nobody needs to be right about who lives: that no task has two owners is the
//! fences' business (`T1`), assignment only decides who tries.
//!
//! What it is not: it reads no topic, has no clock and starts no task. Start reading at [`group`] (what the topic means), then [`plan`] (who should have what) and [`member`] (what one
//! member does); the runtime's `membership` connects them with a log.

pub mod group;
pub mod member;
pub mod plan;
mod record;

#[cfg(test)]
mod tests;

pub use member::{Duty, Member, MemberConfig};
pub use record::{Announcement, TaskId, holds_assignment};
