//! Every bound of this crate, in one place.

/// Instances that run the application.
pub(crate) const INSTANCES: usize = 3;
/// Partitions of every topic.
pub(crate) const PARTITIONS: u32 = 2;
/// Commands of a run, at least and at most.
pub(crate) const COMMANDS: std::ops::Range<u64> = 6..40;
/// Actions of the part of a run in which there are faults, at least and at most.
pub(crate) const CHAOS_ACTIONS: std::ops::Range<u64> = 200..2_000;
/// Passes over the whole world until it must have come to rest after the last fault.
pub(crate) const CALM_PASSES_MAX: u64 = 3_000;
/// Rounds of 10 ms in which a group must agree after the last fault.
pub(crate) const AGREEMENT_ROUNDS_MAX: u64 = 400;
/// Inputs that one transaction takes.
pub(crate) const RUN_INPUTS_MAX: u64 = 4;
/// Records of one fetch.
pub(crate) const FETCH_RECORDS_MAX: u64 = 5;
/// Commits of a task that a crash may take back: what a store that is written behind has not written.
pub(crate) const UNWRITTEN_COMMITS_MAX: usize = 6;
/// How far a clock may be off, in ms.
pub(crate) const SKEW_MS_MAX: i64 = 400;
/// How far a clock may jump, in ms.
pub(crate) const CLOCK_JUMP_MS_MAX: i64 = 1_500;
/// Lines of the trace that a report quotes.
pub(crate) const REPORT_LINES: usize = 40;
