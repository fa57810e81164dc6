//! One task with nothing but an aggregate in it.

use std::cell::Cell;

use crate::processor::{Context, Draft, Entry, StateReader, Timer};
use crate::state::store::{MemoryStore, Store};
use crate::state::{StateError, keys};
use crate::window::{Observation, Windowed, WindowedAggregate, Windows};

pub(super) const LATE: &str = "late";

type Ids = Vec<usize>;

/// A store that knows how much was asked of it.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    gets: Cell<usize>,
    ranges: Cell<usize>,
    entries: Cell<usize>,
}

impl StateReader for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.gets.set(self.gets.get() + 1);
        self.store.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StateError> {
        let found = self.store.range(from, to, limit)?;
        self.ranges.set(self.ranges.get() + 1);
        self.entries.set(self.entries.get() + found.len());
        Ok(found)
    }
}

/// A task. Values are the numbers of the records, in the order in which they were combined.
pub(super) struct World {
    aggregate: WindowedAggregate<Ids>,
    store: Counting,
    pub(super) now_ms: i64,
    pub(super) closed: Vec<Windowed<Ids>>,
    /// Whether timers fire that are due.
    pub(super) fire: bool,
    /// Timers that have fired.
    pub(super) fired: usize,
}

fn concat(mut earlier: Ids, later: Ids) -> Ids {
    earlier.extend(later);
    earlier
}

fn aggregate(windows: Windows) -> WindowedAggregate<Ids> {
    WindowedAggregate::new("test", windows, concat).expect("the windows can be").late_total(LATE)
}

impl World {
    pub(super) fn new(windows: Windows) -> Self {
        Self { aggregate: aggregate(windows), store: Counting::default(), now_ms: 0, closed: Vec::new(), fire: true, fired: 0 }
    }

    /// The next version of the program has other windows.
    pub(super) fn changed(self, windows: Windows) -> Self {
        Self { aggregate: aggregate(windows), ..self }
    }

    pub(super) fn observe(&mut self, key: &str, time_ms: i64, id: usize) -> Observation<Ids> {
        self.observe_all(key, time_ms, vec![id])
    }

    /// Takes a record, and then all timers that are due.
    pub(super) fn observe_all(&mut self, key: &str, time_ms: i64, ids: Ids) -> Observation<Ids> {
        let aggregate = self.aggregate.clone();
        let seen = self.step(|cx| aggregate.observe(cx, key, time_ms, ids));
        self.closed.extend(seen.closed.iter().cloned());
        if self.fire {
            self.fire_due();
        }
        seen
    }

    pub(super) fn wait_until(&mut self, now_ms: i64) {
        while let Some(timer) = self.first_timer().filter(|timer| timer.due_ms <= now_ms) {
            self.now_ms = self.now_ms.max(timer.due_ms);
            self.fire_due();
        }
        self.now_ms = now_ms;
    }

    pub(super) fn fire_due(&mut self) {
        while let Some(timer) = self.first_timer().filter(|timer| timer.due_ms <= self.now_ms) {
            self.fired += 1;
            let aggregate = self.aggregate.clone();
            let closed = self.step(|cx| {
                forget(&mut cx.draft, &timer);
                aggregate.on_timer(cx, &timer)
            });
            self.closed.extend(closed.expect("there is no other timer"));
        }
    }

    pub(super) fn lose_timers(&mut self) {
        while let Some(timer) = self.first_timer() {
            self.step(|cx| {
                forget(&mut cx.draft, &timer);
                Ok(())
            });
        }
    }

    pub(super) fn timers(&self) -> usize {
        self.entries(b't').len()
    }

    pub(super) fn total(&self, name: &str) -> i64 {
        self.context().total(name).expect("the store works")
    }

    /// Open windows in the order of their places.
    pub(super) fn open(&self) -> Vec<Windowed<Ids>> {
        let found = self.context().scan::<Ids>("test-windows", "", None, usize::MAX / 2).expect("the store works");
        let parse = |(place, value): (String, Ids)| {
            let (window, key) = super::super::places::parse(&place).expect("it is a place");
            Windowed { key: key.to_owned(), window, value }
        };
        found.into_iter().map(parse).collect()
    }

    /// (gets, ranges, entries of ranges) that a record costs.
    pub(super) fn cost(&mut self, key: &str, time_ms: i64) -> (usize, usize, usize) {
        let counters = |world: &Self| (world.store.gets.get(), world.store.ranges.get(), world.store.entries.get());
        let before = counters(self);
        self.observe(key, time_ms, 0);
        let after = counters(self);
        (after.0 - before.0, after.1 - before.1, after.2 - before.2)
    }

    fn context(&self) -> Context<'_> {
        Context::new(&self.store, self.now_ms, 0, 1, "test".to_owned())
    }

    fn first_timer(&self) -> Option<Timer> {
        self.entries(b't').first().map(|(_, bytes)| serde_json::from_slice(bytes).expect("it is a timer"))
    }

    fn entries(&self, family: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (from, to) = keys::family(family);
        self.store.store.range(&from, &to, usize::MAX).expect("the store works")
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Context<'_>) -> Result<T, StateError>) -> T {
        let (result, draft) = {
            let mut cx = self.context();
            let result = act(&mut cx).expect("the store works");
            (result, cx.into_draft())
        };
        self.store.store.commit(draft.changes.into_iter().collect()).expect("the store works");
        result
    }
}

/// A timer that fires is gone, whatever the processor makes of it.
fn forget(draft: &mut Draft, timer: &Timer) {
    draft.changes.insert(keys::timer(timer.due_ms, &timer.name, &timer.key), None);
    draft.changes.insert(keys::timer_index(&timer.name, &timer.key), None);
}
