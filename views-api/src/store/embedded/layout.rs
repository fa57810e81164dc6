//! Keys and values of the embedded store.
//!
//! Every part of a key but the last is preceded by its length, so that no text can reach into its neighbour. List entries end with (creation time, newest first; id), and exist once for
//! the whole view and once for each indexed field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::{Cursor, StoreError};
use crate::view::{Document, View, index_part};

/// A document as it is stored: JSON, with what the store needs to know before it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(rename = "p")]
    pub(super) partition: u32,
    #[serde(rename = "o")]
    pub(super) offset: i64,
    #[serde(rename = "c")]
    created_ms: i64,
    /// Indexed fields as the list entries of this state have them.
    #[serde(rename = "k")]
    keys: BTreeMap<String, String>,
    #[serde(rename = "t", default)]
    taken: BTreeMap<String, (u64, u32)>,
    #[serde(rename = "d")]
    value: Box<RawValue>,
}

impl Stored {
    pub(super) fn of(view: &View, document: &Document) -> Self {
        let entries = view.index_entries(&document.value).into_iter();
        Self {
            partition: document.partition,
            offset: document.offset,
            created_ms: document.created_ms,
            taken: document.taken.clone(),
            keys: entries.map(|(field, text)| (field.to_owned(), index_part(&text).to_owned())).collect(),
            value: serde_json::value::to_raw_value(&document.value).unwrap_or_else(|error| unreachable!("a JSON value serializes: {error}")),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("a stored document serializes: {error}"))
    }

    pub(super) fn decode(view: &View, id: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| damaged(view, id, &error))
    }

    pub(super) fn into_document(self, view: &View, id: &str) -> Result<Document, StoreError> {
        let value = serde_json::from_str(self.value.get()).map_err(|error| damaged(view, id, &error))?;
        Ok(Document { id: id.to_owned(), partition: self.partition, offset: self.offset, created_ms: self.created_ms, taken: self.taken, value })
    }

    /// Returns the keys of this state's list entries.
    pub(super) fn entry_keys(&self, view: &View, id: &str) -> Vec<Vec<u8>> {
        let fields = std::iter::once(None).chain(self.keys.iter().map(|(field, text)| Some((field.as_str(), text.as_str()))));
        let cursor = Cursor { created_ms: self.created_ms, id: id.to_owned() };
        fields.map(|field| [entry_prefix(view, field), place(&cursor)].concat()).collect()
    }
}

/// What the end of a list entry's key says.
pub(super) struct Entry {
    pub(super) created_ms: i64,
    pub(super) id: String,
}

impl Entry {
    pub(super) fn decode(view: &View, prefix: &[u8], key: &[u8]) -> Result<Self, StoreError> {
        let end = key.get(prefix.len()..).and_then(|rest| rest.split_first_chunk::<8>());
        let (created, id) = end.ok_or_else(|| damaged(view, "", &"list entry is too short"))?;
        Ok(Self { created_ms: newest_first(i64::from_be_bytes(*created)), id: text(view, id)? })
    }
}

/// Turns the order of times round, and makes their bytes sort like their values. It is its own reverse.
fn newest_first(time_ms: i64) -> i64 {
    // Negative numbers have the sign bit set and would sort last: flipping every bit but the sign's does both.
    time_ms ^ i64::MAX
}

fn place(cursor: &Cursor) -> Vec<u8> {
    [newest_first(cursor.created_ms).to_be_bytes().as_slice(), cursor.id.as_bytes()].concat()
}

fn part(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

/// Returns the beginning of the keys of a view's documents; its list entries begin with it too.
pub(super) fn document_prefix(view: &View) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    part(&mut key, &view.system);
    part(&mut key, &view.collection);
    key
}

pub(super) fn document_key(view: &View, id: &str) -> Vec<u8> {
    [document_prefix(view).as_slice(), id.as_bytes()].concat()
}

/// Returns the beginning of the list entries of a field's value, or of the whole view.
pub(super) fn entry_prefix(view: &View, field: Option<(&str, &str)>) -> Vec<u8> {
    let mut key = document_prefix(view);
    let (name, text) = field.unwrap_or_default();
    part(&mut key, name);
    part(&mut key, index_part(text));
    key
}

/// Returns the least key after the cursor's.
pub(super) fn after(prefix: &[u8], cursor: &Cursor) -> Vec<u8> {
    [prefix, place(cursor).as_slice(), &[0]].concat()
}

/// Returns the least key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Returns the beginning of a view's progress keys. The letter keeps them apart from the other keys beside them.
pub(super) fn progress_prefix(view: &View) -> Vec<u8> {
    [b"P".as_slice(), &document_prefix(view)].concat()
}

pub(super) fn progress_key(view: &View, partition: u32) -> Vec<u8> {
    let mut key = progress_prefix(view);
    part(&mut key, &view.topic);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

pub(super) fn indexes_key(view: &View) -> Vec<u8> {
    [b"I".as_slice(), &document_prefix(view)].concat()
}

pub(super) fn text(view: &View, bytes: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(bytes.to_vec()).map_err(|error| damaged(view, "", &error))
}

fn damaged(view: &View, id: &str, detail: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { view: view.name(), key: id.to_owned(), detail: detail.to_string() }
}
