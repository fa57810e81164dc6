//! Measures the Fluvio adapter, on an embedded broker or on the cluster whose `HOST:PORT` is given, and prints JSON.
//!
//! `cargo run --release -p fluvio-streams --example log_figures [HOST:PORT]`

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions, THIN_MAP};
use fluvio_streams::log::{Log, LogError, NewTopic};
use fluvio_streams::record::NewRecord;
use fluvio_streams::topology::Routing;
use orderflow_broker::{Broker, Options};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const RECORD_BYTES: usize = 200;
const HOPS: usize = 3_000;
const RECORDS: usize = 200_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = std::env::args().nth(1);
    // Kept until the end of the program.
    let broker = if cluster.is_none() { Some(Broker::start(Options::default()).await?) } else { None };
    let endpoint = cluster.or_else(|| broker.as_ref().map(|broker| broker.sc_addr().to_string())).unwrap_or_default();
    let wasm = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../smartmodules/artifacts/thin-map.wasm"))?;
    let mut figures = json!({ "endpoint": if broker.is_some() { "embedded" } else { &endpoint }, "record_bytes": RECORD_BYTES });
    for quick_ack in [true, false] {
        let log = FluvioLog::connect(FluvioLogOptions { quick_ack, ..FluvioLogOptions::new(&endpoint) }).await?;
        log.ensure_smartmodule(THIN_MAP, &wasm).await?;
        figures[if quick_ack { "quick_ack" } else { "without_quick_ack" }] = json!({
            "acknowledgement_us": acknowledgements(&log).await?,
            "append_to_reader_us": hops(&log, None).await?,
            "append_to_routed_reader_us": hops(&log, Some(&Routing::Types(vec!["A".to_owned()]))).await?,
            "throughput": throughput(&log).await?,
        });
    }
    println!("{}", serde_json::to_string_pretty(&figures)?);
    if let Some(broker) = broker {
        broker.stop().await;
    }
    Ok(())
}

fn record(number: usize) -> NewRecord {
    let head = format!(r#"{{"type":"{}","number":{number},"padding":""#, if number.is_multiple_of(10) { "A" } else { "B" });
    let padding = "x".repeat(RECORD_BYTES.saturating_sub(head.len() + 2));
    NewRecord::keyed("key", format!("{head}{padding}\"}}"))
}

async fn topic(log: &FluvioLog, what: &str) -> Result<String, LogError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
    let name = format!("figures-{what}-{now}");
    log.ensure_topic(&NewTopic { name: name.clone(), partitions: 1, retention_seconds: None, segment_bytes: None }).await?;
    Ok(name)
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_micros() as u64;
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

/// One append after the other.
async fn acknowledgements(log: &FluvioLog) -> Result<Value, LogError> {
    let topic = topic(log, "acknowledgements").await?;
    let writer = log.writer(&topic, 0).await?;
    let mut times = Vec::with_capacity(HOPS);
    for number in 0..HOPS {
        let started = Instant::now();
        writer.append(vec![record(number)]).await?;
        times.push(started.elapsed());
    }
    Ok(percentiles(times))
}

/// From the call of an append until a waiting reader has the record.
async fn hops(log: &FluvioLog, routing: Option<&Routing>) -> Result<Value, LogError> {
    let topic = topic(log, "hops").await?;
    let writer = log.writer(&topic, 0).await?;
    let mut reader = log.read(&topic, 0, 0, routing).await?;
    let mut times = Vec::with_capacity(HOPS);
    for number in 0..HOPS {
        let started = Instant::now();
        let (appended, fetched) = tokio::join!(writer.append(vec![record(number)]), async {
            let fetched = reader.next().await;
            times.push(started.elapsed());
            fetched
        });
        appended?;
        assert_eq!(fetched?.next_offset, number as i64 + 1, "one record at a time");
    }
    Ok(percentiles(times))
}

/// Records per second: appended in pipelined batches of 100, read as a backlog, read as a backlog with routing.
async fn throughput(log: &Arc<FluvioLog>) -> Result<Value, LogError> {
    let topic = topic(log, "throughput").await?;
    let writer = log.writer(&topic, 0).await?;
    let batches: Vec<Vec<NewRecord>> = (0..RECORDS).step_by(100).map(|from| (from..from + 100).map(record).collect()).collect();
    let started = Instant::now();
    let mut appends = JoinSet::new();
    for records in batches {
        if appends.len() >= 64 {
            appends.join_next().await;
        }
        let writer = Arc::clone(&writer);
        appends.spawn(async move { writer.append(records).await });
    }
    for appended in appends.join_all().await {
        appended?;
    }
    let appended = started.elapsed();
    let read = read_all(log, &topic, None).await?;
    let routed = read_all(log, &topic, Some(&Routing::Types(vec!["A".to_owned()]))).await?;
    let rate = |time: Duration| (RECORDS as f64 / time.as_secs_f64()) as u64;
    Ok(json!({ "appended_per_s": rate(appended), "read_per_s": rate(read), "routed_per_s": rate(routed) }))
}

async fn read_all(log: &FluvioLog, topic: &str, routing: Option<&Routing>) -> Result<Duration, LogError> {
    let started = Instant::now();
    let mut reader = log.read(topic, 0, 0, routing).await?;
    let mut count = 0;
    while count < RECORDS {
        count += reader.next().await?.records.len();
    }
    Ok(started.elapsed())
}
