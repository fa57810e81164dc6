//! A subscription that redacts: what must not be seen does not leave the broker, and the log of the tests shows the same.

use fluvio_streams::fluvio::REDACT_MAP;
use fluvio_streams::log::Log;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::record::NewRecord;
use fluvio_streams::topology::{Routing, STUB, names};

use crate::site::Site;
use crate::support::{artifact, create, read_to};

const VALUES: [&str; 5] = [
    r#"{"type":"A","data":{"address":"Seoul","items":[{"item":"tea","name":"Kim"}]}}"#,
    r#"{"type":"B","address":"Seoul"}"#,
    r#"{"type":"A","address":"Seoul"#,
    r#"{"type":"A", "big":12345678901234567890, "n\u0061me":"Kim" }"#,
    r#"{"type":"A"}"#,
];

fn redacted() -> Routing {
    Routing::Redacted { types: names(&["A"]), fields: names(&["address", "name"]) }
}

#[tokio::test]
async fn personal_members_stay_on_the_broker_and_offsets_stay_dense() {
    let site = Site::start().await;
    let (log, memory) = (site.connect().await, MemoryLog::default());
    log.ensure_smartmodule(REDACT_MAP, &artifact(REDACT_MAP)).await.expect("the SmartModule is uploaded");
    create(&log, "events", 1).await;
    memory.create("events", 1);
    for log in [&*log as &dyn Log, &memory] {
        let writer = log.writer("events", 0).await.expect("opens");
        for value in VALUES {
            writer.append(vec![NewRecord::keyed("k", value)]).await.expect("is acknowledged");
        }
        let mut reader = log.read("events", 0, 0, Some(&redacted())).await.expect("opens");
        let records = read_to(&mut *reader, VALUES.len() as i64).await.expect("reads");
        let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3, 4]);
        let stub = std::str::from_utf8(STUB).expect("a stub is text");
        let seen: Vec<(bool, &str)> =
            records.iter().map(|record| (record.key.is_some(), std::str::from_utf8(&record.value).expect("what is left is text"))).collect();
        assert_eq!(
            seen,
            [
                (true, r#"{"type":"A","data":{"items":[{"item":"tea"}]}}"#),
                (false, stub),
                (false, stub),
                (true, r#"{"type":"A", "big":12345678901234567890 }"#),
                (true, r#"{"type":"A"}"#),
            ]
        );
    }
}

#[tokio::test]
async fn a_redaction_of_nothing_is_refused() {
    let site = Site::start().await;
    let (log, memory) = (site.connect().await, MemoryLog::default());
    log.ensure_smartmodule(REDACT_MAP, &artifact(REDACT_MAP)).await.expect("the SmartModule is uploaded");
    create(&log, "events", 1).await;
    memory.create("events", 1);
    let nothing = Routing::Redacted { types: names(&["A"]), fields: Vec::new() };
    for log in [&*log as &dyn Log, &memory] {
        let writer = log.writer("events", 0).await.expect("opens");
        writer.append(vec![NewRecord::keyed("k", VALUES[0])]).await.expect("is acknowledged");
        let error = match log.read("events", 0, 0, Some(&nothing)).await {
            Ok(mut reader) => read_to(&mut *reader, 1).await.expect_err("nobody says what to take out"),
            Err(error) => error,
        };
        assert!(error.to_string().contains("redact"), "{error}");
    }
}
