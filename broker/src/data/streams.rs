//! The streams of one connection: their ids, acknowledgements and consumers.
//!
//! Clients never say that a stream has ended; they just stop acknowledging. So the number is bounded, and when
//! the bound is reached the stream that has waited longest for its consumer makes room.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::server::update_offset::{OffsetUpdateStatus, UpdateOffsetsRequest, UpdateOffsetsResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{limits::STREAM_ABANDONED_AFTER, offset_store::Key};

/// All streams of a connection.
pub(super) struct Streams {
    state: Mutex<State>,
    count_max: usize,
}

#[derive(Default)]
struct State {
    last_id: u32,
    open: BTreeMap<u32, Entry>,
}

struct Entry {
    acknowledged: watch::Sender<i64>,
    consumer: Option<Key>,
    /// Since when the stream has waited for its consumer; `None` while the consumer waits for records.
    waiting_since: Option<Instant>,
    /// Cancelled when the stream has to make room.
    evicted: CancellationToken,
}

/// A stream's own side.
pub(super) struct Registration {
    pub(super) id: u32,
    /// Where the consumer wants to go on.
    pub(super) acknowledged: watch::Receiver<i64>,
    pub(super) evicted: CancellationToken,
}

impl Streams {
    pub(super) fn new(count_max: usize) -> Self {
        Self { state: Mutex::default(), count_max }
    }

    /// Registers a new stream, or returns `None` when there are as many as there may be.
    pub(super) fn open(&self, consumer: Option<Key>) -> Option<Registration> {
        let mut state = self.lock();
        if state.open.len() >= self.count_max && !state.evict_one() {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        let (acknowledged, receiver) = watch::channel(-1);
        let evicted = CancellationToken::new();
        let entry = Entry { acknowledged, consumer, waiting_since: None, evicted: evicted.clone() };
        state.open.insert(id, entry);
        Some(Registration { id, acknowledged: receiver, evicted })
    }

    /// Notes that a stream has sent a response, or has got its acknowledgement.
    pub(super) fn set_waiting(&self, id: u32, waiting: bool) {
        if let Some(entry) = self.lock().open.get_mut(&id) {
            entry.waiting_since = waiting.then(Instant::now);
        }
    }

    /// Passes acknowledgements on to the streams that they are for.
    pub(super) fn acknowledge(&self, request: &UpdateOffsetsRequest) -> UpdateOffsetsResponse {
        let state = self.lock();
        let acknowledge = |id: u32, offset: i64| match state.open.get(&id) {
            // A stream that has ended takes no notice; its consumer may still be reading what it got.
            Some(entry) => {
                entry.acknowledged.send_replace(offset);
                ErrorCode::None
            }
            None => ErrorCode::FetchSessionNotFoud,
        };
        let status = request
            .offsets
            .iter()
            .map(|update| OffsetUpdateStatus { session_id: update.session_id, error: acknowledge(update.session_id, update.offset) })
            .collect();
        UpdateOffsetsResponse { status }
    }

    /// The consumer of a stream: outer `None` if there is no such stream, inner if it has no consumer id.
    pub(super) fn consumer(&self, id: u32) -> Option<Option<Key>> {
        self.lock().open.get(&id).map(|entry| entry.consumer.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes a stream that has ended, or else the one that was abandoned first.
    fn evict_one(&mut self) -> bool {
        let ended = self.open.iter().find(|(_, entry)| entry.acknowledged.is_closed()).map(|(id, _)| *id);
        let abandoned = || {
            let waiting = self.open.iter().filter_map(|(id, entry)| Some((entry.waiting_since?, *id)));
            waiting.min().filter(|(since, _)| since.elapsed() >= STREAM_ABANDONED_AFTER).map(|(_, id)| id)
        };
        let evicted = ended.or_else(abandoned).and_then(|id| self.open.remove(&id));
        if let Some(entry) = &evicted {
            entry.evicted.cancel();
        }
        evicted.is_some()
    }
}
