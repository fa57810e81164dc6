//! A broker that goes away and comes back.

use std::path::Path;
use std::sync::Arc;

use fluvio_streams::fluvio::{FluvioLog, THIN_MAP};
use fluvio_streams::log::{Log, LogError, Reader, Writer};
use fluvio_streams::record::LogRecord;
use orderflow_broker::{Broker, DataDir, Options};

use crate::support::{artifact, assert_events, connect, create, event};

async fn start(dir: &Path, ports: Option<(std::net::SocketAddr, std::net::SocketAddr)>) -> Broker {
    let mut options = Options { data_dir: DataDir::Path(dir.to_owned()), ..Options::default() };
    if let Some((sc_addr, spu_addr)) = ports {
        (options.sc_addr, options.spu_addr) = (sc_addr, spu_addr);
    }
    Broker::start(options).await.expect("the broker starts")
}

/// Opens readers until one is there and reads on; a reader that fails is replaced, as the runtime does.
async fn read_on(log: &FluvioLog, reader: &mut Option<Box<dyn Reader>>, records: &mut Vec<LogRecord>) {
    if reader.is_none() {
        *reader = log.read("events", 0, records.len() as i64, None).await.ok();
    }
    let Some(open) = reader else {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        return;
    };
    match open.next().await {
        Ok(fetched) => records.extend(fetched.records),
        Err(LogError::Unreachable { .. }) => *reader = None,
        Err(error) => panic!("{error}"),
    }
}

/// Appends event after event; one without an acknowledgement is looked for in the log before it is appended again.
async fn append_all(log: Arc<FluvioLog>, count: usize) {
    let mut writer: Option<Arc<dyn Writer>> = None;
    let mut number = 0;
    while number < count {
        let Some(open) = &writer else {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            writer = log.writer("events", 0).await.ok();
            if let (Some(_), Ok(offsets)) = (&writer, log.offsets("events", 0).await) {
                assert!(
                    offsets.end == number as i64 || offsets.end == number as i64 + 1,
                    "acknowledged records are there: {number} of them, the log ends at {}",
                    offsets.end
                );
                number = offsets.end as usize;
            } else {
                writer = None;
            }
            continue;
        };
        match open.append(vec![event(number)]).await {
            Ok(offset) => {
                assert_eq!(offset, number as i64);
                number += 1;
            }
            Err(LogError::Unreachable { .. }) => writer = None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn reading_and_writing_go_on_after_the_broker_comes_back() {
    const COUNT: usize = 3_000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = start(dir.path(), None).await;
    let ports = (broker.sc_addr(), broker.spu_addr());
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let appending = tokio::spawn(append_all(Arc::clone(&log), COUNT));
    let (mut records, mut reader) = (Vec::new(), None);
    for stop_at in [COUNT / 3, COUNT * 2 / 3] {
        while records.len() < stop_at {
            read_on(&log, &mut reader, &mut records).await;
        }
        broker.stop().await;
        broker = start(dir.path(), Some(ports)).await;
    }
    let finished = async {
        while records.len() < COUNT {
            read_on(&log, &mut reader, &mut records).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, finished).await.expect("everything arrives");
    appending.await.expect("everything is appended");
    assert_events(&records, 0, COUNT);
    // The control plane too: its client does not reconnect by itself.
    create(&log, "more", 2).await;
    log.ensure_smartmodule(THIN_MAP, &artifact(THIN_MAP)).await.expect("the SmartModule is uploaded");
    assert_eq!(log.partitions("more").await.expect("answers"), 2);
}

#[tokio::test]
async fn while_the_broker_is_away_everything_says_so_and_nothing_hangs() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), None).await;
    let ports = (broker.sc_addr(), broker.spu_addr());
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    writer.append(vec![event(0)]).await.expect("is acknowledged");
    let mut reader = log.read("events", 0, 1, None).await.expect("opens");
    broker.stop().await;
    let unreachable = |error: &LogError| matches!(error, LogError::Unreachable { .. });
    assert!(unreachable(&reader.next().await.expect_err("it is away")));
    assert!(unreachable(&writer.append(vec![event(1)]).await.expect_err("it is away")));
    assert!(unreachable(&log.writer("events", 0).await.err().expect("it is away")));
    assert!(unreachable(&log.read("events", 0, 0, None).await.err().expect("it is away")));
    assert!(unreachable(&log.offsets("events", 0).await.expect_err("it is away")));
    assert!(unreachable(&log.partitions("events").await.expect_err("it is away")));
    let _broker = start(dir.path(), Some(ports)).await;
    assert!(unreachable(&writer.append(vec![event(1)]).await.expect_err("a failed writer stays failed")));
    let writer = log.writer("events", 0).await.expect("opens anew");
    assert_eq!(writer.append(vec![event(1)]).await.expect("is acknowledged"), 1);
}

#[tokio::test]
async fn a_server_that_moves_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), None).await;
    let sc_addr = broker.sc_addr();
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    log.writer("events", 0).await.expect("opens").append(vec![event(0)]).await.expect("is acknowledged");
    broker.stop().await;
    let _broker = start(dir.path(), Some((sc_addr, "127.0.0.1:0".parse().expect("an address")))).await;
    let writer = log.writer("events", 0).await.expect("the control plane says where");
    assert_eq!(writer.append(vec![event(1)]).await.expect("is acknowledged"), 1);
}
