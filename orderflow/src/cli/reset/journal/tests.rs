//! Putting a state in place of another, against a journal in memory: wholly, and by nobody but who has the task.

use fluvio_streams::journal::{Fence, Transaction};
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::state::keys;
use fluvio_streams::topology::Source;

use super::*;

/// A store of the processor: a reset is by a program that can read the state, as any takeover.
const STORE: &str = "store-orders";

/// The store of food delivery, with a journal of three entries, and a sender that it has heard of.
struct Store {
    log: MemoryLog,
    spec: ProcessorSpec,
}

impl Store {
    fn new() -> Self {
        let system = crate::systems::all().expect("the settings work").remove(0);
        let spec = system.topology.processors.into_iter().find(|spec| spec.name == "store").expect("there is a store");
        let log = MemoryLog::default();
        log.create(&spec.journal, 1);
        let store = Self { log, spec };
        store.append(&JournalRecord::Fence(Fence { owner: "a".to_owned(), epoch: 1, restore_point: None }));
        let Source { topic, .. } = &store.spec.sources[0];
        let progress = [(keys::source(topic), Some(7_i64.to_be_bytes().to_vec())), (keys::sender(topic, "j", 0), Some(vec![1]))];
        let entries = ["a", "b", "c"].map(|key| (keys::user(STORE, key), Some(key.as_bytes().to_vec())));
        store.append(&JournalRecord::Transaction(Transaction {
            owner: "a".to_owned(),
            epoch: 1,
            sequence: 1,
            time_ms: 1_000,
            sent: 0,
            causes: Vec::new(),
            changes: progress.into_iter().chain(entries).collect(),
            effects: Vec::new(),
            restore_point: None,
            kept: None,
        }));
        store
    }

    fn append(&self, record: &JournalRecord) {
        self.log.append(&self.spec.journal, 0, 1_000, NewRecord { key: None, value: record.encode().into() }).expect("it is there");
    }

    async fn current(&self, owner: &str) -> Current {
        Current::read(&self.log, "food-delivery", &self.spec, 0, 1, owner).await.expect("it can be read")
    }
}

fn wanted() -> Entries {
    [("b", "b"), ("c", "other"), ("d", "new")].map(|(key, value)| (keys::user(STORE, key), value.as_bytes().to_vec())).into()
}

#[tokio::test]
async fn what_differs_is_one_transaction_and_progress_stays() {
    let store = Store::new();
    let mut current = store.current("reset-1").await;
    current.hold(&store.log).await.expect("nobody else has it");
    assert_eq!(current.replace(&store.log, &wanted()).await.expect("it fits"), 3, "one goes, one changes, one comes");
    let after = store.current("reset-2").await;
    assert_eq!(after.state().expect("it fits"), wanted());
    assert_eq!(after.task.source_offset(0), 7, "what was taken stays taken");
    let sender = keys::sender(&store.spec.sources[0].topic, "j", 0);
    assert_eq!(entries(&after.store).expect("it fits").get(&sender), Some(&vec![1]), "and who sent it is remembered");
    // Once more there is nothing to do, and nothing is written but the fence.
    let (mut again, end) = (after, store.log.bounds(&store.spec.journal, 0).expect("it is there").end);
    again.hold(&store.log).await.expect("nobody else has it");
    assert_eq!(again.replace(&store.log, &wanted()).await.expect("it fits"), 0);
    assert_eq!(store.log.bounds(&store.spec.journal, 0).expect("it is there").end, end + 1);
}

#[tokio::test]
async fn who_takes_the_task_over_meanwhile_keeps_its_state() {
    let store = Store::new();
    let before = store.current("reader").await.state().expect("it fits");
    let mut current = store.current("reset-1").await;
    current.hold(&store.log).await.expect("nobody else has it yet");
    store.append(&JournalRecord::Fence(Fence { owner: "an instance".to_owned(), epoch: u64::MAX, restore_point: None }));
    let error = current.replace(&store.log, &wanted()).await.expect_err("it is not ours any more");
    assert!(error.to_string().contains("nothing was changed: stop the instances"), "{error:#}");
    assert_eq!(store.current("reader").await.state().expect("it fits"), before);
}

#[tokio::test]
async fn what_does_not_fit_into_one_transaction_is_refused_whole() {
    let store = Store::new();
    let before = store.current("reader").await.state().expect("it fits");
    let mut current = store.current("reset-1").await;
    current.hold(&store.log).await.expect("nobody else has it");
    let large: Entries = (0..100).map(|number| (keys::user(STORE, &format!("o-{number}")), vec![b'x'; 10_000])).collect();
    let error = current.replace(&store.log, &large).await.expect_err("it is too much");
    assert!(error.to_string().contains("103 entries change"), "{error:#}");
    assert_eq!(store.current("reader").await.state().expect("it fits"), before);
}
