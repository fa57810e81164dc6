//! The files of a partition and their names.
//!
//! | file | what |
//! |---|---|
//! | `format` | which version wrote this directory, and the key of its stamps |
//! | `00000000000000000042.log` | a segment: batches back to back, the first with offset 42 |
//! | `00000000000000000042.index` | cache for a closed segment; may be deleted |
//! | `checkpoint` | how far the log was durable when it was last closed; a lower bound |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use super::stamp::Stamp;

/// First line of the marker file. Data under any other first line is refused.
const FORMAT: &str = "orderflow segment log, version 1";
const FORMAT_FILE: &str = "format";
const CHECKPOINT_FILE: &str = "checkpoint";

/// Paths inside one partition's directory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
}

impl Directory {
    /// Opens or creates the directory and returns the stamp of its batches.
    ///
    /// # Errors
    /// When there are segments without a marker that this version wrote, or the operating system refuses.
    pub(super) fn prepare(path: &Path) -> Result<(Self, Stamp), Error> {
        let directory = Self { path: path.to_owned() };
        fs::create_dir_all(path).map_err(Error::file("create", path))?;
        let marker = path.join(FORMAT_FILE);
        let stamp = match fs::read_to_string(&marker) {
            Ok(text) => parse_format(&text).ok_or_else(|| directory.foreign())?,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(directory.foreign()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !directory.base_offsets()?.is_empty() {
                    return Err(directory.foreign());
                }
                let stamp = Stamp::random();
                replace(&marker, &format_text(&stamp), true).map_err(Error::file("write", &marker))?;
                directory.sync()?;
                if let Some(parent) = path.parent() {
                    sync_dir(parent).map_err(Error::file("sync", parent))?;
                }
                stamp
            }
            Err(error) => return Err(Error::file("read", &marker)(error)),
        };
        Ok((directory, stamp))
    }

    /// Returns the base offsets of the segments, ascending.
    pub(super) fn base_offsets(&self) -> Result<Vec<i64>, Error> {
        let read_error = |error| Error::file("read", &self.path)(error);
        let mut base_offsets = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read_error)? {
            let name = entry.map_err(read_error)?.file_name();
            base_offsets.extend(name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(parse_base_offset));
        }
        base_offsets.sort_unstable();
        Ok(base_offsets)
    }

    pub(super) fn segment(&self, base_offset: i64) -> PathBuf {
        self.path.join(format!("{base_offset:020}.log"))
    }

    pub(super) fn index(&self, base_offset: i64) -> PathBuf {
        self.path.join(format!("{base_offset:020}.index"))
    }

    /// Makes the creation and removal of files durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        sync_dir(&self.path).map_err(Error::file("sync", &self.path))
    }

    /// Returns up to where the log is known to have been durable, 0 when nothing is known.
    pub(super) fn checkpoint(&self) -> i64 {
        let text = fs::read_to_string(self.path.join(CHECKPOINT_FILE)).unwrap_or_default();
        // Without the line's end the file was not written to its end.
        text.strip_suffix('\n').and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Notes up to where the log is durable. Not synced: losing the note loses a check, not a record.
    pub(super) fn save_checkpoint(&self, end_offset: i64) -> io::Result<()> {
        replace(&self.path.join(CHECKPOINT_FILE), &format!("{end_offset}\n"), false)
    }

    fn foreign(&self) -> Error {
        Error::Format { dir: self.path.clone(), expected: FORMAT }
    }
}

fn parse_base_offset(digits: &str) -> Option<i64> {
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole { digits.parse().ok() } else { None }
}

fn format_text(stamp: &Stamp) -> String {
    format!("{FORMAT}\nstamp key {:032x}\n", u128::from_be_bytes(stamp.key))
}

fn parse_format(text: &str) -> Option<Stamp> {
    let key = text.strip_prefix(FORMAT)?.strip_prefix("\nstamp key ")?.strip_suffix('\n')?;
    let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
    Some(Stamp { key })
}

fn replace(path: &Path, text: &str, durably: bool) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    if durably {
        File::open(&temporary)?.sync_all()?;
    }
    fs::rename(&temporary, path)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    // The parent of a bare name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
