//! A shared connection that is opened by whoever needs it first.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::log::LogError;

/// The place of one connection.
pub(super) struct Slot<T>(Mutex<Inner<T>>);

struct Inner<T> {
    value: Option<Arc<T>>,
    failed: Option<(Instant, LogError)>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner { value: None, failed: None }))
    }
}

impl<T> Slot<T> {
    /// Returns what is there if it is usable, else what `open` brings. Those who ask while somebody else opens share the outcome, also a failure: else each would wait for its own
    /// timeout, one after the other. Cancel-safe.
    pub(super) async fn get(&self, usable: impl Fn(&Arc<T>) -> bool, open: impl Future<Output = Result<Arc<T>, LogError>>) -> Result<Arc<T>, LogError> {
        let asked = Instant::now();
        let mut inner = self.0.lock().await;
        if let Some(value) = inner.value.as_ref().filter(|value| usable(value)) {
            return Ok(Arc::clone(value));
        }
        if let Some((_, error)) = inner.failed.as_ref().filter(|(failed, _)| *failed > asked) {
            return Err(error.clone());
        }
        inner.value = None;
        match open.await {
            Ok(value) => {
                inner.value = Some(Arc::clone(&value));
                Ok(value)
            }
            Err(error) => {
                inner.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Empties the place if this is what is there.
    pub(super) async fn empty(&self, value: &Arc<T>) {
        let mut inner = self.0.lock().await;
        if inner.value.as_ref().is_some_and(|present| Arc::ptr_eq(present, value)) {
            inner.value = None;
        }
    }
}
