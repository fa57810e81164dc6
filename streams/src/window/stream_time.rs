//! How far event time has come in a task.

use serde::{Deserialize, Serialize};

use super::windows::bounded;
use crate::limits::WINDOW_SPAN_MS_MAX;
use crate::processor::{Context, Timer};
use crate::state::StateError;
use crate::topology::StoreSpec;

/// Key of what a task has only one of.
const ONLY: &str = "";

/// Stream time: the newest event time that a task has observed. It never runs backwards, and it is part of the state: a restart changes nothing of it.
///
/// It goes on with records alone, so that what follows from it depends on the records and their order in the partition, not on when they are read: a backlog gives the same as live
/// records did. A source that falls silent stops it. Where that matters, [`StreamTime::idle`] lets the clock move it, with care: only to a time that somebody waits for
/// ([`StreamTime::expect`]), only after the task has run and observed nothing for the whole idle time, and only to where that time began: it takes one to two idle times. So after an outage a task takes its backlog
/// first, however long the outage was; but a source that stays away for longer than the idle time while the task runs will find its records late.
#[derive(Debug, Clone)]
pub struct StreamTime {
    store: String,
    timer: String,
    idle_ms: Option<i64>,
}

/// Stream time of one task. Read with every record, and written with most: one small entry a transaction.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// `None` before the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream_ms: Option<i64>,
    /// The next stream time that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected_ms: Option<i64>,
    /// No open window ends before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_end_ms: Option<i64>,
    /// Where closing goes on that was too much for one step: all windows up to this place are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// Number of the last record that a join has taken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) taken: u64,
    /// When the idle timer is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tick_ms: Option<i64>,
    /// Since when the task has run and observed nothing, as far as its timers can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quiet_ms: Option<i64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Clock {
    /// Remembers that something is open that ends then, and stands at this place in the order of ends.
    pub(crate) fn opened(&mut self, end_ms: i64, place: &str) {
        self.first_end_ms = Some(self.first_end_ms.map_or(end_ms, |first_end_ms| first_end_ms.min(end_ms)));
        // Only if the grace is longer than it was when closing began.
        if self.cursor.as_deref().is_some_and(|cursor| cursor >= place) {
            self.cursor = None;
        }
    }

    /// Takes the time of a record; returns stream time.
    pub(crate) fn observe(&mut self, time_ms: i64) -> i64 {
        let stream_ms = self.stream_ms.unwrap_or(time_ms).max(time_ms);
        self.stream_ms = Some(stream_ms);
        self.quiet_ms = None;
        stream_ms
    }

    /// Takes the idle timer. The first one that finds nothing new begins to watch, the next one, if it is on time, knows that the task has run meanwhile.
    fn tick(&mut self, due_ms: i64, now_ms: i64, idle_ms: i64) {
        self.tick_ms = None;
        let Some(expected_ms) = self.expected_ms.filter(|expected_ms| *expected_ms <= now_ms) else { return };
        match self.quiet_ms.filter(|quiet_ms| *quiet_ms >= expected_ms && now_ms - due_ms < idle_ms) {
            Some(quiet_ms) => self.stream_ms = self.stream_ms.max(Some(quiet_ms)),
            None => self.quiet_ms = Some(now_ms),
        }
    }
}

impl StreamTime {
    /// Returns the stream time of this name, unique within the processor, which goes on with records alone.
    pub fn new(name: &str) -> Self {
        Self { store: format!("{name}-time"), timer: format!("{name}-idle"), idle_ms: None }
    }

    /// Lets the clock move it to an expected time, once nothing was observed for so long since then: at least 1 ms, at most [`WINDOW_SPAN_MS_MAX`].
    pub fn idle(self, idle_ms: i64) -> Self {
        Self { idle_ms: Some(idle_ms.clamp(1, WINDOW_SPAN_MS_MAX)), ..self }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        vec![StoreSpec::of::<Clock>(&self.store)]
    }

    /// Returns the names of its timers, for [`crate::processor::Processor::timers`].
    pub fn timers(&self) -> Vec<String> {
        vec![self.timer.clone()]
    }

    /// Returns stream time, in ms since the Unix epoch; `None` before the first record.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn get(&self, cx: &Context<'_>) -> Result<Option<i64>, StateError> {
        Ok(self.load(cx)?.stream_ms)
    }

    /// Takes the time of a record; returns stream time, which is that or a later one.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn observe(&self, cx: &mut Context<'_>, time_ms: i64) -> Result<i64, StateError> {
        self.change(cx, |_, clock| Ok(clock.observe(bounded(time_ms))))
    }

    /// Says which stream time means something next, in place of what was said before: the clock brings it about if records do not. Without an idle time it does nothing.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn expect(&self, cx: &mut Context<'_>, stream_ms: i64) -> Result<(), StateError> {
        self.change(cx, |_, clock| {
            clock.expected_ms = Some(bounded(stream_ms));
            Ok(())
        })
    }

    /// Takes a timer. Returns `None` if it is not this one's; else stream time, if there is one: look whether it has reached what was expected, and expect something else if it has.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn on_timer(&self, cx: &mut Context<'_>, timer: &Timer) -> Result<Option<Option<i64>>, StateError> {
        if timer.name != self.timer {
            return Ok(None);
        }
        self.change(cx, |cx, clock| {
            self.tick(clock, timer, cx);
            Ok(Some(clock.stream_ms))
        })
    }

    /// Takes a timer, if it is this one's.
    pub(crate) fn tick(&self, clock: &mut Clock, timer: &Timer, cx: &Context<'_>) {
        if let Some(idle_ms) = self.idle_ms.filter(|_| timer.name == self.timer) {
            clock.tick(timer.due_ms, cx.now_ms(), idle_ms);
        }
    }

    pub(crate) fn is_timer(&self, timer: &Timer) -> bool {
        timer.name == self.timer
    }

    fn load(&self, cx: &Context<'_>) -> Result<Clock, StateError> {
        Ok(cx.get(&self.store, ONLY)?.unwrap_or_default())
    }

    /// Writes what has changed, and sees to it that the clock looks in when it may have to.
    fn save(&self, cx: &mut Context<'_>, before: &Clock, clock: &mut Clock) -> Result<(), StateError> {
        if let (Some(idle_ms), Some(expected_ms)) = (self.idle_ms, clock.expected_ms)
            && clock.stream_ms.is_none_or(|stream_ms| stream_ms < expected_ms)
        {
            let now_ms = cx.now_ms();
            let due_ms = expected_ms.max(clock.quiet_ms.map_or(now_ms, |quiet_ms| quiet_ms + idle_ms));
            // One that is due too early looks and is set again: moving it with each record would cost more. One that is long overdue was lost with an input that failed.
            let serves = |tick_ms: i64| tick_ms <= due_ms + idle_ms && now_ms < tick_ms + idle_ms;
            if !clock.tick_ms.is_some_and(serves) {
                clock.tick_ms = Some(due_ms);
                cx.set_timer(&self.timer, ONLY, due_ms)?;
            }
        }
        if clock != before {
            cx.put(&self.store, ONLY, clock);
        }
        Ok(())
    }

    /// Lets `act` change the clock, and writes it.
    ///
    /// # Errors
    /// That of `act`, else [`StateError`] if the store fails.
    pub(crate) fn change<T, E: From<StateError>>(&self, cx: &mut Context<'_>, act: impl FnOnce(&mut Context<'_>, &mut Clock) -> Result<T, E>) -> Result<T, E> {
        let before = self.load(cx)?;
        let mut clock = before.clone();
        let result = act(cx, &mut clock)?;
        self.save(cx, &before, &mut clock)?;
        Ok(result)
    }
}
