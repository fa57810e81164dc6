//! One value for each key and window.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::closing::Closing;
use super::stream_time::Clock;
use super::windows::{Shape, Window, Windows, WindowsError, bounded, fixed};
use super::{places, sessions};
use crate::limits::{WINDOWS_CLOSED_BYTES_MAX, WINDOWS_CLOSED_MAX};
use crate::processor::{Context, Timer};
use crate::state::StateError;
use crate::topology::StoreSpec;

/// The value of a key in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windowed<A> {
    /// Whose.
    pub key: String,
    /// When.
    pub window: Window,
    /// What.
    pub value: A,
}

/// What a record has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<A> {
    /// The record's windows with their new values, the oldest first; for sessions, the one that it began or joined. Emit them to tell every update; to be silent until windows close,
    /// leave them.
    pub updated: Vec<Windowed<A>>,
    /// Sessions of the key that are now part of the one in `updated`: whoever was told of them should forget them.
    pub replaced: Vec<Window>,
    /// Windows of the record that were closed already, so that they did not take it.
    pub missed: Vec<Window>,
    /// Windows that stream time has closed, of any key: final.
    pub closed: Vec<Windowed<A>>,
}

impl<A> Observation<A> {
    /// Returns true if at least one of the record's windows was closed already.
    pub fn is_late(&self) -> bool {
        !self.missed.is_empty()
    }
}

/// Gathers values of records in windows. Stateless itself: everything it remembers is in the stores of the task.
///
/// Each record has a value, and values of one key and window are combined, in the order in which they come; sessions that a record joins are combined in the order of their times, the
/// record's value last. What the order of records must not change, the function must not either: make it commutative and associative, as `u64::saturating_add`, `i64::max` or the union
/// of sets.
///
/// A window is open until stream time reaches its end and the grace after it. Then it is closed: it is reported once, leaves the store, and whatever comes for it later is late. Closing
/// many windows takes several steps ([`WINDOWS_CLOSED_MAX`], [`WINDOWS_CLOSED_BYTES_MAX`]), and records in between are taken as if all were closed at once. What a processor emits for the
/// windows of one step must fit into a transaction.
///
/// What it costs, for each record: the entries of its windows and of stream time are read and written; nothing is searched for but the neighbours of a session. State is one entry a key
/// and open window, and a small one more for sessions.
///
/// ```
/// use fluvio_streams::processor::{Context, Failure, Input, Processor};
/// use fluvio_streams::window::{WindowedAggregate, Windows, event_time_ms};
///
/// struct Views(WindowedAggregate<u64>);
///
/// impl Processor for Views {
///     fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
///         let closed = match input {
///             Input::Message(message) => {
///                 let time_ms = event_time_ms(cx, message);
///                 self.0.observe(cx, message.subject.as_deref().unwrap_or("unknown"), time_ms, 1)?.closed
///             }
///             Input::Timer(timer) => self.0.on_timer(cx, timer)?.unwrap_or_default(),
///             Input::CallResult(_) => Vec::new(),
///         };
///         for views in closed {
///             cx.emit("views-events", "ViewsCounted", &views.key, &(views.window, views.value));
///         }
///         Ok(())
///     }
/// }
///
/// let windows = Windows::tumbling(60_000).grace(5_000);
/// let views = Views(WindowedAggregate::new("views", windows, u64::saturating_add)?);
/// # Ok::<(), fluvio_streams::window::WindowsError>(())
/// ```
pub struct WindowedAggregate<A> {
    windows: Windows,
    combine: fn(A, A) -> A,
    late_total: Option<&'static str>,
    closing: Closing,
    /// Store, ordered by the end of windows: place -> value.
    values: String,
    /// Store of sessions: place by key -> start.
    sessions: String,
}

impl<A> Clone for WindowedAggregate<A> {
    fn clone(&self) -> Self {
        Self {
            windows: self.windows,
            combine: self.combine,
            late_total: self.late_total,
            closing: self.closing.clone(),
            values: self.values.clone(),
            sessions: self.sessions.clone(),
        }
    }
}

impl<A> fmt::Debug for WindowedAggregate<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WindowedAggregate").field("values", &self.values).field("windows", &self.windows).finish_non_exhaustive()
    }
}

impl<A: Clone + Serialize + DeserializeOwned> WindowedAggregate<A> {
    /// Returns an aggregate of this name, unique within the processor. `combine` makes one value of an earlier and a later one.
    ///
    /// # Errors
    /// [`WindowsError`] naming the setting that is out of its range.
    pub fn new(name: &str, windows: Windows, combine: fn(A, A) -> A) -> Result<Self, WindowsError> {
        windows.check()?;
        Ok(Self {
            closing: Closing::new(name, format!("{name}-close"), windows.grace_ms, windows.idle_ms),
            windows,
            combine,
            late_total: None,
            values: format!("{name}-windows"),
            sessions: format!("{name}-sessions"),
        })
    }

    /// Counts late records in this total of the processor, which should name it in [`crate::processor::Processor::totals`]: records that at least one of their windows did not take.
    pub fn late_total(self, name: &'static str) -> Self {
        Self { late_total: Some(name), ..self }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`]. That of values has the aggregate's type; to give it versions, take it out by its name, `<aggregate>-windows`.
    pub fn stores(&self) -> Vec<StoreSpec> {
        let mut stores = self.closing.stores();
        stores.push(StoreSpec::of::<A>(&self.values));
        if matches!(self.windows.shape, Shape::Session { .. }) {
            stores.push(StoreSpec::of::<i64>(&self.sessions));
        }
        stores
    }

    /// Returns the names of its timers, for [`crate::processor::Processor::timers`].
    pub fn timers(&self) -> Vec<String> {
        self.closing.timers()
    }

    /// Takes the value of a record of `key` that happened at `time_ms` (see [`super::event_time_ms`]), and says what it has changed.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn observe(&self, cx: &mut Context<'_>, key: &str, time_ms: i64, value: A) -> Result<Observation<A>, StateError> {
        let time_ms = bounded(time_ms);
        let mut closed = Vec::new();
        let take = |cx: &mut Context<'_>, clock: &mut Clock| {
            let closed_to_ms = clock.observe(time_ms) - self.windows.grace_ms;
            let seen = match self.windows.shape {
                Shape::Fixed { size_ms, advance_ms } => self.add(cx, key, fixed(size_ms, advance_ms, time_ms), closed_to_ms, &value)?,
                Shape::Session { gap_ms } => self.join(cx, key, Window { start_ms: time_ms, end_ms: time_ms + gap_ms }, closed_to_ms, value)?,
            };
            seen.updated.iter().for_each(|updated| clock.opened(updated.window.end_ms, &places::place(updated.window, &updated.key)));
            if let Some(total) = self.late_total.filter(|_| seen.is_late()) {
                cx.add_total(total, 1)?;
            }
            Ok(seen)
        };
        let seen = self.closing.step(cx, take, |cx, last, closed_to_ms| self.close(cx, last, closed_to_ms, &mut closed));
        seen.map(|seen| Observation { closed, ..seen })
    }

    /// Takes a timer. Returns `None` if it is not one of the aggregate's, else windows that are closed by it: final. The processor must then not refuse the input: a timer that is taken
    /// back is lost until the next record.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn on_timer(&self, cx: &mut Context<'_>, timer: &Timer) -> Result<Option<Vec<Windowed<A>>>, StateError> {
        let mut closed = Vec::new();
        let is_own = self.closing.on_timer(cx, timer, |cx, last, closed_to_ms| self.close(cx, last, closed_to_ms, &mut closed))?;
        Ok(is_own.then_some(closed))
    }

    /// Returns the value of a key in an open window; of a session, as it was reported last.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or the value does not decode.
    pub fn get(&self, cx: &Context<'_>, key: &str, window: Window) -> Result<Option<A>, StateError> {
        cx.get(&self.values, &places::place(window, key))
    }

    /// Adds a value to windows that are the same for all keys.
    fn add(&self, cx: &mut Context<'_>, key: &str, windows: impl Iterator<Item = Window>, closed_to_ms: i64, value: &A) -> Result<Observation<A>, StateError> {
        let (mut updated, mut missed) = (Vec::new(), Vec::new());
        for window in windows {
            if window.end_ms <= closed_to_ms {
                missed.push(window);
                continue;
            }
            let value = match self.get(cx, key, window)? {
                Some(earlier) => (self.combine)(earlier, value.clone()),
                None => value.clone(),
            };
            updated.push(self.put(cx, key, window, value));
        }
        Ok(Observation { updated, replaced: Vec::new(), missed, closed: Vec::new() })
    }

    /// Joins a session of one record with those of its key that it overlaps.
    fn join(&self, cx: &mut Context<'_>, key: &str, alone: Window, closed_to_ms: i64, value: A) -> Result<Observation<A>, StateError> {
        let neighbours = sessions::overlapping(cx, &self.sessions, key, alone, closed_to_ms)?;
        if neighbours.is_empty() && alone.end_ms <= closed_to_ms {
            return Ok(Observation { updated: Vec::new(), replaced: Vec::new(), missed: vec![alone], closed: Vec::new() });
        }
        let window = neighbours
            .iter()
            .fold(alone, |joined, session| Window { start_ms: joined.start_ms.min(session.start_ms), end_ms: joined.end_ms.max(session.end_ms) });
        let mut joined: Option<A> = None;
        for session in &neighbours {
            let value = self.get(cx, key, *session)?;
            joined = match (joined, value) {
                (Some(earlier), Some(later)) => Some((self.combine)(earlier, later)),
                (earlier, later) => earlier.or(later),
            };
            cx.delete(&self.values, &places::place(*session, key));
            sessions::remove(cx, &self.sessions, key, *session);
        }
        let value = match joined {
            Some(earlier) => (self.combine)(earlier, value),
            None => value,
        };
        sessions::insert(cx, &self.sessions, key, window);
        let updated = vec![self.put(cx, key, window, value)];
        let replaced = neighbours.into_iter().filter(|session| *session != window).collect();
        Ok(Observation { updated, replaced, missed: Vec::new(), closed: Vec::new() })
    }

    fn put(&self, cx: &mut Context<'_>, key: &str, window: Window, value: A) -> Windowed<A> {
        cx.put(&self.values, &places::place(window, key), &value);
        Windowed { key: key.to_owned(), window, value }
    }

    /// Closes windows after the place `last`, which is moved along, that end by `closed_to_ms`; returns the first one that is left.
    fn close(&self, cx: &mut Context<'_>, last: &mut String, closed_to_ms: i64, closed: &mut Vec<Windowed<A>>) -> Result<Option<Window>, StateError> {
        let mut bytes = 0;
        for (place, raw) in cx.scan::<Box<RawValue>>(&self.values, "", Some(last), WINDOWS_CLOSED_MAX + 1)? {
            let (window, key) = places::parse(&place)?;
            bytes += 2 * place.len() + raw.get().len();
            let is_too_much = closed.len() >= WINDOWS_CLOSED_MAX || (bytes > WINDOWS_CLOSED_BYTES_MAX && !closed.is_empty());
            if window.end_ms > closed_to_ms || is_too_much {
                return Ok(Some(window));
            }
            let value = places::decode(&place, raw.get())?;
            if matches!(self.windows.shape, Shape::Session { .. }) {
                sessions::remove(cx, &self.sessions, key, window);
            }
            cx.delete(&self.values, &place);
            closed.push(Windowed { key: key.to_owned(), window, value });
            *last = place;
        }
        Ok(None)
    }
}
