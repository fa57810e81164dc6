//! What customers and others do to a system, and what must have become of it in the end: the same whether or not somebody was away for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as Clock};

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, Offset};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Instance, LIMIT};

/// How long any answer over HTTP may take while somebody is away: the API waits 5 s for an outcome.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(100);

/// A system as it is seen from outside.
pub(crate) struct Row {
    pub(crate) system: &'static str,
    /// Topics whose events are compared; those of the first are in order.
    pub(crate) topics: &'static [&'static str],
    /// Paths of documents and lists that are compared; `{run}` stands for the name of the run.
    pub(crate) paths: &'static [&'static str],
}

/// Documents by path.
type Documents = BTreeMap<&'static str, String>;
/// Types of events, and what they are about, by topic and subject.
type Events = BTreeMap<String, Vec<String>>;

impl Row {
    /// Sends a command over HTTP and checks how it is answered, and that this does not take for ever.
    pub(crate) async fn command(&self, api: &Instance, path: &str, body: Value, status: u16) -> Value {
        let began = Clock::now();
        let (answered, answer) = api.post(&format!("/{}/{path}", self.system), &body).await;
        assert_eq!(answered, status, "{path} {body}: {answer}");
        assert!(began.elapsed() < ANSWER_LIMIT, "{path} took {:?}", began.elapsed());
        answer
    }

    /// Waits until the second run has ended as the first one did: the same documents and the same events, and none of them twice.
    pub(crate) async fn ends_alike(&self, api: &Instance, first: &str, second: &str) {
        let (mut wanted, mut found) = (Documents::new(), Documents::new());
        let documents_are_alike = waited(async || {
            (wanted, found) = (self.documents(api, first).await, self.documents(api, second).await);
            wanted == found
        })
        .await;
        assert!(documents_are_alike, "`{second}` ends as `{first}` did: {found:#?} instead of {wanted:#?}");
        let (mut wanted, mut found) = (Events::new(), Events::new());
        let events_are_alike = waited(async || {
            (wanted, found) = self.events(api, first, second).await;
            wanted == found
        })
        .await;
        assert!(events_are_alike, "the events of `{second}` are those of `{first}`: {found:#?} instead of {wanted:#?}");
    }

    /// Returns the documents of a run, with its name left out.
    async fn documents(&self, api: &Instance, run: &str) -> Documents {
        let mut documents = Documents::new();
        for path in self.paths {
            let (status, mut document) = api.get(&format!("/{}/{}", self.system, path.replace("{run}", run))).await;
            strip(&mut document);
            documents.insert(*path, format!("{status} {document}").replace(run, "{run}"));
        }
        documents
    }

    /// Returns the events of two runs, with their names left out.
    async fn events(&self, api: &Instance, first: &str, second: &str) -> (Events, Events) {
        let client = api.client().await;
        let (mut of_first, mut of_second) = (Events::new(), Events::new());
        for (index, topic) in self.topics.iter().enumerate() {
            let held = held(&client, topic).await;
            for (run, events) in [(first, &mut of_first), (second, &mut of_second)] {
                let mut of_run = about(run, topic, &held);
                if index > 0 {
                    of_run.values_mut().for_each(|types| types.sort());
                }
                events.extend(of_run);
            }
        }
        (of_first, of_second)
    }
}

/// Waits until something holds; false if it does not.
async fn waited(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let began = Clock::now();
    while !holds().await {
        if began.elapsed() > LIMIT {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// Returns the events of a run.
fn about(run: &str, topic: &str, held: &[Value]) -> Events {
    let (mut events, mut seen) = (Events::new(), BTreeSet::new());
    for event in held {
        let subject = event["subject"].as_str().unwrap_or_default();
        // A sender that was killed may have sent again: the same event, under the same id.
        if !subject.contains(run) || !seen.insert(event["id"].to_string()) {
            continue;
        }
        let about = ["orderId", "bookingId"].iter().find_map(|name| event["data"][name].as_str()).unwrap_or_default();
        let line = format!("{} {about}", event["type"].as_str().unwrap_or_default());
        events.entry(format!("{topic} {subject}").replace(run, "{run}")).or_default().push(line.replace(run, "{run}"));
    }
    events
}

/// Leaves out what is different each time.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !(name.ends_with("At") || matches!(name.as_str(), "id" | "notificationId" | "incarnation" | "nextCursor")));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(strip);
            items.sort_by_key(Value::to_string);
        }
        _ => {}
    }
}

/// Returns the records that a topic holds now, each partition in its order.
async fn held(client: &Fluvio, topic: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for partition in 0..crate::cluster::PARTITIONS {
        let config = ConsumerConfigExtBuilder::default()
            .topic(topic)
            .partition(partition)
            .offset_start(Offset::beginning())
            .disable_continuous(true)
            .build()
            .expect("settings are right");
        let mut stream = client.consumer_with_config(config).await.expect("the topic can be consumed");
        while let Some(record) = stream.next().await {
            records.push(serde_json::from_slice(record.expect("records can be read").value()).unwrap_or_default());
        }
    }
    records
}

/// Does several things at once.
pub(crate) async fn at_once<F: Future>(things: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    join_all(things).await
}

/// Returns an empty body.
pub(crate) fn nothing() -> Value {
    json!({})
}
