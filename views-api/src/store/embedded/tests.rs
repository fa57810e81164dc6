use serde_json::json;

use super::*;

/// Batches of each writer: far more than the store's worker has places in its queue.
const BATCHES: i64 = 3_000;

fn view() -> View {
    View { system: "shop".to_owned(), collection: "orders".to_owned(), topic: "orders-events".to_owned(), indexes: vec!["status".to_owned()] }
}

/// Writes batches of a few documents as fast as possible.
fn write(inner: &Inner, partition: u32) {
    for batch in 0..BATCHES {
        let document = |n: i64| Document {
            id: format!("{partition}-{}", (batch + n) % 500),
            partition,
            offset: batch * 5 + n,
            created_ms: n,
            taken: Default::default(),
            value: json!({ "status": format!("s-{}", batch % 7), "text": "x".repeat(500) }),
        };
        let batch = Batch { partition, documents: (0..5).map(document).collect(), next_offset: batch * 5 + 5 };
        inner.apply(&view(), &batch).expect("the batch is written");
    }
}

#[test]
fn documents_are_written_out_however_fast_they_come() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = EmbeddedStore::open(directory.path()).expect("the store opens");
    std::thread::scope(|scope| {
        for partition in 0..4 {
            let inner = store.shared.opened().expect("it is open");
            scope.spawn(move || write(&inner, partition));
        }
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let inner = store.shared.opened().expect("it is open");
    for keyspace in [&inner.documents, &inner.entries].map(SealingKeyspace::keyspace) {
        while keyspace.sealed_memtable_count() > 0 {
            assert!(std::time::Instant::now() < deadline, "{} still has {} memtables to write", keyspace.name(), keyspace.sealed_memtable_count());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(keyspace.table_count() > 0, "{} was written out", keyspace.name());
    }
}

/// Goal: after a write that failed, views go on without a restart once the disk takes writes again.
#[tokio::test]
async fn a_database_that_could_not_be_written_is_opened_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = EmbeddedStore::open(directory.path()).expect("the store opens");
    let batch = |offset: i64| {
        let document =
            Document { id: "o-1".to_owned(), partition: 0, offset, created_ms: 1, taken: Default::default(), value: json!({ "status": offset.to_string() }) };
        Batch { partition: 0, documents: vec![document], next_offset: offset + 1 }
    };
    store.apply(&view(), batch(0)).await.expect("the batch is written");
    // As if that write had failed; who reads at that moment keeps the directory until it is done.
    let reader = store.shared.opened().expect("it is open");
    reader.is_spoiled.store(true, Ordering::Relaxed);
    store.progress(&view(), 0).await.expect("what is there can still be read");
    assert!(store.apply(&view(), batch(1)).await.is_err(), "somebody still has it open");
    drop(reader);
    assert_eq!(store.progress(&view(), 0).await.expect("it can be read"), 1, "what was written is there");
    store.apply(&view(), batch(1)).await.expect("the batch is written");
    assert!(store.wait_for(&view(), 0, 1, Duration::ZERO).await.expect("it can be read"), "readers hear of it");
}
