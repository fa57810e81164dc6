//! What a view is, and what one of its documents is.

use std::collections::BTreeMap;

use serde_json::Value;

use fluvio_streams::projection::Projection;
use fluvio_streams::trace::{Span, Trace};

use crate::limits::INDEX_VALUE_BYTES_MAX;

/// A view: a collection of documents of a system, folded from one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// System, for example `food-delivery`.
    pub system: String,
    /// Collection, for example `orders`. Unique within the system.
    pub collection: String,
    /// Topic whose events are folded.
    pub topic: String,
    /// Top-level fields by which lists are filtered.
    pub indexes: Vec<String>,
}

impl View {
    /// Returns the view that a projection of `system` fills.
    pub fn of(system: &str, projection: &dyn Projection) -> Self {
        Self {
            system: system.to_owned(),
            collection: projection.collection().to_owned(),
            topic: projection.topic(),
            indexes: projection.indexes().iter().map(|field| (*field).to_owned()).collect(),
        }
    }

    /// Returns `<system>.<collection>`: unique, since neither part has a dot in it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.system, self.collection)
    }

    /// Returns the span of taking an event into the view, in its trace: the event is named by its id.
    pub(crate) fn span(&self, trace: Trace, partition: u32, event: &str) -> Span {
        trace.span(&["view", &self.system, &self.collection, &partition.to_string(), event])
    }

    /// Returns the indexed fields of a document with the text by which they are filtered. A field that is absent, null, an object or an array is not found by any filter.
    pub fn index_entries(&self, value: &Value) -> Vec<(&str, String)> {
        let entry = |field: &String| value.get(field).and_then(filter_text);
        self.indexes.iter().filter_map(|field| entry(field).map(|text| (field.as_str(), text))).collect()
    }
}

/// A document and what it includes.
///
/// All events of one document come from one partition, so (partition, offset) says which of them are folded in, and the rest is a function of those: the same on every replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Id, unique within the view.
    pub id: String,
    /// Partition that its events come from.
    pub partition: u32,
    /// Offset of the last event that is folded in.
    pub offset: i64,
    /// Time of its first event, ms since the Unix epoch: lists show the newest first by it.
    pub created_ms: i64,
    /// What of each sender is folded in: of a journal partition (`<journal>/<partition>`), the sequence number and index of its last event. A sender that comes back from a long pause may
    /// send again what it had sent before, behind what its successor sent meanwhile: that is no news.
    pub taken: BTreeMap<String, (u64, u32)>,
    /// What readers see.
    pub value: Value,
}

/// Returns the text by which a field is filtered: a string as it is, a number or truth value as JSON.
pub(crate) fn filter_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the part of a filter text that goes into index keys.
pub(crate) fn index_part(text: &str) -> &str {
    if text.len() <= INDEX_VALUE_BYTES_MAX {
        return text;
    }
    let end = (0..=INDEX_VALUE_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// Returns about how many bytes the value has as JSON: exact but for escapes and fractions. Quicker than rendering it.
pub(crate) fn json_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 20,
        Value::String(text) => text.len() + 2,
        Value::Array(values) => 2 + values.iter().map(|value| 1 + json_size(value)).sum::<usize>(),
        Value::Object(members) => 2 + members.iter().map(|(name, value)| name.len() + 4 + json_size(value)).sum::<usize>(),
    }
}
