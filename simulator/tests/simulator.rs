//! The simulator on its own terms: seeds break no law, the same seed is the same run, runs are about something, and planted bugs are found.

use std::collections::BTreeMap;

use orderflow_simulator::{Bug, Law, Options, Report, run};

/// Seeds that every test run tries; `cargo xtask simulate` tries more.
const SEEDS: u64 = 150;
/// Within so many seeds a planted bug must be found.
const SEEDS_TO_FIND: u64 = 10_000;

fn of(seed: u64) -> Options {
    Options { seed, ..Options::default() }
}

/// Returns the first run that breaks a law with the bug planted.
#[track_caller]
fn found(bug: Bug) -> Report {
    let reports = (0..SEEDS_TO_FIND).map(|seed| run(&Options { bug: Some(bug), ..of(seed) }));
    let mut broken = reports.filter(|report| report.violation.is_some());
    broken.next().unwrap_or_else(|| panic!("{bug:?} is not found in {SEEDS_TO_FIND} seeds"))
}

#[track_caller]
fn assert_found(bug: Bug, laws: &[Law]) {
    let report = found(bug);
    let law = report.violation.as_ref().map(|violation| violation.law);
    assert!(law.is_some_and(|law| laws.contains(&law)), "{bug:?} breaks {:?}, which is not what it is about", report.violation);
}

/// Goal: no law is broken by what may happen, and in these seeds all of it does happen, or they would prove little.
#[test]
fn no_seed_breaks_a_law() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let report = run(&of(seed));
        if let Some(violation) = report.violation {
            let trace = run(&Options { is_traced: true, ..of(seed) }).tail().join("\n");
            panic!("{trace}\nseed {seed} breaks {violation} at step {}", report.steps);
        }
        report.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    }
    for what in [
        "append landed after its sender was gone",
        "append landed twice",
        "disk lost",
        "incarnation ended: doubt",
        "incarnation ended: fenced",
        "incarnation ended: gap",
        "incarnation ended: log",
        "instance crashed",
        "instance cut off or came back",
        "instance left",
        "instance stopped or went on",
        "instance that never came back",
        "journal followed",
        "journal shortened",
        "record left out by a reader",
        "records delivered again",
        "restored from the middle of a journal",
        "restored from what retention left",
        "store set back",
        "task given away",
        "unacknowledged records lost by a leader",
    ] {
        assert!(counts.get(what).is_some_and(|count| *count > 2), "`{what}` is too rare: {counts:?}");
    }
    assert!(!counts.contains_key("incarnation ended: alarm"), "{counts:?}");
}

/// A failing seed is only worth something if it fails again.
#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let options = Options { is_traced: true, ..of(seed) };
        let report = run(&options);
        assert!(report.trace.len() > 50, "seed {seed} has {} lines", report.trace.len());
        assert_eq!(run(&options), report, "seed {seed}");
        let untraced = Report { trace: Vec::new(), ..report };
        assert_eq!(run(&of(seed)), untraced, "looking at seed {seed} changes it");
    }
    assert_ne!(run(&Options { is_traced: true, ..of(1) }).trace, run(&Options { is_traced: true, ..of(2) }).trace);
}

#[test]
fn a_report_quotes_the_end_of_the_trace() {
    let report = run(&Options { is_traced: true, ..of(3) });
    assert_eq!(report.tail().len(), 40);
    assert_eq!(report.tail().last(), report.trace.last());
}

#[test]
fn skipping_the_fence_is_found() {
    assert_found(Bug::SkipFence, &[Law::OneOwner]);
}

#[test]
fn reading_without_the_fence_is_found() {
    assert_found(Bug::IgnoreFence, &[Law::NothingVoidLeaves, Law::StateIsReplay, Law::RestoredIsReplay]);
}

#[test]
fn progress_that_is_committed_before_the_append_is_found() {
    assert_found(Bug::ProgressBeforeAppend, &[Law::StateIsReplay, Law::InputOnce]);
}

#[test]
fn forgotten_deduplication_is_found() {
    assert_found(Bug::ForgetDeduplication, &[Law::InputOnce]);
}

#[test]
fn a_timer_that_fires_without_being_journaled_is_found() {
    assert_found(Bug::TimerNotJournaled, &[Law::TimerOnce, Law::StateIsReplay]);
}

#[test]
fn effects_on_the_bare_acknowledgement_are_found() {
    assert_found(Bug::BareAcknowledgement, &[Law::CommittedIsValid, Law::NothingVoidLeaves]);
}

#[test]
fn effects_that_count_as_sent_too_early_are_found() {
    assert_found(Bug::SentWithoutAcknowledgement, &[Law::WatermarkIsTrue, Law::EffectsInOrder]);
    assert_found(Bug::SkipFailedBatch, &[Law::WatermarkIsTrue, Law::EffectsInOrder]);
}

#[test]
fn what_a_successor_forgets_is_found() {
    assert_found(Bug::ForgetUnsentEffects, &[Law::ComesToRest, Law::EffectsInOrder]);
    assert_found(Bug::ForgetPendingCalls, &[Law::ComesToRest, Law::AnswerOnce]);
}

#[test]
fn a_store_of_another_past_is_found() {
    assert_found(Bug::StoreAheadOfItself, &[Law::StateIsReplay, Law::RestoredIsReplay]);
}
