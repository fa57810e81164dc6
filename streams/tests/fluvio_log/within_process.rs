//! Records to a broker of the same process, without the network.

use std::sync::Arc;

use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, LogError};
use orderflow_broker::{Broker, Options};

use crate::support::{create, fill, options, read_to};

/// A name that no network resolves: what arrives has not come over one.
const NOWHERE: &str = "nowhere.invalid:9010";

fn piped(broker: &Broker) -> FluvioLogOptions {
    let pipes = broker.within_process();
    FluvioLogOptions { within_process: Some(Arc::new(move |endpoint| pipes.connect(endpoint))), ..options(broker) }
}

#[tokio::test]
async fn records_need_no_network() {
    let broker = Broker::start(Options { advertised_spu: Some(NOWHERE.to_owned()), ..Options::default() }).await.expect("the broker starts");
    let log = FluvioLog::connect(piped(&broker)).await.expect("the log connects");
    create(&log, "orders", 2).await;
    // More than a pipe holds, so that each side waits for the other now and then.
    fill(&log, "orders", 1, 20_000, 100).await;
    let mut reader = log.read("orders", 1, 0, None).await.expect("the reader opens");
    let records = read_to(&mut *reader, 20_000).await.expect("they can be read");
    assert!(records.iter().map(|record| record.offset).eq(0..20_000), "every one, once, in order");

    broker.stop().await;
    let end = reader.next().await.expect_err("its broker is gone");
    assert!(matches!(end, LogError::Unreachable { .. }), "{end}");
    let writer = log.writer("orders", 1).await.err().expect("its broker is gone");
    assert!(matches!(writer, LogError::Unreachable { .. }), "{writer}");
}

#[tokio::test]
async fn other_brokers_are_reached_over_the_network() {
    let (here, elsewhere) =
        (Broker::start(Options::default()).await.expect("the broker starts"), Broker::start(Options::default()).await.expect("the broker starts"));
    let pipes = here.within_process();
    let within_process: fluvio_streams::fluvio::WithinProcess = Arc::new(move |endpoint| pipes.connect(endpoint));
    let log = FluvioLog::connect(FluvioLogOptions { within_process: Some(within_process), ..options(&elsewhere) }).await.expect("the log connects");
    create(&log, "orders", 1).await;
    fill(&log, "orders", 0, 10, 10).await;
    drop(here);
    let mut reader = log.read("orders", 0, 0, None).await.expect("the reader opens");
    assert_eq!(read_to(&mut *reader, 10).await.expect("they can be read").len(), 10);
    elsewhere.stop().await;
}
