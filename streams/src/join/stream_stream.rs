//! Two streams of the same key: records that happened close to each other.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::Unreadable;
use crate::limits::{JOIN_PARTNERS_MAX, JOIN_PARTNERS_PAGE, WINDOW_SPAN_MS_MAX, WINDOWS_CLOSED_BYTES_MAX, WINDOWS_CLOSED_MAX};
use crate::processor::{Context, Failure, Timer};
use crate::state::StateError;
use crate::topology::StoreSpec;
use crate::window::closing::Closing;
use crate::window::places;
use crate::window::stream_time::Clock;
use crate::window::windows::bounded;
use crate::window::{Window, WindowsError};

/// How close to each other two records must have happened, and how long late ones are waited for.
///
/// ```
/// use fluvio_streams::join::JoinWindows;
///
/// JoinWindows::within(60_000).grace(5_000); // at most a minute apart, whichever was first
/// JoinWindows::within(0).after(600_000); // the right one at most ten minutes after the left one, and not before it
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinWindows {
    before_ms: i64,
    after_ms: i64,
    grace_ms: i64,
    idle_ms: Option<i64>,
}

impl JoinWindows {
    /// Joins records that happened at most so long apart, whichever was first.
    pub const fn within(span_ms: i64) -> Self {
        Self { before_ms: span_ms, after_ms: span_ms, grace_ms: 0, idle_ms: None }
    }

    /// Lets the right record happen so long before the left one at most.
    pub const fn before(self, before_ms: i64) -> Self {
        Self { before_ms, ..self }
    }

    /// Lets the right record happen so long after the left one at most.
    pub const fn after(self, after_ms: i64) -> Self {
        Self { after_ms, ..self }
    }

    /// Takes records that are behind stream time by so much at most, in ms. Without it, only those that are not behind at all.
    pub const fn grace(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }

    /// Lets the clock end the wait for a partner if no record has done it, as [`crate::window::Windows::idle`].
    pub const fn idle(self, idle_ms: i64) -> Self {
        Self { idle_ms: Some(idle_ms), ..self }
    }

    fn check(&self) -> Result<(), WindowsError> {
        let spans =
            [("before_ms", self.before_ms, 0), ("after_ms", self.after_ms, 0), ("grace_ms", self.grace_ms, 0), ("idle_ms", self.idle_ms.unwrap_or(1), 1)];
        let wrong = spans.into_iter().find(|(_, value, min)| !(*min..=WINDOW_SPAN_MS_MAX).contains(value));
        wrong.map_or(Ok(()), |(setting, value, min)| Err(WindowsError::OutOfRange { setting, value, min, max: WINDOW_SPAN_MS_MAX }))
    }
}

/// What a record has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joins<L, R> {
    /// The record with each of its partners, in the order in which those happened.
    pub pairs: Vec<(L, R)>,
    /// Left records of any key that never had a partner and never will: final. Only of a left join.
    pub alone: Vec<Alone<L>>,
    /// The record came too late, and was not taken.
    pub is_late: bool,
}

/// A left record without a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alone<L> {
    /// Its key.
    pub key: String,
    /// When it happened, ms since the Unix epoch.
    pub time_ms: i64,
    /// What it says.
    pub value: L,
}

/// Joins two streams of the same key. Stateless itself: records wait for their partners in the stores of the task.
///
/// Two records of a key that happened close enough to each other ([`JoinWindows`]) are told as a pair, once, when the later of them comes; each record may have any number of partners. A left
/// join also tells the left records that had none, once it is known that none will come. A record is late, and not taken, if stream time has passed it by more than the grace. So which pairs
/// there are follows from which records were taken, in whichever order they came.
///
/// Stream time is one for both sides in a task. A record is forgotten as soon as stream time has passed all that it could be joined with.
///
/// What it costs: two entries for each record that waits, which are written when it comes and deleted when it is forgotten; a left join writes a left record once more when it finds its first
/// partner. What one record joins must fit into a transaction; one with too many partners goes to the dead letters.
///
/// ```
/// use fluvio_streams::join::{JoinWindows, StreamStream};
/// use fluvio_streams::processor::{Context, Failure, Input, Processor};
/// use fluvio_streams::window::event_time_ms;
///
/// /// Which offers led to an order within ten minutes, and which came to nothing.
/// struct Offers(StreamStream<String, u64>);
///
/// impl Processor for Offers {
///     fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
///         let (pairs, alone) = match input {
///             Input::Message(message) => {
///                 let (customer, time_ms) = (message.subject.as_deref().unwrap_or_default(), event_time_ms(cx, message));
///                 let joins = match message.kind.as_str() {
///                     "OfferMade" => self.0.left(cx, customer, time_ms, message.decode()?)?,
///                     _ => self.0.right(cx, customer, time_ms, message.decode()?)?,
///                 };
///                 (joins.pairs, joins.alone)
///             }
///             Input::Timer(timer) => (Vec::new(), self.0.on_timer(cx, timer)?.unwrap_or_default()),
///             Input::CallResult(_) => return Ok(()),
///         };
///         for (offer, order) in pairs {
///             cx.emit("offers", "OfferTaken", &offer, &order);
///         }
///         for offer in alone {
///             cx.emit("offers", "OfferExpired", &offer.value, &offer.key);
///         }
///         Ok(())
///     }
/// }
///
/// let windows = JoinWindows::within(0).after(600_000).grace(5_000);
/// let offers = Offers(StreamStream::left_join("offers", windows)?);
/// # Ok::<(), fluvio_streams::window::WindowsError>(())
/// ```
pub struct StreamStream<L, R> {
    windows: JoinWindows,
    tells_alone: bool,
    late_total: Option<&'static str>,
    closing: Closing,
    left: Waiting,
    right: Waiting,
    /// Store, in the order in which records are forgotten: place, side, number, key.
    ends: String,
    values: PhantomData<fn() -> (L, R)>,
}

impl<L, R> Clone for StreamStream<L, R> {
    fn clone(&self) -> Self {
        Self {
            windows: self.windows,
            tells_alone: self.tells_alone,
            late_total: self.late_total,
            closing: self.closing.clone(),
            left: self.left.clone(),
            right: self.right.clone(),
            ends: self.ends.clone(),
            values: PhantomData,
        }
    }
}

impl<L, R> fmt::Debug for StreamStream<L, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StreamStream").field("left", &self.left.store).field("windows", &self.windows).finish_non_exhaustive()
    }
}

/// A record that waits.
#[derive(Serialize, Deserialize)]
struct Kept<V> {
    value: V,
    /// It has had a partner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
}

/// The records of one side, by key and time.
#[derive(Debug, Clone)]
struct Waiting {
    store: String,
    side: char,
}

impl Waiting {
    /// Returns what all places of a key begin with, and those of no other: its length says where it ends.
    fn prefix(key: &str) -> String {
        format!("{:x}/{key}/", key.len())
    }

    fn place(key: &str, time_ms: i64, number: u64) -> String {
        format!("{}{}{number:016x}", Self::prefix(key), places::time(time_ms))
    }

    /// Returns the records of a key from one time to another, both inclusive, with their places.
    fn between<V: DeserializeOwned>(&self, cx: &Context<'_>, key: &str, from_ms: i64, to_ms: i64) -> Result<Vec<(String, Kept<V>)>, Failure> {
        let prefix = Self::prefix(key);
        let end = format!("{prefix}{}", places::time(to_ms + 1));
        let mut after = format!("{prefix}{}", places::time(from_ms));
        let mut found = Vec::new();
        loop {
            let page = cx.scan::<Kept<V>>(&self.store, &prefix, Some(&after), JOIN_PARTNERS_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after.clone_from(last);
            let (before, count) = (found.len(), page.len());
            found.extend(page.into_iter().take_while(|(place, _)| *place < end));
            if found.len() - before < count || count < JOIN_PARTNERS_PAGE {
                return Ok(found);
            }
            if found.len() > JOIN_PARTNERS_MAX {
                return Err(Unreadable(format!("it joins more than {JOIN_PARTNERS_MAX} records")).into());
            }
        }
    }
}

impl<L: Serialize + DeserializeOwned + Clone, R: Serialize + DeserializeOwned + Clone> StreamStream<L, R> {
    /// Returns a join of this name, unique within the processor, that tells pairs.
    ///
    /// # Errors
    /// [`WindowsError`] naming the setting that is out of its range.
    pub fn inner_join(name: &str, windows: JoinWindows) -> Result<Self, WindowsError> {
        windows.check()?;
        Ok(Self {
            closing: Closing::new(name, format!("{name}-forget"), windows.grace_ms, windows.idle_ms),
            windows,
            tells_alone: false,
            late_total: None,
            left: Waiting { store: format!("{name}-left"), side: 'l' },
            right: Waiting { store: format!("{name}-right"), side: 'r' },
            ends: format!("{name}-ends"),
            values: PhantomData,
        })
    }

    /// Returns a join of this name, unique within the processor, that tells pairs, and left records without a partner.
    ///
    /// # Errors
    /// [`WindowsError`] naming the setting that is out of its range.
    pub fn left_join(name: &str, windows: JoinWindows) -> Result<Self, WindowsError> {
        Ok(Self { tells_alone: true, ..Self::inner_join(name, windows)? })
    }

    /// Counts late records in this total of the processor, which should name it in [`crate::processor::Processor::totals`].
    pub fn late_total(self, name: &'static str) -> Self {
        Self { late_total: Some(name), ..self }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        let own = [StoreSpec::of::<Kept<L>>(&self.left.store), StoreSpec::of::<Kept<R>>(&self.right.store), StoreSpec::of::<()>(&self.ends)];
        self.closing.stores().into_iter().chain(own).collect()
    }

    /// Returns the names of its timers, for [`crate::processor::Processor::timers`].
    pub fn timers(&self) -> Vec<String> {
        self.closing.timers()
    }

    /// Takes a record of the left stream that happened at `time_ms` (see [`crate::window::event_time_ms`]).
    ///
    /// # Errors
    /// [`Failure`] if the store fails, a value does not decode, or it has too many partners.
    pub fn left(&self, cx: &mut Context<'_>, key: &str, time_ms: i64, value: L) -> Result<Joins<L, R>, Failure> {
        let JoinWindows { before_ms, after_ms, .. } = self.windows;
        self.observe(cx, time_ms, |cx, clock, time_ms| {
            let partners = self.right.between::<R>(cx, key, time_ms - before_ms, time_ms + after_ms)?;
            let kept = Kept { value: value.clone(), joined: !partners.is_empty() };
            self.keep(cx, clock, &self.left, key, Window { start_ms: time_ms, end_ms: time_ms + after_ms + 1 }, &kept);
            Ok(partners.into_iter().map(|(_, partner)| (value.clone(), partner.value)).collect())
        })
    }

    /// Takes a record of the right stream that happened at `time_ms` (see [`crate::window::event_time_ms`]).
    ///
    /// # Errors
    /// As [`StreamStream::left`].
    pub fn right(&self, cx: &mut Context<'_>, key: &str, time_ms: i64, value: R) -> Result<Joins<L, R>, Failure> {
        let JoinWindows { before_ms, after_ms, .. } = self.windows;
        self.observe(cx, time_ms, |cx, clock, time_ms| {
            let partners = self.left.between::<L>(cx, key, time_ms - after_ms, time_ms + before_ms)?;
            let kept = Kept { value: value.clone(), joined: false };
            self.keep(cx, clock, &self.right, key, Window { start_ms: time_ms, end_ms: time_ms + before_ms + 1 }, &kept);
            let mut pairs = Vec::with_capacity(partners.len());
            for (place, mut partner) in partners {
                if self.tells_alone && !partner.joined {
                    partner.joined = true;
                    cx.put(&self.left.store, &place, &partner);
                }
                pairs.push((partner.value, value.clone()));
            }
            Ok(pairs)
        })
    }

    /// Takes a timer. Returns `None` if it is not one of the join's, else left records that will have no partner: final. The processor must then not refuse the input: a timer that is taken
    /// back is lost until the next record.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn on_timer(&self, cx: &mut Context<'_>, timer: &Timer) -> Result<Option<Vec<Alone<L>>>, StateError> {
        let mut alone = Vec::new();
        let is_own = self.closing.on_timer(cx, timer, |cx, last, closed_to_ms| self.forget(cx, last, closed_to_ms, &mut alone))?;
        Ok(is_own.then_some(alone))
    }

    fn observe(
        &self,
        cx: &mut Context<'_>,
        time_ms: i64,
        take: impl FnOnce(&mut Context<'_>, &mut Clock, i64) -> Result<Vec<(L, R)>, Failure>,
    ) -> Result<Joins<L, R>, Failure> {
        let time_ms = bounded(time_ms);
        let mut alone = Vec::new();
        let observe = |cx: &mut Context<'_>, clock: &mut Clock| {
            let is_late = time_ms + self.windows.grace_ms < clock.observe(time_ms);
            let pairs = if is_late { Vec::new() } else { take(cx, clock, time_ms)? };
            if let Some(total) = self.late_total.filter(|_| is_late) {
                cx.add_total(total, 1)?;
            }
            Ok((pairs, is_late))
        };
        let seen = self.closing.step(cx, observe, |cx, last, closed_to_ms| self.forget(cx, last, closed_to_ms, &mut alone));
        seen.map(|(pairs, is_late)| Joins { pairs, alone, is_late })
    }

    /// Lets a record wait until stream time has passed `window` and the grace.
    fn keep<V: Serialize>(&self, cx: &mut Context<'_>, clock: &mut Clock, waiting: &Waiting, key: &str, window: Window, kept: &Kept<V>) {
        clock.taken += 1;
        let number = clock.taken;
        cx.put(&waiting.store, &Waiting::place(key, window.start_ms, number), kept);
        let end = places::place(window, &format!("{}{number:016x}/{key}", waiting.side));
        cx.put(&self.ends, &end, &());
        clock.opened(window.end_ms, &end);
    }

    /// Forgets records after the place `last`, which is moved along, that end by `closed_to_ms`; returns the window of the first one that is left.
    fn forget(&self, cx: &mut Context<'_>, last: &mut String, closed_to_ms: i64, alone: &mut Vec<Alone<L>>) -> Result<Option<Window>, StateError> {
        let (mut bytes, mut count) = (0, 0);
        for (place, _) in cx.scan::<Box<RawValue>>(&self.ends, "", Some(last), WINDOWS_CLOSED_MAX + 1)? {
            let (window, rest) = places::parse(&place)?;
            if window.end_ms > closed_to_ms || count >= WINDOWS_CLOSED_MAX || bytes > WINDOWS_CLOSED_BYTES_MAX {
                return Ok(Some(window));
            }
            let wrong = || StateError::Entry { key: place.clone(), detail: "it is not the end of a record's wait".to_owned() };
            let (numbered, key) = rest.split_once('/').ok_or_else(wrong)?;
            let is_left = numbered.starts_with(self.left.side);
            let number = u64::from_str_radix(numbered.get(1..).unwrap_or_default(), 16).map_err(|_| wrong())?;
            let waiting = if is_left { &self.left } else { &self.right };
            let at = Waiting::place(key, window.start_ms, number);
            if is_left && self.tells_alone {
                let kept: Option<Box<RawValue>> = cx.get(&waiting.store, &at)?;
                if let Some(raw) = kept {
                    bytes += raw.get().len();
                    let kept: Kept<L> = places::decode(&at, raw.get())?;
                    if !kept.joined {
                        alone.push(Alone { key: key.to_owned(), time_ms: window.start_ms, value: kept.value });
                    }
                }
            }
            bytes += 2 * (place.len() + at.len());
            count += 1;
            cx.delete(&waiting.store, &at);
            cx.delete(&self.ends, &place);
            *last = place;
        }
        Ok(None)
    }
}
