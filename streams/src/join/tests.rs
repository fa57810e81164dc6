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
