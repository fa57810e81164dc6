//! The examples do what they say.

#[path = "../../examples/windowed.rs"]
mod windowed;
#[path = "../../examples/word_count.rs"]
#[allow(dead_code, reason = "its main waits for Ctrl-C")]
mod word_count;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::Log;
use fluvio_streams::record::NewRecord;
use fluvio_streams::testing::TestDriver;
use orderflow_broker::Broker;

use crate::support::whatever_happens;

async fn say(log: &Arc<FluvioLog>, partition: u32, text: &str) {
    let line = serde_json::json!({"type": "Say", "text": text}).to_string();
    let writer = log.writer("lines", partition).await.expect("the writer opens");
    writer.append(vec![NewRecord { key: None, value: line.into() }]).await.expect("the line is written");
}

/// The counts that were told last, of all words.
async fn counts(log: &Arc<FluvioLog>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for partition in 0..2 {
        let end = log.offsets("counts", partition).await.expect("the topic is there").end;
        let mut reader = log.read("counts", partition, 0, None).await.expect("the reader opens");
        let mut offset = 0;
        while offset < end {
            let fetched = reader.next().await.expect("it can be read");
            offset = fetched.next_offset;
            for record in fetched.records {
                let event: serde_json::Value = serde_json::from_slice(&record.value).expect("events are JSON");
                counts.insert(event["subject"].as_str().expect("a word").to_owned(), event["data"].as_u64().expect("a number"));
            }
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn word_count_counts_words_over_a_restart() {
    let broker = Broker::start(orderflow_broker::Options::default()).await.expect("the broker starts");
    let log = FluvioLog::connect(FluvioLogOptions::new(broker.sc_addr().to_string())).await.expect("the log connects");
    let mut expected = BTreeMap::new();
    for round in 1..=2 {
        let runtime = word_count::start(log.clone()).await.expect("it starts");
        say(&log, 0, "to be or not to be").await;
        say(&log, 1, "not to worry").await;
        for (word, times) in [("to", 3), ("be", 2), ("or", 1), ("not", 2), ("worry", 1)] {
            expected.insert(word.to_owned(), times * round);
        }
        let began = Instant::now();
        while counts(&log).await != expected {
            assert!(began.elapsed() < Duration::from_secs(60), "words are counted: {:?}", counts(&log).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        runtime.stop().await;
    }
    broker.stop().await;
}

#[test]
fn windowed_tells_the_highs_of_each_minute_whoever_is_killed_when() {
    let driver = || TestDriver::new(windowed::topology().expect("the windows can be"), 2);
    let told = whatever_happens(driver, &[], |driver, _| windowed::play(driver));
    assert_eq!(told, [r#"attic ["2026-01-01T00:00:00Z",31]"#, r#"hall ["2026-01-01T00:00:00Z",23]"#, r#"hall ["2026-01-01T00:01:00Z",25]"#, "late: 1"]);
}
