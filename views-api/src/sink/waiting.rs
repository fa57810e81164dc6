//! Tells how far a view is behind while it does not go on: whoever writes tells it with each batch, but whoever cannot write tells nothing, just when somebody wants to know.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Sink;
use crate::limits::LAG_LOOK_INTERVAL;
use crate::telemetry::Event;

/// Where the view of a partition is.
#[derive(Debug)]
pub(super) struct Position {
    /// First offset that it has not taken; -1: not known.
    taken: AtomicI64,
    /// It has something to do and has not done it.
    is_busy: AtomicBool,
    /// First offset that it need not have taken to be fit for use: where the topic ended when this process began with it. -1: not known.
    fit_at: AtomicI64,
}

impl Default for Position {
    fn default() -> Self {
        Self { taken: AtomicI64::new(-1), is_busy: AtomicBool::new(true), fit_at: AtomicI64::new(-1) }
    }
}

impl Position {
    /// Has something to do.
    pub(super) fn begins(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
    }

    /// Hears where the topic ends. Only the first time counts: a view that was fit once stays so, as late as it may be.
    pub(super) fn hears_of_end(&self, end: i64) {
        let _ = self.fit_at.compare_exchange(-1, end, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns how many records it has to take before it is fit for use: whoever read it before would miss what has been there for long.
    pub(super) fn records_until_fit(&self) -> i64 {
        (self.fit_at.load(Ordering::Relaxed) - self.taken.load(Ordering::Relaxed)).max(0)
    }

    /// Has taken everything before this offset.
    pub(super) fn has_taken(&self, next_offset: i64) {
        self.taken.store(next_offset, Ordering::Relaxed);
        self.is_busy.store(false, Ordering::Relaxed);
    }
}

/// Looks again and again whether the view goes on, and tells how far it is behind if it does not. Never ends.
pub(super) async fn watch(sink: &Sink, partition: u32, position: &Position) {
    let mut seen = -1;
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(LAG_LOOK_INTERVAL).await;
        let taken = position.taken.load(Ordering::Relaxed);
        let goes_on = taken != seen || !position.is_busy.load(Ordering::Relaxed);
        seen = taken;
        if goes_on || taken < 0 {
            since = None;
            continue;
        }
        // A log that does not answer does not tell how much there is, either.
        let Ok(held) = sink.log.offsets(&sink.view.topic, partition).await else { continue };
        let behind = (held.end - taken).max(0);
        let waiting = if behind == 0 { Duration::ZERO } else { since.get_or_insert_with(Instant::now).elapsed() + LAG_LOOK_INTERVAL };
        sink.observer.observe(Event::ViewWaits { view: &sink.view, partition, behind, waiting });
    }
}
