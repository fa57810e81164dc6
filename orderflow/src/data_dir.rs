//! The data directory: its format, its locks, and what is where in it.
//!
//! | path | what |
//! |---|---|
//! | `format` | which version wrote it |
//! | `embedded/broker` | topics of the embedded broker: the only thing of ours here that cannot be rebuilt |
//! | `embedded/payment-provider-ledger.ndjson` | what the simulated payment provider has done: the outside's own record, which nothing of ours rebuilds |
//! | `embedded/state`, `embedded/views` | caches of what those topics say |
//! | `clusters/<host>_<port>/...` | the same caches for a cluster: what was cached of one log must never meet another |
//! | `.../state-<hash>` | the cache of a process that runs some processors only: such processes may share a data directory |
//! | `.../instance`, `.../instance-<hash>` | the name of the instance that uses them, by which it is known to those with which it shares the tasks |
//! | `.../<part>.lock` | held by the process that uses this part |

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fluvio_streams::backoff::fnv1a;
use tempfile::TempDir;

use crate::config::Storage;

/// What `format` holds; changes when older data cannot be read any more.
const FORMAT: &str = "orderflow data 1\n";
/// Beginning of the name of a `format` that is being written.
const FORMAT_NEW: &str = "format.new";

/// A directory of which some parts are ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    locks: Vec<File>,
    /// Removes the directory in the end.
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Opens the directory, or creates it.
    ///
    /// # Errors
    /// If it cannot be written, has no room, or holds something else; the text names the flag and what to do.
    pub(crate) fn open(storage: &Storage) -> anyhow::Result<Self> {
        match storage {
            Storage::Directory(root) => Self::check(root.clone(), None),
            Storage::Ephemeral => {
                let temporary = TempDir::with_prefix("orderflow-").context("--ephemeral: cannot create a temporary directory")?;
                Self::check(temporary.path().to_owned(), Some(temporary))
            }
        }
    }

    fn check(root: PathBuf, temporary: Option<TempDir>) -> anyhow::Result<Self> {
        create(&root)?;
        check_format(&root)?;
        check_room(&root)?;
        Ok(Self { root, locks: Vec::new(), _temporary: temporary })
    }

    /// Creates a part of the directory and makes it ours. Others may use other parts.
    ///
    /// # Errors
    /// If it cannot be written or is in use; the text names the flag and what to do.
    pub(crate) fn claim(&mut self, part: &Path) -> anyhow::Result<()> {
        create(part)?;
        let shown = part.display();
        let cannot = |action: &str| format!("--data-dir: cannot {action} beside `{shown}`; give a directory that this user can write");
        let lock = File::options().create(true).truncate(false).write(true).open(part.with_extension("lock")).with_context(|| cannot("write"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("--data-dir: `{shown}` is in use by another process; stop that one, or give another directory"),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| cannot("lock a file")),
        }
        self.locks.push(lock);
        Ok(())
    }

    /// Returns where the embedded broker keeps its topics.
    pub(crate) fn broker(&self) -> PathBuf {
        self.root.join("embedded").join("broker")
    }

    /// Returns where what is cached of a log is kept: of the embedded broker, or of the cluster at `fluvio`. `part` names the processors if not all of them run.
    pub(crate) fn caches(&self, fluvio: Option<&str>, part: Option<&[String]>) -> Caches {
        let base = self.of_log(fluvio);
        Caches { state: base.join(format!("state{}", suffix(part))), views: base.join("views"), instance: base.join(format!("instance{}", suffix(part))) }
    }

    /// Returns the name of the instance that uses these caches: made up at the first start, and the same ever after.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub(crate) fn instance(&self, caches: &Caches) -> anyhow::Result<String> {
        let path = &caches.instance;
        match fs::read_to_string(path) {
            Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("--data-dir: cannot read `{}`", path.display()));
            }
            _ => {}
        }
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random number for a name: {error}"))?;
        let name = format!("orderflow-{:08x}", u32::from_be_bytes(random));
        fs::write(path, &name).with_context(|| format!("--data-dir: cannot write `{}`; give a directory that this user can write", path.display()))?;
        Ok(name)
    }

    /// Returns the file in which a simulated payment provider keeps its ledger, beside the caches of the log: the keys of one log mean nothing in another.
    pub(crate) fn provider_ledger(&self, fluvio: Option<&str>, part: Option<&[String]>) -> PathBuf {
        self.of_log(fluvio).join(format!("payment-provider-ledger{}.ndjson", suffix(part)))
    }

    fn of_log(&self, fluvio: Option<&str>) -> PathBuf {
        match fluvio {
            None => self.root.join("embedded"),
            Some(endpoint) => {
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
                let name: String = endpoint.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
                self.root.join("clusters").join(name)
            }
        }
    }
}

/// Directories of what can be rebuilt from topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caches {
    /// Stores of tasks.
    pub(crate) state: PathBuf,
    /// Embedded views.
    pub(crate) views: PathBuf,
    /// File with the name of the instance: no cache, but whoever loses it only gets another name.
    pub(crate) instance: PathBuf,
}

/// Tells apart what processes keep that run some processors only. The hash is the same for ever.
fn suffix(part: Option<&[String]>) -> String {
    let Some(names) = part else { return String::new() };
    format!("-{:016x}", fnv1a(names.join(",").as_bytes()))
}

fn create(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("--data-dir: cannot create `{}`; give a directory that this user can write", directory.display()))
}

/// Checks who wrote the directory, or says that it was us.
fn check_format(root: &Path) -> anyhow::Result<()> {
    let (path, shown) = (root.join("format"), root.display());
    let read = || match fs::read_to_string(&path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("--data-dir: cannot read `{}`", path.display())),
    };
    let mut found = read()?;
    if found.is_none() && has_files(root).with_context(|| format!("--data-dir: cannot read `{shown}`"))? {
        // They may be those of a process that starts at this moment; that one wrote its format first.
        found = read()?;
        if found.is_none() {
            bail!("--data-dir: `{shown}` holds files that are not ours (it has no file `format`); give an empty or a new directory");
        }
    }
    match found {
        None => write_durably(root, &path).with_context(|| format!("--data-dir: cannot write `{}`; give a directory that this user can write", path.display())),
        Some(found) if found == FORMAT => Ok(()),
        Some(found) => {
            let found: String = found.trim().chars().filter(|letter| !letter.is_control()).take(60).collect();
            bail!(
                "--data-dir: `{shown}` holds data of another version (`{found}`, this program reads `{}`); use the version that wrote it, or give another directory",
                FORMAT.trim()
            )
        }
    }
}

/// Checks that there is room for more than a few orders: to start on a full disk leads nowhere.
fn check_room(root: &Path) -> anyhow::Result<()> {
    let shown = root.display();
    let disk = rustix::fs::statvfs(root).with_context(|| format!("--data-dir: cannot tell how much room there is in `{shown}`"))?;
    // A file system that has no size at all does not say how much is free.
    let free_bytes = if disk.f_blocks == 0 { u64::MAX } else { disk.f_bavail.saturating_mul(disk.f_frsize) };
    let needed_bytes = orderflow_broker::Limits::default().disk_free_bytes_min;
    refuse_full(&shown.to_string(), free_bytes, needed_bytes)
}

fn refuse_full(shown: &str, free_bytes: u64, needed_bytes: u64) -> anyhow::Result<()> {
    const MIB: u64 = 1024 * 1024;
    if free_bytes < needed_bytes {
        let (free, needed) = (free_bytes / MIB, needed_bytes / MIB);
        bail!("--data-dir: the disk of `{shown}` has {free} MiB left and {needed} MiB are needed; make room, or give a directory on another disk");
    }
    Ok(())
}

fn has_files(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        // What a crash in the middle of `write_durably` leaves behind.
        if !entry?.file_name().to_str().is_some_and(|name| name.starts_with(FORMAT_NEW)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file is there whole, or not at all. Two processes that start at once may both write it.
fn write_durably(root: &Path, path: &Path) -> io::Result<()> {
    let new = root.join(format!("{FORMAT_NEW}{}", std::process::id()));
    fs::write(&new, FORMAT)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    File::open(root)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path) -> anyhow::Result<DataDir> {
        DataDir::open(&Storage::Directory(root.to_owned()))
    }

    #[test]
    fn an_instance_keeps_its_name_and_others_have_other_names() {
        let (one, other) = (tempfile::tempdir().expect("a temporary directory"), tempfile::tempdir().expect("a temporary directory"));
        let name = |root: &Path, part: Option<&[String]>| {
            let mut data = open(root).expect("it opens");
            let caches = data.caches(None, part);
            data.claim(&caches.state).expect("it is free");
            data.instance(&caches).expect("it has a name")
        };
        let first = name(one.path(), None);
        assert_eq!(name(one.path(), None), first);
        assert_ne!(name(one.path(), Some(&["food-delivery/store".to_owned()])), first);
        assert_ne!(name(other.path(), None), first);
    }

    #[test]
    fn a_part_is_used_again_but_not_twice_at_once_and_disturbs_no_other() {
        let parent = TempDir::new().expect("a temporary directory");
        let root = parent.path().join("new").join("data");
        let (store, payments) = (["a/store".to_owned()], ["a/payments".to_owned()]);
        let state = |data: &DataDir, running: &[String]| data.caches(Some("c:1"), Some(running)).state;
        let mut first = open(&root).expect("a new directory can be used");
        first.claim(&state(&first, &store)).expect("nobody uses it");
        let mut second = open(&root).expect("the directory can be shared");
        second.claim(&state(&second, &payments)).expect("it is another part");
        let error = second.claim(&state(&second, &store)).expect_err("it is in use");
        assert!(error.to_string().contains("--data-dir") && error.to_string().contains("in use"), "{error}");
        drop(first);
        second.claim(&state(&second, &store)).expect("it can be used again");
    }

    #[test]
    fn what_others_wrote_is_left_alone() {
        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join("thesis.txt"), "long").expect("a file can be written");
        let error = open(directory.path()).expect_err("it is not ours");
        assert!(error.to_string().contains("not ours"), "{error}");

        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join("format"), "orderflow data 99\n").expect("a file can be written");
        let error = open(directory.path()).expect_err("it is of another version");
        assert!(error.to_string().contains("another version (`orderflow data 99`"), "{error}");
    }

    #[test]
    fn a_disk_without_room_is_refused_with_the_flag_and_what_is_needed() {
        refuse_full("/data", 64 << 20, 64 << 20).expect("there is enough");
        let error = refuse_full("/data", 3 << 20, 64 << 20).expect_err("there is too little");
        for part in ["--data-dir", "`/data`", "3 MiB", "64 MiB"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn caches_of_different_logs_are_kept_apart() {
        let data = DataDir::open(&Storage::Ephemeral).expect("a temporary directory");
        let caches = [None, Some("a:9003"), Some("b:9003")].map(|log| data.caches(log, None));
        assert_ne!(caches[0], caches[1]);
        assert_ne!(caches[1], caches[2]);
        let part = ["a/store".to_owned(), "a/payments".to_owned()];
        let ledger = data.provider_ledger(None, Some(&part));
        let is_as_ever = ledger.ends_with("embedded/payment-provider-ledger-f7bd6d89452de159.ndjson");
        assert!(is_as_ever, "what an earlier version kept is found again: {}", ledger.display());
        let root = data.root.clone();
        drop(data);
        assert!(!root.exists(), "an ephemeral directory is removed");
    }
}
