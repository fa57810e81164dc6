//! Opens the adapters, and what is particular to each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use orderflow_testkit::Mongod;
use orderflow_views::store::{EmbeddedStore, MongoStore, StoreError, ViewStore};
use serde_json::json;
use tempfile::TempDir;

use super::{batch, document, documents, stored, view};

/// Returns a store in a directory of its own.
pub(crate) async fn embedded() -> (Arc<dyn ViewStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(EmbeddedStore::open(directory.path()).unwrap()), directory)
}

/// Returns a store in a database of its own, on one server for all tests of this program.
pub(crate) async fn mongodb() -> (Arc<dyn ViewStore>, ()) {
    static SERVER: OnceLock<Mongod> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Mongod::start)).await.unwrap();
    let database = format!("{}-{}", server.database(), DATABASES.fetch_add(1, Ordering::Relaxed));
    (Arc::new(MongoStore::connect(server.uri(), Some(&database)).await.unwrap()), ())
}

#[tokio::test]
async fn an_embedded_store_is_found_again_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let store: Arc<dyn ViewStore> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        store.prepare(&view()).await.unwrap();
        assert_eq!(store.progress(&view(), 0).await.unwrap(), round);
        assert_eq!(documents(store.as_ref(), &view()).await.len() as i64, round);
        store.apply(&view(), batch(vec![document(&format!("o-{round}"), round, json!({"owner": "a"}))], round + 1)).await.unwrap();
    }
}

#[tokio::test]
async fn an_embedded_store_says_why_it_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let error = EmbeddedStore::open(directory.path()).err().expect("two may not use one directory");
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
    drop(store);

    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = EmbeddedStore::open(&file).err().expect("a file is no directory");
    assert!(matches!(error, StoreError::Failed { action: "open", .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_hear_of_a_write_whose_sink_has_gone_away() {
    let (store, _directory) = embedded().await;
    for offset in 0..50 {
        let reader = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.wait_for(&super::view(), 0, offset, super::PATIENCE).await.unwrap() }
        });
        let view = view();
        // It has begun, and is not waited for.
        let _ = store.apply(&view, batch(vec![], offset + 1)).now_or_never();
        assert!(reader.await.unwrap(), "offset {offset}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_not_a_wait() {
    let store = MongoStore::connect("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100", None).await.unwrap();
    let error = store.ready().await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    assert!(store.progress(&view(), 0).await.is_err());
    assert!(MongoStore::connect("http://127.0.0.1", None).await.is_err(), "not a connection string");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_mongod_is_killed_while_it_writes() {
    let mut server = tokio::task::spawn_blocking(Mongod::start_owned).await.unwrap();
    let uri = format!("{}&serverSelectionTimeoutMS=500", server.uri());
    let store: Arc<dyn ViewStore> = Arc::new(MongoStore::connect(&uri, Some(server.database())).await.unwrap());
    store.prepare(&view()).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut acknowledged = 0;
            loop {
                let states = (0..20).map(|n| document(&format!("o-{n}"), acknowledged, json!({ "round": acknowledged }))).collect();
                match store.apply(&view(), batch(states, acknowledged + 1)).await {
                    Ok(_) => acknowledged += 1,
                    Err(_) => return acknowledged,
                }
            }
        })
    };
    assert!(store.wait_for(&view(), 0, 20, super::PATIENCE).await.unwrap(), "some rounds are written");
    let server = tokio::task::spawn_blocking(move || {
        server.kill().unwrap();
        server
    });
    let mut server = server.await.unwrap();
    let acknowledged = writer.await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    });
    let _server = server.await.unwrap();
    super::support::until("the restarted server answers", async || store.ready().await.is_ok()).await;
    let progress = store.progress(&view(), 0).await.unwrap();
    assert!(progress <= acknowledged + 1, "progress never claims what was not written: {progress} of {acknowledged}");
    for n in 0..20 {
        let found = stored(&store, &view(), &format!("o-{n}")).await.unwrap();
        assert!(found.offset >= acknowledged - 1, "document {n} has round {}, {acknowledged} were acknowledged", found.offset);
        assert_eq!(found.value["round"], found.offset);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_into_a_lost_database_is_older_than_what_is_written_after_it() {
    let server = tokio::task::spawn_blocking(Mongod::start_owned).await.unwrap();
    let connect = || async { Arc::new(MongoStore::connect(server.uri(), Some(server.database())).await.unwrap()) as Arc<dyn ViewStore> };
    let (one, other) = (connect().await, connect().await);
    let state = |id: &str, offset: i64, what: &str| document(id, offset, json!({ "what": what, "owner": "kim" }));
    one.prepare(&view()).await.unwrap();
    assert_eq!(one.begin(&view(), 0).await.unwrap(), 0);
    one.apply(&view(), batch(vec![state("x", 0, "whole"), state("y", 1, "whole")], 2)).await.unwrap();
    assert_eq!(other.begin(&view(), 0).await.unwrap(), 2);

    let client = mongodb::Client::with_uri_str(server.uri()).await.unwrap();
    client.database(server.database()).drop().await.unwrap();
    let lost = one.apply(&view(), batch(vec![state("x", 2, "torn")], 3)).await;
    assert!(matches!(lost, Err(StoreError::Emptied { .. })), "{lost:?}");
    assert_eq!(one.begin(&view(), 0).await.unwrap(), 0, "from the beginning");
    assert_eq!(stored(&one, &view(), "x").await, None, "what was written after the loss is none of this life");
    // The other one has not noticed: what it writes does not stay, whether it comes before or after.
    let late = other.apply(&view(), batch(vec![state("y", 3, "torn"), state("z", 4, "torn")], 5)).await;
    assert!(matches!(late, Err(StoreError::Emptied { .. })), "{late:?}");
    one.apply(&view(), batch(vec![state("x", 2, "whole"), state("y", 3, "whole"), state("z", 4, "whole")], 5)).await.unwrap();
    assert_eq!(other.begin(&view(), 0).await.unwrap(), 5, "it goes on in the life that the first one began");
    other.apply(&view(), batch(vec![state("z", 5, "newer")], 6)).await.unwrap();
    for (id, what) in [("x", "whole"), ("y", "whole"), ("z", "newer")] {
        assert_eq!(stored(&one, &view(), id).await.unwrap().value["what"], what, "document {id}");
    }
    let indexes = client.database(server.database()).collection::<mongodb::bson::Document>(&view().name()).list_index_names().await.unwrap();
    assert!(indexes.contains(&"by-owner".to_owned()), "{indexes:?}");
}
