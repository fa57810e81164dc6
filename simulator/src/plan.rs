//! What a seed decides before it begins: which faults there are and how often. Most seeds have only some kinds, so that each kind also comes alone.

use fluvio_streams::testing::Random;

use crate::limits::{CHAOS_ACTIONS, COMMANDS};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An instance loses its memory; each of its stores stays, is set back, or is lost.
    Crash,
    /// An instance stands still for a while (SIGSTOP).
    Pause,
    /// An instance can reach nobody for a while.
    Cut,
    /// A clock jumps.
    ClockJump,
    /// A leader changes: what nobody was told of is gone.
    LeaderChange,
    /// A journal loses what is before its restore point.
    Retention,
    /// An instance leaves in good order.
    Leave,
}

const FAULTS: [Fault; 7] = [Fault::Crash, Fault::Pause, Fault::Cut, Fault::ClockJump, Fault::LeaderChange, Fault::Retention, Fault::Leave];

/// What a seed has decided.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) commands: u64,
    pub(crate) actions: u64,
    /// One action in so many is a fault.
    pub(crate) fault_once_in: u64,
    pub(crate) faults: Vec<Fault>,
    /// Of the messages that move, one in so many is lost for good (0: none), likewise below.
    pub(crate) lost_once_in: u64,
    pub(crate) doubled_once_in: u64,
    pub(crate) unacknowledged_once_in: u64,
    pub(crate) timed_out_once_in: u64,
    /// A reader leaves out a record, or delivers some again.
    pub(crate) misread_once_in: u64,
    /// A crash sets a store back, or loses it, so often.
    pub(crate) behind_once_in: u64,
    pub(crate) disk_lost_once_in: u64,
    /// Who runs what is agreed upon; otherwise anybody tries anything, a task that has an owner once in so many times.
    pub(crate) is_agreed: bool,
    pub(crate) rival_once_in: u64,
    /// A journal is written again after so many bytes.
    pub(crate) snapshot_bytes_min: u64,
    pub(crate) snapshot_part_bytes: usize,
    /// One fault in so many is the loss of an acknowledged tail.
    pub(crate) tail_lost_once_in: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random, loses_tails: bool) -> Self {
        let faults = FAULTS.into_iter().filter(|_| random.once_in(2)).collect();
        let mut rate = |often: u64, seldom: u64| if random.once_in(2) { 0 } else { often + random.below(seldom) };
        let (lost_once_in, doubled_once_in, unacknowledged_once_in) = (rate(8, 40), rate(4, 30), rate(6, 40));
        let (timed_out_once_in, misread_once_in) = (rate(20, 100), rate(15, 60));
        let disk_lost_once_in = rate(2, 8);
        Self {
            commands: COMMANDS.start + random.below(COMMANDS.end - COMMANDS.start),
            actions: CHAOS_ACTIONS.start + random.below(CHAOS_ACTIONS.end - CHAOS_ACTIONS.start),
            fault_once_in: 15 + random.below(80),
            faults,
            lost_once_in,
            doubled_once_in,
            unacknowledged_once_in,
            timed_out_once_in,
            misread_once_in,
            behind_once_in: 1 + random.below(3),
            disk_lost_once_in,
            is_agreed: random.once_in(2),
            rival_once_in: 2 + random.below(20),
            // A part must be large beside the header of the record that carries it, or writing a snapshot makes the next one due.
            snapshot_bytes_min: 500 + random.below(2_000),
            snapshot_part_bytes: 200 + random.below(600) as usize,
            tail_lost_once_in: if loses_tails { 3 } else { 0 },
        }
    }
}
