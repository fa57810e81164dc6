//! A disk that is almost full: producers hear of it, readers do not.

use fluvio::{Compression, RecordKey};
use fluvio_protocol::link::ErrorCode;
use orderflow_broker::{Broker, DataDir, DiskProblem, Limits, Options};

use crate::harness::{batching_producer, connect, create_topic, partition, produce, read_all, values, within};

#[tokio::test(flavor = "multi_thread")]
async fn an_almost_full_disk_takes_no_records_but_gives_out_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let options = |disk_free_bytes_min| Options {
        data_dir: DataDir::Path(dir.path().to_owned()),
        limits: Limits { disk_free_bytes_min, ..Limits::default() },
        ..Options::default()
    };
    let broker = Broker::start(options(0)).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "records", 1).await;
    produce(&fluvio, "records", &["before"]).await;
    assert_eq!(*broker.watch_disk().borrow(), None);
    broker.stop().await;

    let broker = Broker::start(options(u64::MAX)).await.unwrap();
    assert!(matches!(&*broker.watch_disk().borrow(), Some(DiskProblem::AlmostFull { dir: named, .. }) if named == dir.path()));
    let fluvio = connect(&broker).await;
    let producer = batching_producer(&fluvio, "records", Compression::None).await;
    let sent = producer.send(RecordKey::NULL, "too much").await.unwrap();
    // The client tells the one or the other, whichever notices first.
    let flushed = within(producer.flush()).await;
    let refused = within(sent.wait()).await.expect_err("there is no room");
    assert!(format!("{refused:?} {flushed:?}").contains(&format!("{:?}", ErrorCode::StorageError)), "{refused:?} {flushed:?}");
    assert_eq!(values(&read_all(&fluvio, "records").await), ["before"]);
    assert_eq!(partition(&fluvio, "records-0").await.1, 1);
    broker.stop().await;

    let broker = Broker::start(options(0)).await.unwrap();
    let fluvio = connect(&broker).await;
    assert_eq!(produce(&fluvio, "records", &["after"]).await, [1], "what was refused has taken no offset");
    broker.stop().await;
}
