//! What the tests of this crate share: a business of counters, a log that can fail, and an observer that remembers.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod business;
pub(crate) mod faults;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fluvio_streams::record::NewRecord;
use orderflow_views::store::{ListQuery, ViewStore};
use orderflow_views::telemetry::{Event, Observer};
use orderflow_views::view::{Document, View};
use serde_json::{Value, json};

/// Longest wait for anything; only a failing test reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until<F: Future<Output = bool>>(what: &'static str, mut condition: impl FnMut() -> F) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !condition().await {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain at {place}: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Remembers events as text.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|event| event.contains(text))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// Returns a CloudEvent as the runtime writes it.
pub(crate) fn event(kind: &str, subject: &str, correlation: &str, time_ms: i64, data: Value) -> NewRecord {
    let time = fluvio_streams::time::format_rfc3339(time_ms);
    let value = json!({"specversion": "1.0", "type": kind, "id": format!("{subject}/{time_ms}"), "source": "/test", "subject": subject, "time": time, "correlationid": correlation, "data": data});
    NewRecord::keyed(subject, value.to_string())
}

/// Returns every document of a view, in list order.
pub(crate) async fn documents(store: &dyn ViewStore, view: &View) -> Vec<Document> {
    let mut query = ListQuery { filters: vec![], limit: 7, after: None };
    let mut all = Vec::new();
    loop {
        let page = store.list(view, &query).await.expect("the list can be read");
        all.extend(page.documents);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

/// Returns every document with everything about it, as text.
pub(crate) async fn dump(store: &Arc<dyn ViewStore>, view: &View) -> String {
    let line = |document: Document| format!("{} {}/{} {} {}\n", document.id, document.partition, document.offset, document.created_ms, document.value);
    documents(store.as_ref(), view).await.into_iter().map(line).collect()
}
