//! Chains that several streams share.
//!
//! A system of many processors reads each partition of each topic through the same small module, and the engine compiles it anew for each stream. A module that is declared pure gives every
//! stream the same answers, so streams that ask it the same may take turns with one instance. Modules that nobody declared pure are never shared: they may count what they see.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use fluvio_protocol::{Version, link::ErrorCode};

use super::{
    Worker,
    chain::{Question, Source},
};

/// The chains that are shared, by what they are asked.
pub(super) struct Pool {
    pure: Vec<String>,
    places: Mutex<Vec<(Version, Question, Arc<Place>)>>,
}

/// Where streams that ask the same meet: the first starts the chain while the others wait.
#[derive(Default)]
pub(super) struct Place(tokio::sync::Mutex<Weak<Worker>>);

impl Pool {
    pub(super) fn new(pure: Vec<String>) -> Self {
        Self { pure, places: Mutex::default() }
    }

    /// Returns the place for a chain; none if it may not be shared.
    pub(super) fn place_of(&self, sources: &[Source], version: Version) -> Option<Arc<Place>> {
        let [source] = sources else { return None };
        let question = source.question(&self.pure)?;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, place)) = places.iter().find(|(known, asked, _)| *known == version && *asked == question) {
            return Some(Arc::clone(place));
        }
        // Places that nobody uses any more go, so there are never more than streams.
        places.retain(|(_, _, place)| Arc::strong_count(place) > 1 || place.is_in_use());
        let place = Arc::<Place>::default();
        places.push((version, question, Arc::clone(&place)));
        Some(place)
    }
}

impl Place {
    /// Returns the chain that is here, or starts one.
    pub(super) async fn take_or_start<F: Future<Output = Result<Worker, ErrorCode>>>(&self, start: impl FnOnce() -> F) -> Result<Arc<Worker>, ErrorCode> {
        let mut here = self.0.lock().await;
        if let Some(worker) = here.upgrade().filter(|worker| !worker.thread.is_finished()) {
            return Ok(worker);
        }
        let worker = Arc::new(start().await?);
        *here = Arc::downgrade(&worker);
        Ok(worker)
    }

    fn is_in_use(&self) -> bool {
        // Locked means that somebody is about to use it.
        self.0.try_lock().map_or(true, |here| here.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        sync::mpsc,
        thread,
    };

    use super::*;

    /// A worker whose thread ends with its last user, as a chain's does.
    async fn start(started: &AtomicUsize) -> Result<Worker, ErrorCode> {
        started.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let (jobs, queue) = mpsc::channel::<super::super::Job>();
        let thread = thread::spawn(move || while queue.recv().is_ok() {});
        Ok(Worker { jobs, thread })
    }

    #[tokio::test]
    async fn a_chain_starts_once_lives_as_long_as_it_is_used_and_starts_again() {
        let (place, started) = (Place::default(), AtomicUsize::new(0));
        let (first, second) = tokio::join!(place.take_or_start(|| start(&started)), place.take_or_start(|| start(&started)));
        let (first, second) = (first.expect("it starts"), second.expect("it is there"));
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        assert!(place.is_in_use());
        drop(second);
        assert!(!place.is_in_use());
        let _third = place.take_or_start(|| start(&started)).await.expect("it starts again");
        assert_eq!(started.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_chain_that_has_failed_is_not_given_to_anybody_else() {
        let (place, started) = (Place::default(), AtomicUsize::new(0));
        let failed = place.take_or_start(async || {
            let (jobs, _) = mpsc::channel();
            let thread = thread::spawn(|| {});
            while !thread.is_finished() {
                tokio::task::yield_now().await;
            }
            Ok(Worker { jobs, thread })
        });
        let failed = failed.await.expect("it starts");
        let fresh = place.take_or_start(|| start(&started)).await.expect("it starts");
        assert!(!Arc::ptr_eq(&failed, &fresh));
        let refused = Place::default().take_or_start(async || Err(ErrorCode::Other("no".to_owned()))).await;
        assert!(refused.is_err());
    }
}
