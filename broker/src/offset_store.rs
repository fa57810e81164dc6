//! The durable positions of managed consumers: a small key/value file.
//!
//! Every commit is one line appended to the file and, unless durability is relaxed, synced before it is
//! answered; commits that arrive together share a write. The file is rewritten without its superseded lines
//! when it starts and when it has grown.
//!
//! Not a consumer group: a consumer id is a plain key, without membership or fencing, as in Fluvio.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Durability, Error,
    limits::{OFFSET_COMMITS_PER_WRITE_MAX, OFFSET_FILE_COMPACT_BYTES},
    metadata::write_atomically,
};

/// Whose position it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) consumer: String,
}

/// A committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Distinguishes topics that bore the same name one after the other.
    pub(crate) topic_id: u64,
    /// Offset of the last record that was consumed.
    pub(crate) offset: i64,
    /// Seconds since 1970 UTC.
    pub(crate) modified_at: u64,
}

/// Why a commit is not durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    #[error("this broker keeps at most {max} consumer offsets")]
    Full { max: usize },
    #[error("consumer offsets cannot be written")]
    Write,
}

/// The store. Dropping it waits until its thread has written what was queued.
pub(crate) struct OffsetStore {
    positions: Arc<Mutex<BTreeMap<Key, Position>>>,
    positions_max: usize,
    /// Present until the store is dropped.
    commits: Option<mpsc::Sender<Commit>>,
    thread: Option<JoinHandle<()>>,
}

/// One line of the file; without a position it is a deletion.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    position: Option<Position>,
}

struct Commit {
    line: Line,
    done: oneshot::Sender<Result<(), CommitError>>,
}

impl OffsetStore {
    /// Opens the file, cuts an unfinished last line away and starts the writing thread.
    pub(crate) fn open(path: PathBuf, durability: Durability, positions_max: usize) -> Result<Self, Error> {
        let positions = load(&path)?;
        let file = rewrite(&path, &positions).map_err(Error::file("write", &path))?;
        let positions = Arc::new(Mutex::new(positions));
        let (commits, queue) = mpsc::channel(OFFSET_COMMITS_PER_WRITE_MAX);
        let writer = Writer { path: path.clone(), file, durability, positions: Arc::clone(&positions), failed: false };
        let thread =
            thread::Builder::new().name("consumer-offsets".to_owned()).spawn(move || writer.run(queue)).map_err(Error::file("start the writer of", &path))?;
        Ok(Self { positions, positions_max, commits: Some(commits), thread: Some(thread) })
    }

    /// Stores a position; it is durable when this returns.
    pub(crate) async fn commit(&self, key: Key, topic_id: u64, offset: i64) -> Result<(), CommitError> {
        {
            let positions = lock(&self.positions);
            if positions.len() >= self.positions_max && !positions.contains_key(&key) {
                return Err(CommitError::Full { max: self.positions_max });
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let position = Position { topic_id, offset, modified_at: now.as_secs() };
        self.write(Line { key, position: Some(position) }).await
    }

    /// Removes a position; it is no error if there is none.
    pub(crate) async fn delete(&self, key: Key) -> Result<(), CommitError> {
        self.write(Line { key, position: None }).await
    }

    /// Returns all positions.
    pub(crate) fn list(&self) -> Vec<(Key, Position)> {
        lock(&self.positions).iter().map(|(key, position)| (key.clone(), *position)).collect()
    }

    async fn write(&self, line: Line) -> Result<(), CommitError> {
        let (done, written) = oneshot::channel();
        let commits = self.commits.as_ref().ok_or(CommitError::Write)?;
        commits.send(Commit { line, done }).await.map_err(|_| CommitError::Write)?;
        written.await.unwrap_or(Err(CommitError::Write))
    }
}

impl Drop for OffsetStore {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    durability: Durability,
    positions: Arc<Mutex<BTreeMap<Key, Position>>>,
    /// Whether the last write failed.
    failed: bool,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Commit>) {
        let mut commits = Vec::new();
        while queue.blocking_recv_many(&mut commits, OFFSET_COMMITS_PER_WRITE_MAX) > 0 {
            let stored = self.store(&commits);
            match &stored {
                Err(error) if !self.failed => tracing::error!(file = %self.path.display(), %error, "cannot write consumer offsets"),
                Ok(()) if self.failed => tracing::warn!(file = %self.path.display(), "consumer offsets are written again"),
                _ => {}
            }
            self.failed = stored.is_err();
            for commit in commits.drain(..) {
                // A client that has gone away does not wait for its answer.
                let _ = commit.done.send(if self.failed { Err(CommitError::Write) } else { Ok(()) });
            }
        }
    }

    fn store(&mut self, commits: &[Commit]) -> io::Result<()> {
        if self.failed {
            // What the file holds after a failed write or sync is unknown, so it starts anew with what was promised.
            let positions = lock(&self.positions).clone();
            self.file = rewrite(&self.path, &positions)?;
        }
        self.append(commits)
    }

    fn append(&mut self, commits: &[Commit]) -> io::Result<()> {
        let mut lines = Vec::new();
        for commit in commits {
            write_line(&mut lines, &commit.line)?;
        }
        self.file.write_all(&lines)?;
        if self.durability == Durability::Fsync {
            self.file.sync_data()?;
        }
        let mut positions = lock(&self.positions);
        for Commit { line, .. } in commits {
            match line.position {
                Some(position) => positions.insert(line.key.clone(), position),
                None => positions.remove(&line.key),
            };
        }
        let snapshot = (self.file.metadata()?.len() > OFFSET_FILE_COMPACT_BYTES).then(|| positions.clone());
        drop(positions);
        if let Some(positions) = snapshot {
            self.file = rewrite(&self.path, &positions)?;
        }
        Ok(())
    }
}

fn load(path: &Path) -> Result<BTreeMap<Key, Position>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::File { action: "read", path: path.to_owned(), source }),
    };
    let mut positions = BTreeMap::new();
    // What follows the last line feed is a commit that was never answered.
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in bytes[..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|source| Error::Metadata { path: path.to_owned(), source })?;
        match line.position {
            Some(position) => positions.insert(line.key, position),
            None => positions.remove(&line.key),
        };
    }
    Ok(positions)
}

/// Replaces the file by one that holds exactly these positions, and opens it for appending.
fn rewrite(path: &Path, positions: &BTreeMap<Key, Position>) -> io::Result<File> {
    let mut lines = Vec::new();
    for (key, position) in positions {
        write_line(&mut lines, &Line { key: key.clone(), position: Some(*position) })?;
    }
    write_atomically(path, &lines)?;
    File::options().append(true).open(path)
}

fn write_line(lines: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(consumer: &str) -> Key {
        Key { topic: "topic".to_owned(), partition: 0, consumer: consumer.to_owned() }
    }

    fn offsets(store: &OffsetStore) -> Vec<(String, i64)> {
        store.list().into_iter().map(|(key, position)| (key.consumer, position.offset)).collect()
    }

    #[tokio::test]
    async fn a_commit_that_a_crash_cut_short_is_forgotten_and_the_rest_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("offsets");
        let store = OffsetStore::open(path.clone(), Durability::Fsync, 10).unwrap();
        store.commit(key("a"), 1, 5).await.unwrap();
        store.commit(key("b"), 1, 6).await.unwrap();
        store.commit(key("a"), 1, 7).await.unwrap();
        store.delete(key("b")).await.unwrap();
        drop(store);

        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let expected: &[(&str, i64)] = match complete {
                0 => &[],
                1 => &[("a", 5)],
                2 => &[("a", 5), ("b", 6)],
                3 => &[("a", 7), ("b", 6)],
                _ => &[("a", 7)],
            };
            let store = OffsetStore::open(path.clone(), Durability::Os, 10).unwrap();
            let found = offsets(&store);
            let found: Vec<(&str, i64)> = found.iter().map(|(name, offset)| (name.as_str(), *offset)).collect();
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_a_full_store_takes_no_new_consumers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("offsets");
        let store = OffsetStore::open(path.clone(), Durability::Os, 1).unwrap();
        store.commit(key("a"), 1, 5).await.unwrap();
        let refused = store.commit(key("b"), 1, 5).await;
        assert!(matches!(refused, Err(CommitError::Full { max: 1 })));
        store.commit(key("a"), 1, 6).await.unwrap();
        assert_eq!(offsets(&store), [("a".to_owned(), 6)]);
        drop(store);
        fs::write(&path, "not json\n").unwrap();
        assert!(matches!(OffsetStore::open(path, Durability::Os, 1), Err(Error::Metadata { .. })));
    }

    #[test]
    fn after_a_failed_write_the_file_starts_anew_with_what_was_promised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("offsets");
        let commit = |consumer: &str, offset| {
            let position = Position { topic_id: 1, offset, modified_at: 0 };
            [Commit { line: Line { key: key(consumer), position: Some(position) }, done: oneshot::channel().0 }]
        };
        let file = rewrite(&path, &BTreeMap::new()).unwrap();
        let mut writer = Writer { path: path.clone(), file, durability: Durability::Fsync, positions: Arc::default(), failed: false };
        writer.store(&commit("a", 5)).unwrap();

        // A full disk: half a line is written, then no more.
        fs::write(&path, [fs::read(&path).unwrap().as_slice(), b"{\"topic\":\"top"].concat()).unwrap();
        writer.file = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(writer.store(&commit("b", 6)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        writer.failed = true;

        writer.store(&commit("c", 7)).unwrap();
        let stored: Vec<_> = load(&path).unwrap().into_iter().map(|(key, position)| (key.consumer, position.offset)).collect();
        assert_eq!(stored, [("a".to_owned(), 5), ("c".to_owned(), 7)]);
    }

    #[tokio::test]
    async fn the_file_is_rewritten_when_it_has_grown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("offsets");
        let store = OffsetStore::open(path.clone(), Durability::Os, 10).unwrap();
        let long = key(&"c".repeat(10_000));
        for offset in 0..1000 {
            store.commit(long.clone(), 1, offset).await.unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= OFFSET_FILE_COMPACT_BYTES + 20_000);
        drop(store);
        let store = OffsetStore::open(path, Durability::Os, 10).unwrap();
        assert_eq!(store.list()[0].1.offset, 999);
    }
}
