//! Ends what stream time has passed: windows of an aggregate, records of a join that wait for a partner.

use super::places;
use super::stream_time::{Clock, StreamTime};
use super::windows::Window;
use crate::processor::{Context, Timer};
use crate::state::StateError;
use crate::topology::StoreSpec;

/// Ends what stream time has passed by the grace, the first to end first: so much as one step may; the rest is the next one's.
///
/// What is still to come ends after all of it, so what was searched once is never searched again: not even what is left of deleted entries in a store.
///
/// Its callers say how: `close` ends what stands after the place that it is given and ends by that time, moves the place along, and returns the window of the first that is left.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    time: StreamTime,
    grace_ms: i64,
    /// The one timer that goes on.
    timer: String,
}

impl Closing {
    /// Returns that of this name; `timer` is the name of its own timer.
    pub(crate) fn new(name: &str, timer: String, grace_ms: i64, idle_ms: Option<i64>) -> Self {
        let time = StreamTime::new(name);
        let time = match idle_ms {
            Some(idle_ms) => time.idle(idle_ms),
            None => time,
        };
        Self { time, grace_ms, timer }
    }

    pub(crate) fn stores(&self) -> Vec<StoreSpec> {
        self.time.stores()
    }

    pub(crate) fn timers(&self) -> Vec<String> {
        [self.time.timers(), vec![self.timer.clone()]].concat()
    }

    /// Lets a record `act`, and ends what is over then.
    ///
    /// # Errors
    /// That of `act`, else [`StateError`] if the store fails or a value does not decode.
    pub(crate) fn step<T, E: From<StateError>>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Context<'_>, &mut Clock) -> Result<T, E>,
        close: impl FnOnce(&mut Context<'_>, &mut String, i64) -> Result<Option<Window>, StateError>,
    ) -> Result<T, E> {
        self.time.change(cx, |cx, clock| {
            let result = act(cx, clock)?;
            self.close(cx, clock, close)?;
            Ok(result)
        })
    }

    /// Takes a timer, and ends what is over then. Returns whether it is one of its own.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub(crate) fn on_timer(
        &self,
        cx: &mut Context<'_>,
        timer: &Timer,
        close: impl FnOnce(&mut Context<'_>, &mut String, i64) -> Result<Option<Window>, StateError>,
    ) -> Result<bool, StateError> {
        if timer.name != self.timer && !self.time.is_timer(timer) {
            return Ok(false);
        }
        let tick = |cx: &mut Context<'_>, clock: &mut Clock| {
            // The grace may be another one than when the clock was written.
            self.expect(clock);
            self.time.tick(clock, timer, cx);
            Ok(true)
        };
        self.step(cx, tick, close)
    }

    fn close(
        &self,
        cx: &mut Context<'_>,
        clock: &mut Clock,
        close: impl FnOnce(&mut Context<'_>, &mut String, i64) -> Result<Option<Window>, StateError>,
    ) -> Result<(), StateError> {
        let is_over = |end_ms: i64, stream_ms: i64| end_ms + self.grace_ms <= stream_ms;
        if let (Some(stream_ms), Some(first_end_ms)) = (clock.stream_ms, clock.first_end_ms)
            && is_over(first_end_ms, stream_ms)
        {
            let mut last = clock.cursor.take().unwrap_or_else(|| places::before_end(first_end_ms));
            let rest = close(cx, &mut last, stream_ms - self.grace_ms)?;
            clock.first_end_ms = rest.map(|window| window.end_ms);
            if rest.is_some_and(|window| is_over(window.end_ms, stream_ms)) {
                clock.cursor = Some(last);
                cx.set_timer(&self.timer, "", cx.now_ms())?;
            }
        }
        self.expect(clock);
        Ok(())
    }

    fn expect(&self, clock: &mut Clock) {
        clock.expected_ms = clock.first_end_ms.map(|end_ms| end_ms + self.grace_ms);
    }
}
