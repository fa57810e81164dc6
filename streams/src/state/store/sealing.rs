//! A fjall keyspace whose memtables are sealed by who writes to it.
//!
//! Left to itself, fjall asks its worker to seal with every commit to a full memtable; as soon as those requests fill the worker's queue, the worker, which queues requests too, waits for
//! itself: nothing is written out any more, and memory and write-ahead log grow until the process ends. The figures are in `docs/adr/0002-local-store.md`.
//!
//! It is for the local stores of this crate and for those of crates above it that keep their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

/// What an entry takes in a memtable besides its key and value, in bytes, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Size of a table on disk. A compaction holds about a table's worth of blocks in memory, uncompressed, until the table is complete: with fjall's 64 MiB that is the whole keyspace.
const TABLE_BYTES: u64 = 4 * 1024 * 1024;

/// A memtable has this share of what the keyspace has on disk, up to [`MEMTABLE_BYTES_MAX`]: the larger a keyspace is, the more a merge writes.
const MEMTABLE_SHARE: u64 = 16;

/// Largest memtable, unless the caller wants a larger one.
const MEMTABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// So many memtables are written out before they are merged into the sorted levels. A merge reads and writes all of the level below where keys come in no order, so four, fjall's default, of our
/// small memtables would make it write everything 16 times.
const TABLES_UNSORTED_MAX: u8 = 12;

/// A keyspace that is written through [`SealingKeyspace::insert`], [`SealingKeyspace::remove`] and [`SealingKeyspace::ingest`] only; reads go to the keyspace itself.
pub struct SealingKeyspace {
    keyspace: Keyspace,
    /// What was written since the memtable was sealed.
    memtable_bytes: AtomicU64,
    memtable_bytes_min: u64,
    /// When the memtable is full.
    memtable_bytes_max: AtomicU64,
}

impl SealingKeyspace {
    /// Opens or creates the keyspace; its memtable is sealed once it has about `memtable_bytes`, or more if the keyspace is large.
    ///
    /// # Errors
    /// Those of fjall.
    pub fn open(database: &Database, name: &str, options: KeyspaceCreateOptions, memtable_bytes: u64) -> fjall::Result<Self> {
        let compaction = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES).with_l0_threshold(TABLES_UNSORTED_MAX));
        let keyspace = database.keyspace(name, || options.max_memtable_size(u64::MAX).compaction_strategy(compaction))?;
        let sealing =
            Self { keyspace, memtable_bytes: AtomicU64::new(0), memtable_bytes_min: memtable_bytes, memtable_bytes_max: AtomicU64::new(memtable_bytes) };
        // What was recovered from the write-ahead log is of unknown size.
        sealing.keyspace.rotate_memtable()?;
        Ok(sealing)
    }

    /// Begins a new memtable if this one is full; fjall's worker writes the old one out. Call it before a commit and not after: where it fails, nothing must have been applied.
    ///
    /// # Errors
    /// Those of fjall.
    pub fn seal_if_full(&self) -> fjall::Result<()> {
        if self.memtable_bytes.load(Ordering::Relaxed) < self.memtable_bytes_max.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.memtable_bytes.store(0, Ordering::Relaxed);
        let most = MEMTABLE_BYTES_MAX.max(self.memtable_bytes_min);
        let next = (self.keyspace.disk_space() / MEMTABLE_SHARE).clamp(self.memtable_bytes_min, most);
        self.memtable_bytes_max.store(next, Ordering::Relaxed);
        self.keyspace.rotate_memtable().map(drop)
    }

    /// Adds an entry to the batch.
    pub fn insert(&self, batch: &mut OwnedWriteBatch, key: &[u8], value: &[u8]) {
        self.count(key.len() + value.len());
        batch.insert(&self.keyspace, key, value);
    }

    /// Adds the removal of an entry to the batch.
    pub fn remove(&self, batch: &mut OwnedWriteBatch, key: &[u8]) {
        self.count(key.len());
        batch.remove(&self.keyspace, key);
    }

    /// Writes many entries at once, in the order of their keys: all of them or none. They go to disk as they are and not through the write-ahead log and a memtable, which is what makes restoring fast.
    ///
    /// # Errors
    /// Those of fjall.
    pub fn ingest<'a>(&self, entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> fjall::Result<()> {
        let mut ingestion = self.keyspace.start_ingestion()?;
        for (key, value) in entries {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
        }
        // It writes out the memtable first.
        self.memtable_bytes.store(0, Ordering::Relaxed);
        ingestion.finish()
    }

    fn count(&self, bytes: usize) {
        self.memtable_bytes.fetch_add((ENTRY_OVERHEAD_BYTES + bytes) as u64, Ordering::Relaxed);
    }

    /// Returns the keyspace, to read from.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Commits `commits` times, as fast as possible.
    fn write(database: &Database, keyspace: &SealingKeyspace, commits: usize) {
        for commit in 0..commits {
            keyspace.seal_if_full().expect("it is sealed");
            let mut batch = database.batch();
            (0..5).for_each(|n| keyspace.insert(&mut batch, format!("key-{}", (commit + n) % 500).as_bytes(), &[commit as u8; 500]));
            batch.commit().expect("the batch is committed");
        }
    }

    #[test]
    fn memtables_are_written_out_however_fast_they_fill() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::builder(directory.path()).worker_threads(1).open().expect("the database opens");
        let open = |name| SealingKeyspace::open(&database, name, KeyspaceCreateOptions::default(), 1 << 20).expect("the keyspace opens");
        let keyspaces = ["a", "b", "c", "d"].map(open);
        thread::scope(|scope| {
            for keyspace in &keyspaces {
                scope.spawn(|| write(&database, keyspace, 3_000));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        for keyspace in keyspaces.iter().map(SealingKeyspace::keyspace) {
            while keyspace.sealed_memtable_count() > 0 {
                assert!(Instant::now() < deadline, "{} still has {} memtables to write", keyspace.name(), keyspace.sealed_memtable_count());
                thread::sleep(Duration::from_millis(5));
            }
            assert!(keyspace.table_count() > 0, "{} was written out", keyspace.name());
        }
    }
}
