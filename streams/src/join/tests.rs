//! Joins against what two maps say.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::processor::Context;
use crate::state::StateError;
use crate::state::store::{MemoryStore, Store};

fn step<T>(store: &mut MemoryStore, act: impl FnOnce(&mut Context<'_>) -> Result<T, StateError>) -> T {
    let (result, draft) = {
        let mut cx = Context::new(store, 0, 0, 1, "test".to_owned());
        let result = act(&mut cx).expect("the store works");
        (result, cx.into_draft())
    };
    store.commit(draft.changes.into_iter().collect()).expect("the store works");
    result
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Inner), Just(Kind::Left), Just(Kind::Outer)]
}

/// (is it the left table, key, what it says)
fn records() -> impl Strategy<Value = Vec<(bool, u8, Option<u32>)>> {
    prop::collection::vec((any::<bool>(), 0_u8..4, prop::option::weighted(0.7, 0_u32..100)), 0..60)
}

fn model(kind: Kind, left: Option<u32>, right: Option<u32>) -> Option<Joined<u32, u32>> {
    let says = match kind {
        Kind::Inner => left.is_some() && right.is_some(),
        Kind::Left => left.is_some(),
        Kind::Outer => left.is_some() || right.is_some(),
    };
    says.then_some(Joined { left, right })
}

proptest! {
    /// After every record the joined table says what the two tables say, and whoever follows the changes knows it.
    #[test]
    fn a_joined_table_says_what_both_tables_say(kind in kinds(), records in records()) {
        let join = TableTable::new("joined", kind);
        let mut store = MemoryStore::default();
        let (mut lefts, mut rights, mut followed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (is_left, key, value) in records {
            let name = format!("k-{key}");
            let side = if is_left { &mut lefts } else { &mut rights };
            match value {
                Some(value) => drop(side.insert(key, value)),
                None => drop(side.remove(&key)),
            }
            let change = step(&mut store, |cx| if is_left { join.left(cx, &name, value) } else { join.right(cx, &name, value) });
            match change {
                Change::Updated(joined) => drop(followed.insert(key, joined)),
                Change::Removed => prop_assert!(followed.remove(&key).is_some(), "only what was told is taken back"),
                Change::Nothing => prop_assert!(!followed.contains_key(&key)),
            }
            for key in 0..4 {
                let expected = model(kind, lefts.get(&key).copied(), rights.get(&key).copied());
                prop_assert_eq!(followed.get(&key), expected.as_ref());
                prop_assert_eq!(step(&mut store, |cx| join.get(cx, &format!("k-{key}"))), expected);
            }
        }
    }
}

#[test]
fn nothing_is_kept_of_a_key_that_both_tables_have_forgotten() {
    let join: TableTable<u32, u32> = TableTable::new("joined", Kind::Inner);
    let mut store = MemoryStore::default();
    step(&mut store, |cx| join.left(cx, "a", Some(1)));
    step(&mut store, |cx| join.right(cx, "a", Some(1)));
    step(&mut store, |cx| join.left(cx, "a", None));
    step(&mut store, |cx| join.right(cx, "a", None));
    assert_eq!(step(&mut store, |cx| cx.scan::<serde_json::Value>("joined", "", None, 10)), []);
}

#[test]
fn a_record_of_the_stream_meets_the_table_as_it_is() {
    let join: StreamTable<String> = StreamTable::new("table");
    let mut store = MemoryStore::default();
    assert_eq!(step(&mut store, |cx| join.inner(cx, "a", 1)), None);
    assert_eq!(step(&mut store, |cx| join.left(cx, "a", 1)), (1, None));
    let x = "x".to_owned();
    step(&mut store, |cx| {
        join.update(cx, "a", Some(&x));
        Ok(())
    });
    assert_eq!(step(&mut store, |cx| join.inner(cx, "a", 2)), Some((2, x.clone())));
    assert_eq!(step(&mut store, |cx| join.left(cx, "a", 2)), (2, Some(x)));
    assert_eq!(step(&mut store, |cx| join.inner(cx, "b", 2)), None);
    step(&mut store, |cx| {
        join.update(cx, "a", None);
        Ok(())
    });
    assert_eq!(step(&mut store, |cx| join.inner(cx, "a", 3)), None);
}

/// A task with nothing but a join of two streams in it.
struct Streams {
    join: StreamStream<usize, usize>,
    store: MemoryStore,
    now_ms: i64,
    pairs: Vec<(usize, usize)>,
    alone: Vec<usize>,
    late: Vec<usize>,
}

impl Streams {
    fn new(windows: JoinWindows, is_left: bool) -> Self {
        let join = if is_left { StreamStream::left_join("close", windows) } else { StreamStream::inner_join("close", windows) };
        let join = join.expect("the windows can be").late_total("late");
        Self { join, store: MemoryStore::default(), now_ms: 0, pairs: Vec::new(), alone: Vec::new(), late: Vec::new() }
    }

    fn take(&mut self, is_left: bool, key: &str, time_ms: i64, id: usize) {
        let join = self.join.clone();
        let (joins, draft) = {
            let mut cx = Context::new(&self.store, self.now_ms, 0, 1, "test".to_owned());
            let taken = if is_left { join.left(&mut cx, key, time_ms, id) } else { join.right(&mut cx, key, time_ms, id) };
            (taken.expect("it is taken"), cx.into_draft())
        };
        self.store.commit(draft.changes.into_iter().collect()).expect("the store works");
        self.pairs.extend(joins.pairs);
        self.alone.extend(joins.alone.into_iter().map(|alone| alone.value));
        self.late.extend(joins.is_late.then_some(id));
        self.fire();
    }

    /// Lets all timers fire that are due.
    fn fire(&mut self) {
        loop {
            let (from, to) = crate::state::keys::family(b't');
            let first = crate::processor::StateReader::range(&self.store, &from, &to, 1).expect("the store works").pop();
            let Some(timer) = first.map(|(_, bytes)| serde_json::from_slice::<crate::processor::Timer>(&bytes).expect("it is a timer")) else { return };
            if timer.due_ms > self.now_ms {
                return;
            }
            let join = self.join.clone();
            let alone = step(&mut self.store, |cx| {
                cx.draft.changes.insert(crate::state::keys::timer(timer.due_ms, &timer.name, &timer.key), None);
                cx.draft.changes.insert(crate::state::keys::timer_index(&timer.name, &timer.key), None);
                join.on_timer(cx, &timer)
            });
            self.alone.extend(alone.expect("there is no other timer").into_iter().map(|alone| alone.value));
        }
    }

    fn entries(&self) -> usize {
        crate::processor::StateReader::range(&self.store, b"u", b"v", 100_000).expect("the store works").len()
    }
}

/// (is it left, key, when)
fn stream() -> impl Strategy<Value = Vec<(bool, u8, i64)>> {
    prop::collection::vec((any::<bool>(), 0_u8..3, -30_i64..120), 0..80)
}

proptest! {
    /// Whatever comes in whichever order: a pair is told once if both were taken and are close enough, and a left record alone if it was taken and is in no pair.
    #[test]
    fn streams_are_joined_as_the_model_says(records in stream(), before in 0_i64..20, after in 0_i64..20, grace in 0_i64..60, is_left in any::<bool>()) {
        let mut streams = Streams::new(JoinWindows::within(before).after(after).grace(grace), is_left);
        let (mut stream_ms, mut taken) = (i64::MIN, Vec::new());
        for (id, (left, key, time_ms)) in records.iter().enumerate() {
            streams.take(*left, &format!("{}/{}", "k".repeat(usize::from(*key)), key), *time_ms, id);
            stream_ms = stream_ms.max(*time_ms);
            if time_ms + grace >= stream_ms {
                taken.push(id);
            }
        }
        let late: Vec<usize> = (0..records.len()).filter(|id| !taken.contains(id)).collect();
        prop_assert_eq!(&streams.late, &late);
        let lefts = || taken.iter().copied().filter(|id| records[*id].0);
        let rights = || taken.iter().copied().filter(|id| !records[*id].0);
        let is_pair = |left: usize, right: usize| {
            let ((_, left_key, left_ms), (_, right_key, right_ms)) = (records[left], records[right]);
            left_key == right_key && (-before..=after).contains(&(right_ms - left_ms))
        };
        let mut expected: Vec<(usize, usize)> = lefts().flat_map(|left| rights().filter(move |right| is_pair(left, *right)).map(move |right| (left, right))).collect();
        expected.sort_unstable();
        // One that is far in the future ends every wait.
        streams.take(false, "end", 10_000, records.len());
        streams.pairs.sort_unstable();
        prop_assert_eq!(&streams.pairs, &expected);
        streams.alone.sort_unstable();
        let alone: Vec<usize> = lefts().filter(|left| is_left && !expected.iter().any(|(other, _)| other == left)).collect();
        prop_assert_eq!(&streams.alone, &alone);
        prop_assert_eq!(streams.entries(), 3, "of what cannot be joined any more nothing is kept: stream time, and two entries of the last record");
    }
}

#[test]
fn a_left_record_stays_alone_only_when_nobody_can_come_any_more() {
    let mut streams = Streams::new(JoinWindows::within(10).grace(5), true);
    streams.take(true, "k", 100, 1);
    streams.take(false, "other", 115, 2);
    assert!(streams.alone.is_empty(), "a right record of 110 would still be taken");
    streams.take(false, "k", 110, 3);
    streams.take(true, "k", 112, 4);
    streams.take(false, "other", 128, 5);
    assert_eq!((&streams.pairs[..], &streams.alone[..]), (&[(1, 3), (4, 3)][..], &[][..]));
    streams.take(true, "lonely", 130, 6);
    streams.take(false, "other", 146, 7);
    assert_eq!(streams.alone, [6]);
}

/// Goal: however many waits end at once, no step is too large, and everything is told.
#[test]
fn thousands_of_waits_that_end_at_once_end_in_steps() {
    let mut streams = Streams::new(JoinWindows::within(10), true);
    for id in 0..3_000 {
        streams.take(true, &format!("k-{id}"), 0, id);
    }
    streams.take(false, "other", 11, 3_000);
    assert_eq!(streams.alone.len(), 3_000);
}

#[test]
fn windows_of_a_join_that_cannot_be_are_refused_by_name() {
    for (windows, setting) in [
        (JoinWindows::within(-1), "before_ms"),
        (JoinWindows::within(1).after(i64::MAX), "after_ms"),
        (JoinWindows::within(1).grace(-1), "grace_ms"),
        (JoinWindows::within(1).idle(0), "idle_ms"),
    ] {
        let error = StreamStream::<u32, u32>::inner_join("close", windows).expect_err("they are refused");
        assert!(error.to_string().contains(&format!("`{setting}`")), "{error}");
    }
}
