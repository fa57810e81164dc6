//! The simulated provider's own record of the money that it moved: a file that is only appended to. It is the outside's word in a comparison, so nothing of the system is in it.
//!
//! One line for each movement, as JSON ([`Entry`]). The file holds all of them; in memory are only the keys of the last ones, which are those that can still be asked for again.
//! It survives the process, not the machine: a line is not on the disk before the answer leaves.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use business::partner::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};
use fluvio_streams::time::{Clock as _, SystemClock, format_rfc3339};
use serde::{Deserialize, Serialize};

use crate::limits::{LEDGER_PAGE_ENTRIES_MAX, LEDGER_READ_BYTES_MAX, PROVIDER_ANSWERS_MAX};

/// Money that a provider moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Key of the request that moved it.
    pub(crate) idempotency_key: String,
    /// Whether it was taken or given back.
    pub(crate) operation: Operation,
    /// How much, in won.
    pub(crate) amount: i64,
    /// When, RFC 3339.
    pub(crate) at: String,
}

/// A part of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// In the order in which they were entered.
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// What the provider has done.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    path: PathBuf,
    answers: HashMap<String, ProviderResponse>,
    oldest: VecDeque<String>,
    /// Since the start, in won.
    captured_won: i64,
    refunded_won: i64,
}

impl Ledger {
    /// Opens the file, or creates it; a line that was cut off in the middle is removed.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LEDGER_READ_BYTES_MAX)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(length - (tail.len() - whole) as u64)?;
        let mut ledger = Self { file, path: path.to_owned(), answers: HashMap::new(), oldest: VecDeque::new(), captured_won: 0, refunded_won: 0 };
        // The first line may be the end of one; it is then none.
        for entry in tail[..whole].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
            let outcome = match entry.operation {
                Operation::Accept => ProviderOutcome::Accepted,
                Operation::Undo => ProviderOutcome::Undone,
            };
            ledger.remember(&entry.idempotency_key, ProviderResponse::new(outcome, None));
        }
        Ok(ledger)
    }

    /// Returns the answer that was given for this key, if it is remembered.
    pub(super) fn answer(&self, key: &str) -> Option<&ProviderResponse> {
        self.answers.get(key)
    }

    /// Enters an answer, or returns the one that was entered for this key before. A failure has done nothing, so it may be tried again.
    ///
    /// # Errors
    /// If the file cannot be written: nothing has been done then.
    pub(super) fn enter(&mut self, request: &ProviderRequest, answer: ProviderResponse) -> io::Result<ProviderResponse> {
        let key = &request.idempotency_key;
        if let Some(known) = self.answers.get(key) {
            return Ok(known.clone());
        }
        match answer.outcome {
            ProviderOutcome::Accepted => {
                self.write(request)?;
                self.captured_won = self.captured_won.saturating_add(request.amount);
            }
            ProviderOutcome::Undone => {
                self.write(request)?;
                self.refunded_won = self.refunded_won.saturating_add(request.amount);
            }
            ProviderOutcome::Declined => {}
            ProviderOutcome::Failed => return Ok(answer),
        }
        self.remember(key, answer.clone());
        Ok(answer)
    }

    /// Returns what was captured and refunded since the start, in won.
    pub(super) fn moved_won(&self) -> (i64, i64) {
        (self.captured_won, self.refunded_won)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, request: &ProviderRequest) -> io::Result<()> {
        let entry = Entry {
            idempotency_key: request.idempotency_key.clone(),
            operation: request.operation,
            amount: request.amount,
            at: format_rfc3339(SystemClock.now_ms()),
        };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let end = self.file.metadata()?.len();
        self.file.write_all(&line).inspect_err(|_| {
            // Half a line would spoil the next.
            let _ = self.file.set_len(end);
        })
    }

    fn remember(&mut self, key: &str, answer: ProviderResponse) {
        if self.oldest.len() >= PROVIDER_ANSWERS_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.answers.remove(&oldest);
        }
        if self.answers.insert(key.to_owned(), answer).is_none() {
            self.oldest.push_back(key.to_owned());
        }
    }
}

/// Reads a page of the file at `path`. The cursor is an offset in it.
///
/// # Errors
/// If the file cannot be read, or a line is no entry.
pub(super) fn page(path: &Path, cursor: u64) -> io::Result<Page> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(cursor))?;
    let (mut entries, mut position, mut line) = (Vec::new(), cursor, Vec::new());
    while entries.len() < LEDGER_PAGE_ENTRIES_MAX {
        line.clear();
        let read = file.read_until(b'\n', &mut line)?;
        // A line without an end is being written.
        if !line.ends_with(b"\n") {
            return Ok(Page { entries, next: None });
        }
        position += read as u64;
        entries.push(serde_json::from_slice(&line)?);
    }
    Ok(Page { entries, next: Some(position.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, operation: Operation, amount: i64) -> ProviderRequest {
        ProviderRequest {
            operation,
            id: "o-1".to_owned(),
            attempt: 1,
            amount,
            customer_id: "kim".to_owned(),
            idempotency_key: key.to_owned(),
            try_number: 1,
            details: serde_json::Map::new(),
        }
    }

    fn enter(ledger: &mut Ledger, key: &str, operation: Operation, outcome: ProviderOutcome) -> ProviderOutcome {
        ledger.enter(&request(key, operation, 100), ProviderResponse::new(outcome, None)).expect("it can be written").outcome
    }

    fn keys(path: &Path) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            let page = page(path, cursor).expect("it can be read");
            keys.extend(page.entries.into_iter().map(|entry| entry.idempotency_key));
            match page.next {
                Some(next) => cursor = next.parse().expect("a cursor is a number"),
                None => return keys,
            }
        }
    }

    use Operation::{Accept, Undo};
    use ProviderOutcome::{Accepted, Declined, Failed, Undone};

    #[test]
    fn each_key_is_entered_once_also_after_a_restart_and_a_torn_write() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ledger");
        let mut ledger = Ledger::open(&path).expect("it opens");
        assert_eq!(enter(&mut ledger, "a", Accept, Accepted), Accepted);
        assert_eq!(enter(&mut ledger, "a", Accept, Declined), Accepted, "as it was answered before");
        assert_eq!(enter(&mut ledger, "b", Accept, Declined), Declined);
        assert_eq!(enter(&mut ledger, "c", Undo, Failed), Failed);
        assert_eq!(enter(&mut ledger, "c", Undo, Undone), Undone, "a failure is tried again");
        assert_eq!(ledger.moved_won(), (100, 100));
        drop(ledger);
        let torn = File::options().append(true).open(&path).and_then(|mut file| file.write_all(br#"{"idempotencyKey":"d""#));
        torn.expect("it can be written");
        let mut ledger = Ledger::open(&path).expect("it opens");
        assert_eq!(enter(&mut ledger, "a", Accept, Declined), Accepted);
        assert_eq!(enter(&mut ledger, "e", Accept, Accepted), Accepted);
        assert_eq!(keys(&path), ["a", "c", "e"]);
    }

    #[test]
    fn the_file_holds_everything_and_the_memory_only_the_last() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ledger");
        let mut ledger = Ledger::open(&path).expect("it opens");
        let count = PROVIDER_ANSWERS_MAX + 10;
        for order in 0..count {
            enter(&mut ledger, &format!("o-{order}"), Accept, Accepted);
        }
        assert_eq!((ledger.answers.len(), ledger.oldest.len()), (PROVIDER_ANSWERS_MAX, PROVIDER_ANSWERS_MAX));
        assert!(ledger.answer("o-0").is_none());
        assert_eq!(keys(&path), (0..count).map(|order| format!("o-{order}")).collect::<Vec<_>>());
    }
}
