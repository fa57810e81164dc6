//! The contract of view stores, held against every adapter: the embedded one, and MongoDB on a real `mongod`.

#[path = "contract/adapters.rs"]
mod adapters;
#[path = "contract/model.rs"]
mod model;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orderflow_views::store::{Batch, Cursor, ListQuery, StoreError, ViewStore};
use orderflow_views::view::{Document, View};
use serde_json::{Value, json};
use support::{PATIENCE, documents};

fn view() -> View {
    View { system: "shop".into(), collection: "orders".into(), topic: "shop-orders-events".into(), indexes: vec!["owner".into(), "status".into()] }
}

fn document(id: &str, offset: i64, value: Value) -> Document {
    Document { id: id.into(), partition: 0, offset, created_ms: 1_000, taken: BTreeMap::from([("orders-journal/0".into(), (offset.unsigned_abs(), 1))]), value }
}

fn batch(documents: Vec<Document>, next_offset: i64) -> Batch {
    Batch { partition: 0, documents, next_offset }
}

async fn stored(store: &Arc<dyn ViewStore>, view: &View, id: &str) -> Option<Document> {
    store.get(view, &[id.to_owned()]).await.unwrap().pop()
}

/// Runs every test of the contract on a store.
macro_rules! contract {
    ($adapter:ident, $open:expr) => {
        mod $adapter {
            use super::*;

            contract!(@tests $open;
                an_older_state_never_overwrites_a_newer_one,
                a_document_belongs_to_one_partition,
                progress_never_goes_back,
                a_crash_between_documents_and_progress_changes_nothing_in_the_end,
                lists_are_newest_first_and_pages_cover_them_once,
                filters_are_equalities_of_text,
                lists_follow_changes_of_indexed_fields,
                unknown_filters_are_refused,
                readers_wait_for_a_position,
                views_are_apart,
                a_cleared_view_is_as_new,
                new_indexes_cover_old_documents,
                any_json_and_any_id_come_back_as_they_were,
                racing_sinks_end_with_the_newest_state,
            );
        }
    };
    (@tests $open:expr; $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (store, _guard) = $open.await;
                super::$test(store).await;
            }
        )*
    };
}

contract!(embedded, adapters::embedded());
contract!(mongodb, adapters::mongodb());

async fn an_older_state_never_overwrites_a_newer_one(store: Arc<dyn ViewStore>) {
    let view = view();
    store.prepare(&view).await.unwrap();
    assert_eq!(store.apply(&view, batch(vec![document("o-1", 5, json!({"n": 5}))], 6)).await.unwrap(), 1);
    for offset in [4, 5] {
        let taken = store.apply(&view, batch(vec![document("o-1", offset, json!({"n": "old"})), document("o-2", offset, json!({}))], 6)).await.unwrap();
        assert_eq!(taken, 1, "only the other document is newer");
    }
    assert_eq!(stored(&store, &view, "o-1").await, Some(document("o-1", 5, json!({"n": 5}))));
    assert_eq!(stored(&store, &view, "o-2").await, Some(document("o-2", 5, json!({}))));
    store.apply(&view, batch(vec![document("o-1", 6, json!({"n": 6}))], 7)).await.unwrap();
    assert_eq!(stored(&store, &view, "o-1").await.unwrap().value, json!({"n": 6}));
}

async fn a_document_belongs_to_one_partition(store: Arc<dyn ViewStore>) {
    let view = view();
    store.apply(&view, batch(vec![document("o-1", 5, json!({"n": 5}))], 6)).await.unwrap();
    let foreign = Document { partition: 1, ..document("o-1", 9, json!({"n": 9})) };
    assert_eq!(store.apply(&view, Batch { partition: 1, documents: vec![foreign], next_offset: 10 }).await.unwrap(), 0);
    assert_eq!(stored(&store, &view, "o-1").await.unwrap().value, json!({"n": 5}));
    assert_eq!(store.progress(&view, 1).await.unwrap(), 10, "progress is made all the same");
}

async fn progress_never_goes_back(store: Arc<dyn ViewStore>) {
    let view = view();
    assert_eq!(store.progress(&view, 0).await.unwrap(), 0);
    for (next_offset, expected) in [(5, 5), (3, 5), (9, 9), (0, 9)] {
        store.apply(&view, batch(vec![], next_offset)).await.unwrap();
        assert_eq!(store.progress(&view, 0).await.unwrap(), expected);
    }
    assert_eq!(store.progress(&view, 1).await.unwrap(), 0, "partitions have progress of their own");
    assert_eq!(store.progress(&View { topic: "other".into(), ..view }, 0).await.unwrap(), 0, "topics too");
}

async fn a_crash_between_documents_and_progress_changes_nothing_in_the_end(store: Arc<dyn ViewStore>) {
    let view = view();
    let all: Vec<Document> = (0..50).map(|n| document(&format!("o-{n}"), n, json!({ "n": n }))).collect();
    store.apply(&view, batch(all[..30].to_vec(), 0)).await.unwrap();
    assert_eq!(store.progress(&view, 0).await.unwrap(), 0, "it died before progress");
    assert_eq!(store.apply(&view, batch(all.clone(), 50)).await.unwrap(), 20, "what was written stands");
    let mut found = documents(store.as_ref(), &view).await;
    found.sort_by_key(|document| document.offset);
    assert_eq!(found, all);
}

async fn lists_are_newest_first_and_pages_cover_them_once(store: Arc<dyn ViewStore>) {
    let view = view();
    let times = [5, -1, 7, 5, i64::MAX, 0, i64::MIN, 5];
    let all = times.iter().enumerate().map(|(n, time)| Document { created_ms: *time, ..document(&format!("o-{n}"), n as i64, json!({"owner": "a"})) });
    store.apply(&view, batch(all.collect(), 8)).await.unwrap();
    for filters in [vec![], vec![("owner".to_owned(), "a".to_owned())]] {
        for limit in 1..10 {
            let mut query = ListQuery { filters: filters.clone(), limit, after: None };
            let mut seen = Vec::new();
            loop {
                let page = store.list(&view, &query).await.unwrap();
                assert!(page.documents.len() <= limit);
                seen.extend(page.documents.into_iter().map(|document| document.id));
                // A cursor survives its way through a reader.
                let Some(next) = page.next else { break };
                query.after = Some(next.to_string().parse::<Cursor>().unwrap());
            }
            assert_eq!(seen, ["o-4", "o-2", "o-0", "o-3", "o-7", "o-5", "o-1", "o-6"], "limit {limit}");
        }
    }
}

async fn filters_are_equalities_of_text(store: Arc<dyn ViewStore>) {
    let view = view();
    let long = "x".repeat(3_000);
    let values = [
        json!({"owner": "a"}),
        json!({"owner": "ab", "status": true}),
        json!({"owner": "a", "status": 7}),
        json!({"owner": ["a"]}),
        json!({"owner": null}),
        json!({"owner": format!("{long}1")}),
        json!({"owner": format!("{long}2")}),
    ];
    let all = values.into_iter().enumerate().map(|(n, value)| document(&format!("o-{n}"), n as i64, value)).collect();
    store.apply(&view, batch(all, 10)).await.unwrap();
    let find = async |filters: &[(&str, &str)]| {
        let filters = filters.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())).collect();
        let page = store.list(&view, &ListQuery { filters, limit: 10, after: None }).await.unwrap();
        page.documents.into_iter().map(|document| document.id).collect::<Vec<_>>()
    };
    assert_eq!(find(&[("owner", "a")]).await, ["o-0", "o-2"]);
    assert_eq!(find(&[("status", "true")]).await, ["o-1"]);
    assert_eq!(find(&[("owner", "a"), ("status", "7")]).await, ["o-2"]);
    assert_eq!(find(&[("status", "7"), ("owner", "ab")]).await, Vec::<String>::new());
    assert_eq!(find(&[("owner", &format!("{long}2"))]).await, ["o-6"]);
    assert_eq!(find(&[("owner", "")]).await, Vec::<String>::new());
}

async fn lists_follow_changes_of_indexed_fields(store: Arc<dyn ViewStore>) {
    let view = view();
    for (offset, status) in [(1, json!("Placed")), (2, json!("Delivered")), (3, Value::Null), (4, json!("Placed"))] {
        store.apply(&view, batch(vec![document("o-1", offset, json!({ "status": status }))], offset + 1)).await.unwrap();
        for name in ["Placed", "Delivered"] {
            let query = ListQuery { filters: vec![("status".into(), name.into())], limit: 10, after: None };
            let found = store.list(&view, &query).await.unwrap().documents.len();
            assert_eq!(found, usize::from(status == name), "filter {name}, status {status}");
        }
        assert_eq!(documents(store.as_ref(), &view).await.len(), 1);
    }
}

async fn unknown_filters_are_refused(store: Arc<dyn ViewStore>) {
    let query = ListQuery { filters: vec![("price".into(), "1".into())], limit: 10, after: None };
    let error = store.list(&view(), &query).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotIndexed { field, .. } if field == "price"), "{error}");
}

async fn readers_wait_for_a_position(store: Arc<dyn ViewStore>) {
    let view = view();
    assert!(!store.wait_for(&view, 0, 0, Duration::from_millis(20)).await.unwrap(), "nothing was written yet");
    store.apply(&view, batch(vec![], 5)).await.unwrap();
    assert!(store.wait_for(&view, 0, 4, Duration::ZERO).await.unwrap());
    assert!(!store.wait_for(&view, 0, 5, Duration::from_millis(20)).await.unwrap(), "offset 5 is the next one");
    assert!(!store.wait_for(&view, 1, 4, Duration::from_millis(20)).await.unwrap(), "another partition");
    let (arrived, written) = tokio::join!(store.wait_for(&view, 0, 5, PATIENCE), store.apply(&view, batch(vec![], 6)));
    written.unwrap();
    assert!(arrived.unwrap());
}

async fn views_are_apart(store: Arc<dyn ViewStore>) {
    let views = [
        view(),
        View { collection: "order".into(), ..view() },
        View { system: "shop2".into(), ..view() },
        View { system: "s".into(), collection: "hop.orders".into(), ..view() },
    ];
    for (n, view) in views.iter().enumerate() {
        store.prepare(view).await.unwrap();
        store.apply(view, batch(vec![document("o-1", 1, json!({ "owner": "a", "n": n }))], n as i64 + 1)).await.unwrap();
    }
    store.clear(&views[3]).await.unwrap();
    for (n, view) in views.iter().enumerate().take(3) {
        let found = documents(store.as_ref(), view).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value["n"], n);
        assert_eq!(store.progress(view, 0).await.unwrap(), n as i64 + 1);
    }
    assert!(documents(store.as_ref(), &views[3]).await.is_empty());
}

async fn a_cleared_view_is_as_new(store: Arc<dyn ViewStore>) {
    let view = view();
    store.prepare(&view).await.unwrap();
    let all: Vec<Document> = (0..2_500).map(|n| document(&format!("o-{n}"), n, json!({"owner": "a"}))).collect();
    store.apply(&view, batch(all, 2_500)).await.unwrap();
    store.clear(&view).await.unwrap();
    assert_eq!(store.progress(&view, 0).await.unwrap(), 0);
    assert!(!store.wait_for(&view, 0, 0, Duration::from_millis(20)).await.unwrap());
    assert!(documents(store.as_ref(), &view).await.is_empty());
    store.apply(&view, batch(vec![document("o-1", 0, json!({"owner": "b"}))], 1)).await.unwrap();
    assert_eq!(stored(&store, &view, "o-1").await.unwrap().value, json!({"owner": "b"}), "an offset that is smaller than before counts again");
}

async fn new_indexes_cover_old_documents(store: Arc<dyn ViewStore>) {
    let old = View { indexes: vec!["owner".into()], ..view() };
    store.prepare(&old).await.unwrap();
    let all: Vec<Document> =
        (0..1_500).map(|n| document(&format!("o-{n}"), n, json!({"owner": "a", "status": if n % 500 == 0 { "Placed" } else { "Delivered" }}))).collect();
    store.apply(&old, batch(all, 1_500)).await.unwrap();
    let new = View { indexes: vec!["status".into()], ..view() };
    for _ in 0..2 {
        store.prepare(&new).await.unwrap();
        let query = ListQuery { filters: vec![("status".into(), "Placed".into())], limit: 10, after: None };
        assert_eq!(store.list(&new, &query).await.unwrap().documents.len(), 3);
        assert_eq!(documents(store.as_ref(), &new).await.len(), 1_500);
    }
}

async fn any_json_and_any_id_come_back_as_they_were(store: Arc<dyn ViewStore>) {
    let view = view();
    let values = [
        json!({"z": 1, "a": {"c": [1, 2.5, -0.0, 1e300, null, true, {}]}, "b": ""}),
        json!({"$set": {"a": 1}}),
        json!({"a.b": {"$gt": 1}, "": 2, "n\u{0}": 3}),
        json!({"max": u64::MAX, "min": i64::MIN, "tenth": 0.1, "third": 1.0 / 3.0}),
        json!("text alone"),
        json!([1, 2]),
    ];
    let ids = ["o-1", "주문 1", "$where", "a.b/c\\d", "\u{0}", "O-1"];
    for (offset, (id, value)) in ids.iter().zip(&values).enumerate() {
        store.apply(&view, batch(vec![document(id, offset as i64, value.clone())], offset as i64 + 1)).await.unwrap();
    }
    for (id, value) in ids.iter().zip(&values) {
        let found = stored(&store, &view, id).await.unwrap();
        assert_eq!(found.value.to_string(), value.to_string(), "the bytes of {id:?}");
    }
    assert_eq!(documents(store.as_ref(), &view).await.len(), ids.len());
}

async fn racing_sinks_end_with_the_newest_state(store: Arc<dyn ViewStore>) {
    let view = view();
    store.prepare(&view).await.unwrap();
    // Both write the same new documents at once, one of them an older state: whatever comes first, the newer one stays.
    for round in 0..20_i64 {
        let states = |offset: i64| (0..20).map(|n| document(&format!("o-{round}-{n}"), offset, json!({ "offset": offset }))).collect::<Vec<_>>();
        let base = round * 10;
        let (older, newer) = tokio::join!(store.apply(&view, batch(states(base), base + 1)), store.apply(&view, batch(states(base + 5), base + 6)));
        older.unwrap();
        newer.unwrap();
        let ids: Vec<String> = (0..20).map(|n| format!("o-{round}-{n}")).collect();
        let found = store.get(&view, &ids).await.unwrap();
        assert_eq!(found.len(), 20);
        assert!(found.iter().all(|document| document.offset == base + 5), "{found:?}");
    }
    assert_eq!(store.progress(&view, 0).await.unwrap(), 196);
}
