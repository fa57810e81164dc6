//! Windows: values of records gathered by key and event time.
//!
//! | windows | of a key there are | for example |
//! |---|---|---|
//! | [`Windows::tumbling`] | one after the other, of one size | orders of each hour |
//! | [`Windows::hopping`] | of one size, one beginning every so often: they overlap | the last hour, every five minutes |
//! | [`Windows::session`] | as many as its records make, each as long as they follow each other closely | visits to a page |
//!
//! A [`WindowedAggregate`] is a value inside a processor, as a [`crate::guard::Guard`] is: it works on the processor's [`Context`], and all it remembers is in the stores of the task. So
//! what holds for a task holds for its windows: a kill, a restart or a move in the middle of a window changes nothing of what is told of it.
//!
//! **Time.** A window goes by *event time*: when something happened, as the record says ([`event_time_ms`]). How far it has come, *stream time*, is the newest event time that the task has
//! observed ([`StreamTime`]): each partition has its own, and one record from the future makes all that follow it late.
//!
//! **Closing.** A window takes records until stream time reaches its end plus the grace; then it is closed, told once, and forgotten. A record that comes later is late: it is counted
//! ([`WindowedAggregate::late_total`]), and the caller is told which windows did not take it ([`Observation::missed`]) and may do more, for example send it to another topic.
//! Updates and closed windows are told apart, so to suppress what is not final, leave [`Observation::updated`] alone.
//!
//! **Silence.** Stream time stands still while no records come, and so the last windows stay open, as in Kafka Streams. [`Windows::idle`] lets the clock close them.
//!
//! What it is not: a store of old windows. Who wants to ask for them puts what is told into a view ([`crate::projection`]).
//!
//! Where to start reading: [`WindowedAggregate`], then [`StreamTime`]. How and why: `docs/adr/0005-windows-and-joins.md`.

mod aggregate;
pub(crate) mod closing;
pub(crate) mod places;
mod sessions;
pub(crate) mod stream_time;
pub(crate) mod windows;

pub use aggregate::{Observation, Windowed, WindowedAggregate};
pub use stream_time::StreamTime;
pub use windows::{Window, Windows, WindowsError, floor};

use crate::envelope::Message;
use crate::processor::Context;

/// Returns the time of a message for windows: its own, or now if nobody knows it. A time that is still to come counts as now, so that a clock that is ahead makes no other record late.
/// "Now" is that of the step, which is journaled, but another one when a topic is read again from its beginning: where it matters, see to it that records say when they happened.
pub fn event_time_ms(cx: &Context<'_>, message: &Message) -> i64 {
    match message.time_ms {
        ..0 => cx.now_ms(),
        time_ms => time_ms.min(cx.now_ms()),
    }
}

#[cfg(test)]
mod tests;
