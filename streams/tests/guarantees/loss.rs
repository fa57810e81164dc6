//! What an owner makes of an append that did not land where it had to: an incarnation that lost a race ends quietly, a broker that lost records is an alarm.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fluvio_streams::journal::JournalRecord;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::record::LogRecord;
use fluvio_streams::state::store::{MemoryStores, Stores as _};
use fluvio_streams::task::{Stop, Task, Work};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source};

/// Counts what it is told.
struct Counter;

impl Processor for Counter {
    fn process(&self, _: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        context.add_total("commands", 1)?;
        Ok(())
    }
}

/// Returns a task that has read nothing yet.
fn opened() -> Task {
    let spec = ProcessorSpec {
        name: "counter".into(),
        sources: vec![Source::commands("commands", "key", Routing::Except(vec![]))],
        sinks: Vec::new(),
        journal: "counter-journal".into(),
        stores: Vec::new(),
        calls: Vec::new(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic: Arc::new(Counter),
    };
    let store = MemoryStores::default().open("counter-0").expect("a store in memory opens");
    let mut task = Task::open("counting", spec, 0, 1, "me".into(), store).expect("it opens");
    task.replay_from(0, 0).expect("an empty journal can be read");
    task
}

/// Returns an owner whose fence stands at offset 0 and whose first transaction, which waits for its acknowledgement, must land at offset 1.
fn owner_with_a_transaction() -> Task {
    let mut task = opened();
    let fence = Bytes::from(task.fence(0));
    task.replay(0, &fence).expect("its fence can be read");
    task.own().expect("nobody else wants it");
    let command = LogRecord { offset: 0, timestamp_ms: 1_000, key: Some("k".into()), value: Bytes::from_static(br#"{"type":"Count","key":"k"}"#) };
    let (transaction, _) = task.step(&mut VecDeque::from([Work::Record(0, command)]), 1_000).expect("it is a command");
    assert!(transaction.is_some(), "it changed something");
    task
}

/// `T1`: somebody else's record stands at the place: the owner cannot know what its own counts for, and its successor reads it.
#[test]
fn an_append_that_lands_later_than_it_had_to_ends_the_incarnation_in_doubt() {
    let stop = owner_with_a_transaction().committed(2).expect_err("it landed elsewhere");
    assert!(matches!(stop, Stop::Doubt { expected: 1, landed: 2 }), "{stop}");
}

/// A log only grows. One that is shorter than what it acknowledged has lost something, and nobody but the operator can say what.
#[test]
fn an_append_that_lands_before_its_place_is_told_as_a_loss() {
    let stop = owner_with_a_transaction().committed(0).expect_err("it landed elsewhere");
    assert!(matches!(stop, Stop::JournalWentBack { expected: 1, landed: 0 }), "{stop}");
    assert_eq!(stop.kind(), "journal_went_back");
    assert!(stop.to_string().contains("lost acknowledged records"), "{stop}");
}

fn epoch(fence: &[u8]) -> u64 {
    let Ok(JournalRecord::Fence(fence)) = JournalRecord::decode(fence) else { panic!("it is a fence") };
    fence.epoch
}

/// A fence that a broker lost was in force, and others have taken what was sent under it: its epoch must mean nothing else, whoever comes next.
#[test]
fn an_epoch_that_was_lost_is_not_used_again() {
    let mut task = opened();
    let fence = task.fence(5_000);
    assert_eq!((epoch(&fence), epoch(&opened().fence(6_000))), (5_000, 6_000), "the journal is as empty as before");
    // However the clocks are, a fence that is there is followed by a greater one.
    task.replay(0, &Bytes::from(fence)).expect("it can be read");
    assert_eq!([4_000, 5_000, 5_007].map(|now_ms| epoch(&task.fence(now_ms))), [5_001, 5_001, 5_007]);
}
