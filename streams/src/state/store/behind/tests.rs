use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::MemoryStore;
use super::*;

/// A disk in memory that can stall and fail.
#[derive(Clone, Default)]
struct TestDisk {
    entries: MemoryStore,
    gate: Arc<Gate>,
    writes: Arc<AtomicUsize>,
    /// Writes that left entries of different values: some tests never commit any.
    uneven_writes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    is_broken: Mutex<bool>,
    opened: Condvar,
}

impl TestDisk {
    fn stall(&self) {
        *self.gate.is_shut.lock().expect("the lock is whole") = true;
    }

    fn go_on(&self) {
        *self.gate.is_shut.lock().expect("the lock is whole") = false;
        self.gate.opened.notify_all();
    }

    fn break_down(&self) {
        *self.gate.is_broken.lock().expect("the lock is whole") = true;
    }

    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.entries.range(&[], &[255], usize::MAX).expect("memory can be read")
    }
}

impl StateReader for TestDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.entries.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.entries.range(from, to, limit)
    }
}

impl Disk for TestDisk {
    fn write(&self, changes: &Overlay) -> Result<(), StateError> {
        let shut = self.gate.is_shut.lock().expect("the lock is whole");
        drop(self.gate.opened.wait_while(shut, |is_shut| *is_shut).expect("the lock is whole"));
        if *self.gate.is_broken.lock().expect("the lock is whole") {
            return Err(StateError::Store { task: "t".to_owned(), detail: "disk is full".to_owned() });
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let changes = changes.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
        self.entries.clone().commit(changes)?;
        if self.all().windows(2).any(|pair| pair[0].1 != pair[1].1) {
            self.uneven_writes.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), StateError> {
        self.entries.clone().clear()
    }
}

fn open(disk: &TestDisk) -> WriteBehind {
    WriteBehind::new("t", Box::new(disk.clone()), Writer::start().expect("a thread"))
}

fn put(key: &str, value: &str) -> Change {
    (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec()))
}

fn delete(key: &str) -> Change {
    (key.as_bytes().to_vec(), None)
}

fn entries(pairs: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Commits until the writer has begun to write, which stalls.
fn commit_until_writing(store: &mut WriteBehind, changes: Vec<Change>) {
    store.commit(changes).expect("the changes are committed");
    store.request(&mut store.shared.lock(), true);
    while store.shared.lock().writing.is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_committed_is_read_while_the_disk_stalls() {
    let disk = TestDisk::default();
    disk.entries.clone().commit(vec![put("a", "disk"), put("b", "disk"), put("c", "disk"), put("d", "disk")]).expect("memory can be written");
    let mut store = open(&disk);
    disk.stall();
    commit_until_writing(&mut store, vec![put("b", "writing"), put("bb", "writing"), delete("c")]);
    // These would wait for ever if a commit waited for the disk.
    store.commit(vec![put("bb", "new"), put("e", "new"), delete("a")]).expect("the changes are committed");

    let values = ["a", "b", "bb", "c", "d", "e"].map(|key| store.get(key.as_bytes()).expect("it can be read"));
    let ranges = [(b"a".as_slice(), b"z".as_slice(), 9), (b"a", b"z", 3), (b"bb", b"e", 9)];
    let ranges = ranges.map(|(from, to, limit)| store.range(from, to, limit).expect("it can be read"));
    let writes = disk.writes.load(Ordering::SeqCst);
    // Before the assertions: a store that is dropped waits for its disk.
    disk.go_on();
    assert_eq!(writes, 0, "nothing was on disk yet");
    assert_eq!(
        values.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned())),
        [None, Some("writing"), Some("new"), None, Some("disk"), Some("new")].map(|value| value.map(str::to_owned))
    );
    let all = entries(&[("b", "writing"), ("bb", "new"), ("d", "disk"), ("e", "new")]);
    assert_eq!(ranges[0], all);
    assert_eq!(ranges[1], all[..3], "deleted entries take no place");
    assert_eq!(ranges[2], all[1..3]);
}

#[test]
fn a_store_that_is_dropped_has_written_everything() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    for n in 0..1_000 {
        store.commit(vec![put("entry", &n.to_string()), put("progress", &n.to_string())]).expect("the changes are committed");
    }
    drop(store);
    assert_eq!(disk.all(), entries(&[("entry", "999"), ("progress", "999")]));
    assert!(disk.writes.load(Ordering::SeqCst) < 1_000, "commits are written together");
}

#[test]
fn an_idle_store_is_written_by_itself() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    store.commit(vec![put("a", "1")]).expect("the changes are committed");
    while disk.all().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn what_a_crash_leaves_is_always_a_whole_number_of_commits() {
    let disk = TestDisk::default();
    // No thread: this test writes by itself, without a pause, so that writes fall between any two steps of a commit.
    let mut store = WriteBehind::new("t", Box::new(disk.clone()), Arc::new(Writer { requests: None, thread: None }));
    let shared = store.shared.clone();
    let committing = std::thread::spawn(move || {
        for n in 0..20_000 {
            store.commit(vec![put("a", &n.to_string()), put("b", &n.to_string()), put("progress", &n.to_string())]).expect("the changes are committed");
        }
        store
    });
    while !committing.is_finished() {
        shared.write();
    }
    let store = committing.join().expect("every commit was taken");
    shared.write();
    drop(store);
    assert_eq!(disk.uneven_writes.load(Ordering::SeqCst), 0, "part of a commit was on disk");
    assert_eq!(disk.all(), entries(&[("a", "19999"), ("b", "19999"), ("progress", "19999")]));
}

#[test]
fn memory_is_bounded_when_the_disk_does_not_keep_up() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    disk.stall();
    commit_until_writing(&mut store, vec![put("a", "1")]);
    let shared = store.shared.clone();
    let committing = std::thread::spawn(move || {
        let text = "x".repeat(100_000);
        (0..100).for_each(|n| store.commit(vec![put(&format!("key-{n}"), &text)]).expect("the changes are committed"));
    });
    while shared.lock().unwritten.bytes() < STORE_UNWRITTEN_BYTES_MAX {
        std::thread::yield_now();
    }
    let (is_finished, bytes) = (committing.is_finished(), shared.lock().unwritten.bytes());
    disk.go_on();
    committing.join().expect("every commit was taken once the disk went on");
    assert!(!is_finished, "10 MB do not fit into memory");
    assert!(bytes < STORE_UNWRITTEN_BYTES_MAX + 200_000);
    assert_eq!(disk.all().len(), 101);
}

#[test]
fn what_a_replay_brings_is_written_in_large_pieces() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    let text = "x".repeat(10_000);
    for n in 0..1_000 {
        store.load(vec![put(&format!("key-{n}"), &text)]).expect("the changes are taken");
        assert!(store.shared.lock().unwritten.bytes() < STORE_LOAD_BYTES + 20_000, "memory is bounded");
    }
    // What the replay has left is more than a commit waits for.
    store.commit(vec![put("last", &text)]).expect("the changes are committed");
    drop(store);
    assert_eq!(disk.all().len(), 1_001);
    let writes = disk.writes.load(Ordering::SeqCst);
    assert!(writes < 100, "{writes} writes for 10 MB");
}

#[test]
fn a_disk_that_fails_is_heard_of_and_keeps_what_it_had() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    disk.stall();
    commit_until_writing(&mut store, vec![put("a", "1")]);
    disk.break_down();
    disk.go_on();
    let failed = (0..1_000_000).find_map(|n| {
        std::thread::yield_now();
        store.commit(vec![put("b", &n.to_string())]).err()
    });
    assert_eq!(failed.expect("it fails in the end").to_string(), "local store of task `t` failed: disk is full");
    drop(store);
    assert_eq!(disk.all(), [], "nothing of what failed is there, and nothing that came after it");
}

#[test]
fn a_cleared_store_stays_empty() {
    let disk = TestDisk::default();
    let mut store = open(&disk);
    store.commit(vec![put("a", "1")]).expect("the changes are committed");
    store.request(&mut store.shared.lock(), true);
    store.commit(vec![put("b", "1")]).expect("the changes are committed");
    store.clear().expect("it is cleared");
    assert_eq!(store.get(b"a").expect("it can be read"), None);
    drop(store);
    assert_eq!(disk.all(), []);
}
