//! A store that is written behind its task: a commit goes to memory, and one thread of the instance writes it to disk a moment later.
//!
//! A disk that stalls (a commit to fjall waits while a memtable is forced out, for up to a third of a second) then holds up neither the task nor the async thread that it runs on, nor all
//! the others that share it. And much of what a task commits has vanished again before it is written: timers that were cancelled, calls that were answered, steps of one order.
//!
//! The store lags the journal by [`WRITE_EVERY`] at most. That is what a store may do: what is written is always one whole number of commits, their progress among them, so it is some
//! earlier state of the task, and the task replays the rest. If the disk does not keep up at all, commits wait for it, so that memory stays bounded.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Store;
use super::overlay::Overlay;
use crate::limits::{STORE_LOAD_BYTES, STORE_UNWRITTEN_BYTES_MAX, STORE_WRITE_BYTES};
use crate::processor::StateReader;
use crate::state::{Change, StateError};

/// How long a commit may stay in memory: longer than most timers and calls live, too short to matter for a restart.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// How long what a replay brings may stay in memory, so that the disk gets few large pieces.
const LOAD_EVERY: Duration = Duration::from_secs(1);

/// What lies on disk.
pub(super) trait Disk: StateReader + Send + Sync + 'static {
    /// Writes all changes, or none.
    fn write(&self, changes: &Overlay) -> Result<(), StateError>;

    /// Removes every entry.
    fn clear(&self) -> Result<(), StateError>;
}

/// The thread that writes. It ends when its last store and the last clone of the handle are gone, after it has written what they left; whoever drops the last waits for that.
pub(super) struct Writer {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    store: Arc<Shared>,
    /// Somebody waits for it.
    is_urgent: bool,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> std::io::Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || write_all(&receiver))?;
        Ok(Arc::new(Self { requests: Some(sender), thread: Some(thread) }))
    }

    /// Asks for the store to be written. The queue is bounded by the stores: each has at most one request of each kind in it.
    fn request(&self, store: &Arc<Shared>, is_urgent: bool) {
        let request = Request { store: store.clone(), is_urgent };
        // The thread lives as long as this: it ends when the sender is dropped.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn write_all(requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut round = gather(requests, first);
        // Each of them is dropped as it is written, so that whoever waits for the last one finds the directory free.
        while let Some(store) = round.pop() {
            store.write();
        }
    }
}

/// Gathers what is to be written in one round: everything that is asked for until the first has waited long enough, or somebody is in a hurry.
fn gather(requests: &Receiver<Request>, first: Request) -> Vec<Arc<Shared>> {
    let due = Instant::now() + WRITE_EVERY;
    let mut is_urgent = first.is_urgent;
    let mut round = vec![first.store];
    while !is_urgent {
        match requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(request) => {
                is_urgent = request.is_urgent;
                round.push(request.store);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    round.extend(requests.try_iter().map(|request| request.store));
    round
}

/// What a store and the writer share.
struct Shared {
    task: String,
    disk: Box<dyn Disk>,
    buffers: Mutex<Buffers>,
    /// Something was written, or cannot be.
    written: Condvar,
}

#[derive(Default)]
struct Buffers {
    /// Committed, and nobody is at it.
    unwritten: Overlay,
    /// Being written.
    writing: Arc<Overlay>,
    /// When the first of them was committed.
    unwritten_since: Option<Instant>,
    is_requested: bool,
    is_urgent: bool,
    /// Why nothing is written any more: what is on disk stays as it is.
    failure: Option<StateError>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `busy` holds and the disk can be written.
    fn wait_while(&self, busy: impl Fn(&Buffers) -> bool) -> MutexGuard<'_, Buffers> {
        let waited = self.written.wait_while(self.lock(), |buffers| buffers.failure.is_none() && busy(buffers));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was committed. Only the writer's thread does.
    fn write(&self) {
        let mut buffers = self.lock();
        (buffers.is_requested, buffers.is_urgent) = (false, false);
        if buffers.unwritten.is_empty() || buffers.failure.is_some() {
            return;
        }
        let changes = Arc::new(std::mem::take(&mut buffers.unwritten));
        buffers.unwritten_since = None;
        buffers.writing = changes.clone();
        drop(buffers);
        // A panic must not leave those who wait for ever.
        let result = catch_unwind(AssertUnwindSafe(|| self.disk.write(&changes))).unwrap_or_else(|_| Err(self.failed("writing it panicked")));
        let mut buffers = self.lock();
        match result {
            // What was being written stays readable until here, and its memory is freed after the lock.
            Ok(()) => drop(std::mem::take(&mut buffers.writing)),
            Err(error) => {
                tracing::error!(task = self.task, error = &error as &dyn std::error::Error, "local store cannot be written");
                buffers.failure = Some(error);
            }
        }
        drop(buffers);
        self.written.notify_all();
    }

    fn failed(&self, detail: &str) -> StateError {
        StateError::Store { task: self.task.clone(), detail: detail.to_owned() }
    }
}

/// The store of one task. Dropping it writes what was committed and waits for that.
pub(super) struct WriteBehind {
    shared: Arc<Shared>,
    // After the store: the thread that may be waited for here has let go of it by then.
    writer: Arc<Writer>,
}

impl WriteBehind {
    pub(super) fn new(task: &str, disk: Box<dyn Disk>, writer: Arc<Writer>) -> Self {
        let shared = Shared { task: task.to_owned(), disk, buffers: Mutex::default(), written: Condvar::new() };
        Self { shared: Arc::new(shared), writer }
    }

    /// Asks for a write, unless that has been done.
    fn request(&self, buffers: &mut Buffers, is_urgent: bool) {
        if std::mem::replace(&mut buffers.is_requested, true) && (!is_urgent || buffers.is_urgent) {
            return;
        }
        buffers.is_urgent |= is_urgent;
        self.writer.request(&self.shared, is_urgent);
    }

    /// Takes changes once fewer than so many bytes are unwritten; returns how many there are now, and since when.
    fn take(&self, changes: Vec<Change>, bytes_max: usize) -> Result<(MutexGuard<'_, Buffers>, Duration), StateError> {
        let mut buffers = self.shared.lock();
        // What a replay has left was not asked to be written.
        if buffers.unwritten.bytes() >= bytes_max && buffers.failure.is_none() {
            self.request(&mut buffers, true);
        }
        drop(buffers);
        let mut buffers = self.shared.wait_while(|buffers| buffers.unwritten.bytes() >= bytes_max);
        if let Some(failure) = &buffers.failure {
            return Err(failure.clone());
        }
        buffers.unwritten.take(changes);
        let since = buffers.unwritten_since.get_or_insert_with(Instant::now).elapsed();
        Ok((buffers, since))
    }
}

impl StateReader for WriteBehind {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let buffers = self.shared.lock();
        if let Some(change) = buffers.unwritten.get(key).or_else(|| buffers.writing.get(key)) {
            return Ok(change.clone());
        }
        // Nobody commits meanwhile, so what is in neither buffer is on disk.
        drop(buffers);
        self.shared.disk.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut covering = BTreeMap::new();
        let buffers = self.shared.lock();
        buffers.writing.cover(from, to, &mut covering);
        buffers.unwritten.cover(from, to, &mut covering);
        drop(buffers);
        let deleted = covering.values().filter(|value| value.is_none()).count();
        let on_disk = self.shared.disk.range(from, to, limit.saturating_add(deleted))?;
        let mut entries: BTreeMap<_, _> = on_disk.into_iter().map(|(key, value)| (key, Some(value))).collect();
        entries.append(&mut covering);
        Ok(entries.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).take(limit).collect())
    }
}

impl Store for WriteBehind {
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        let (mut buffers, _) = self.take(changes, STORE_UNWRITTEN_BYTES_MAX)?;
        let is_urgent = buffers.unwritten.bytes() >= STORE_WRITE_BYTES;
        self.request(&mut buffers, is_urgent);
        Ok(())
    }

    fn load(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        let (mut buffers, since) = self.take(changes, STORE_LOAD_BYTES)?;
        let is_urgent = buffers.unwritten.bytes() >= STORE_LOAD_BYTES;
        if is_urgent || since >= LOAD_EVERY {
            self.request(&mut buffers, is_urgent);
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StateError> {
        let mut buffers = self.shared.lock();
        (buffers.unwritten, buffers.unwritten_since) = (Overlay::default(), None);
        drop(buffers);
        drop(self.shared.wait_while(|buffers| !buffers.writing.is_empty()));
        self.shared.disk.clear()
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        let mut buffers = self.shared.lock();
        if !buffers.unwritten.is_empty() && buffers.failure.is_none() {
            self.request(&mut buffers, true);
        }
        drop(buffers);
        drop(self.shared.wait_while(|buffers| !buffers.unwritten.is_empty() || !buffers.writing.is_empty()));
    }
}

#[cfg(test)]
mod tests;
