//! A CloudEvents record as it stands in a topic.

use serde_json::Value;

/// What the ledger needs of an event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) time: String,
    pub(super) correlation: String,
    pub(super) data: Value,
}

impl Event {
    /// Reads an event; `None` if it is none.
    pub(super) fn of(mut value: Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let (id, kind, subject, time, correlation) = (text("id")?, text("type")?, text("subject")?, text("time")?, text("correlationid")?);
        let data = value.get_mut("data")?.take();
        Some(Self { id, kind, subject, time, correlation, data })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.data.get(name)?.as_i64()
    }
}
