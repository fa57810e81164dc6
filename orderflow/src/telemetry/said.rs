//! What the log said, for tests: caught on this thread alone.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The lines of a log.
#[derive(Debug)]
pub(super) struct Said(pub(super) String);

impl Said {
    /// Returns how many lines have this level.
    pub(super) fn lines(&self, level: &str) -> usize {
        self.0.lines().filter(|line| line.contains(level)).count()
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what is said while this is done.
pub(super) fn catch(done: impl FnOnce()) -> Said {
    let (buffer, kept) = {
        let buffer = Buffer::default();
        (buffer.clone(), buffer)
    };
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || buffer.clone()).finish();
    tracing::subscriber::with_default(subscriber, done);
    let bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Said(String::from_utf8_lossy(&bytes).into_owned())
}
