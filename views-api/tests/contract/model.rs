//! Random batches against a model of a few lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use orderflow_views::store::{Batch, ListQuery, ViewStore};
use orderflow_views::view::{Document, View};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::support::documents;
use super::{adapters, view};

/// What is written: (partition, progress, [(document, offset, owner)]).
type Write = (u32, i64, Vec<(u8, i64, u8)>);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    prop::collection::vec((0..2_u32, 0..30_i64, prop::collection::vec((0..6_u8, 0..30_i64, 0..3_u8), 0..5)), 1..12)
}

/// The creation time is a function of the id, as in life it is one of the first event.
fn to_batch((partition, next_offset, states): &Write) -> Batch {
    let document = |(id, offset, owner): &(u8, i64, u8)| Document {
        id: format!("o-{id}"),
        partition: *partition,
        offset: *offset,
        created_ms: i64::from(id % 3),
        taken: BTreeMap::from([("j/1".to_owned(), (offset.unsigned_abs(), u32::from(*owner)))]),
        value: json!({"owner": owner, "offset": offset}),
    };
    let unique: BTreeMap<String, Document> = states.iter().map(document).map(|document| (document.id.clone(), document)).collect();
    Batch { partition: *partition, documents: unique.into_values().collect(), next_offset: *next_offset }
}

#[derive(Default)]
struct Model {
    documents: BTreeMap<String, Document>,
    progress: BTreeMap<u32, i64>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> usize {
        let mut taken = 0;
        for document in &batch.documents {
            let is_newer = self.documents.get(&document.id).is_none_or(|old| old.partition == document.partition && old.offset < document.offset);
            if is_newer {
                taken += 1;
                self.documents.insert(document.id.clone(), document.clone());
            }
        }
        let progress = self.progress.entry(batch.partition).or_default();
        *progress = batch.next_offset.max(*progress);
        taken
    }

    fn list(&self, owner: Option<u8>) -> Vec<Document> {
        let mut found: Vec<Document> = self.documents.values().filter(|document| owner.is_none_or(|owner| document.value["owner"] == owner)).cloned().collect();
        found.sort_by(|a, b| b.created_ms.cmp(&a.created_ms).then_with(|| a.id.cmp(&b.id)));
        found
    }
}

async fn agrees(store: &Arc<dyn ViewStore>, view: &View, writes: &[Write]) -> Result<(), TestCaseError> {
    store.prepare(view).await.unwrap();
    let mut model = Model::default();
    for write in writes {
        let batch = to_batch(write);
        let expected = model.apply(&batch);
        prop_assert_eq!(store.apply(view, batch).await.unwrap(), expected);
    }
    prop_assert_eq!(documents(store.as_ref(), view).await, model.list(None));
    for owner in 0..3 {
        let query = ListQuery { filters: vec![("owner".to_owned(), owner.to_string())], limit: 100, after: None };
        prop_assert_eq!(store.list(view, &query).await.unwrap().documents, model.list(Some(owner)));
    }
    for partition in 0..2 {
        prop_assert_eq!(store.progress(view, partition).await.unwrap(), model.progress.get(&partition).copied().unwrap_or(0));
    }
    Ok(())
}

fn check(cases: u32, store: impl Future<Output = Arc<dyn ViewStore>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(store);
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let case = std::cell::Cell::new(0);
    let result = runner.run(&writes(), |writes| {
        case.set(case.get() + 1);
        let view = View { collection: format!("orders-{}", case.get()), ..view() };
        runtime.block_on(agrees(&store, &view, &writes))
    });
    result.unwrap();
}

#[test]
fn the_embedded_store_agrees_with_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    check(200, async move { Arc::new(orderflow_views::store::EmbeddedStore::open(&path).unwrap()) as Arc<dyn ViewStore> });
}

#[test]
fn the_mongodb_store_agrees_with_the_model() {
    check(24, async { adapters::mongodb().await.0 });
}
