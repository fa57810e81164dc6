//! Killing the broker with -9 in the middle of everything, and what is there afterwards.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fluvio::{Compression, Offset, RecordKey};
use futures_util::StreamExt;

use crate::harness::{batching_producer, connect_to, create_topic, from, offsets, read_all, values, within};

/// A broker in a process of its own. Dropping it kills it.
struct Process {
    child: Child,
    sc_addr: SocketAddr,
    spu_addr: SocketAddr,
}

impl Process {
    fn start(dir: &Path, sc_addr: &str, spu_addr: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orderflow-broker-alone"))
            .args([sc_addr, spu_addr])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker is started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Vec<SocketAddr> = line.split_whitespace().map(|address| address.parse().expect("an address")).collect();
        assert_eq!(addresses.len(), 2, "the broker said {line:?}");
        Self { child, sc_addr: addresses[0], spu_addr: addresses[1] }
    }

    /// Kills it without warning and starts another on the same directory and addresses.
    fn kill_and_restart(self, dir: &Path) -> Self {
        let (sc_addr, spu_addr) = (self.sc_addr.to_string(), self.spu_addr.to_string());
        drop(self);
        Self::start(dir, &sc_addr, &spu_addr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().expect("the broker is killed");
        self.child.wait().expect("the broker has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_or_seen_is_there_after_every_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), "127.0.0.1:0", "127.0.0.1:0");
    let fluvio = connect_to(&process.sc_addr.to_string()).await;
    create_topic(&fluvio, "survivors", 1).await;
    drop(fluvio);

    let acknowledged: Arc<Mutex<Vec<(i64, String)>>> = Arc::default();
    let mut seen: Vec<(i64, String)> = Vec::new();
    for round in 0..5 {
        let address = process.sc_addr.to_string();
        let killed = Arc::new(AtomicBool::new(false));
        let producing = tokio::spawn(produce_until(address.clone(), round, Arc::clone(&killed), acknowledged.clone()));
        let watching = connect_to(&address).await;
        let config = from("survivors", Offset::beginning()).build().unwrap();
        let mut stream = within(watching.consumer_with_config(config)).await.unwrap();
        let mut seen_now = Vec::new();
        let before = acknowledged.lock().unwrap().len();
        // The kill comes at another moment of the traffic each round.
        while acknowledged.lock().unwrap().len() < before + 20 + 37 * round {
            if let Ok(Some(Ok(record))) = tokio::time::timeout(Duration::from_millis(20), stream.next()).await {
                seen_now.push((record.offset(), String::from_utf8_lossy(record.value()).into_owned()));
            }
        }
        process = process.kill_and_restart(dir.path());
        killed.store(true, Ordering::SeqCst);
        producing.abort();
        seen.extend(seen_now);

        let fluvio = connect_to(&process.sc_addr.to_string()).await;
        let stored = read_all(&fluvio, "survivors").await;
        assert_eq!(offsets(&stored), (0..stored.len() as i64).collect::<Vec<_>>());
        let stored = values(&stored);
        for (offset, value) in acknowledged.lock().unwrap().iter().chain(&seen) {
            assert_eq!(stored.get(*offset as usize), Some(value), "offset {offset} in round {round}");
        }
    }
    assert!(acknowledged.lock().unwrap().len() > 200);
    assert!(!seen.is_empty());
}

async fn produce_until(address: String, round: usize, killed: Arc<AtomicBool>, acknowledged: Arc<Mutex<Vec<(i64, String)>>>) {
    let fluvio = connect_to(&address).await;
    let producer = batching_producer(&fluvio, "survivors", Compression::None).await;
    for number in 0.. {
        let mut sent = Vec::new();
        for part in 0..5 {
            let value = format!("{round}-{number}-{part}");
            let Ok(output) = producer.send(RecordKey::NULL, value.clone()).await else { return };
            sent.push((value, output));
        }
        if producer.flush().await.is_err() {
            return;
        }
        for (value, output) in sent {
            let Ok(metadata) = output.wait().await else { return };
            if killed.load(Ordering::SeqCst) {
                return;
            }
            acknowledged.lock().unwrap().push((metadata.offset(), value));
        }
    }
}
