//! Measures the segment log alone: appends of one 200-byte record each, every one waited for until it is durable.
//!
//! `cargo run --release -p orderflow-broker --example log-throughput`

use std::time::{Duration, Instant};

use fluvio_compression::Compression;
use fluvio_protocol::record::Record;
use orderflow_broker::batch::{BatchLimits, EncodedBatch};
use orderflow_broker::log::{Durability, LogOptions, PartitionLog, Syncer};

const RECORD_BYTES: usize = 200;
const MEASURED: Duration = Duration::from_secs(3);
const READ_BYTES: usize = 1024 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The current directory, because a temporary one often lies in memory, where a sync costs nothing.
    let parent = tempfile::tempdir_in(".")?;
    println!("durability  appenders  logs  records/append    appends/s     MB/s   p50 us   p99 us");
    for durability in [Durability::Fsync, Durability::Os] {
        for (appenders, logs, records) in [(1, 1, 1), (64, 1, 1), (64, 16, 1), (64, 1, 75)] {
            let syncer = Syncer::start(durability);
            let options = LogOptions { durability, ..LogOptions::default() };
            let name = |n| parent.path().join(format!("{durability:?}-{appenders}-{logs}-{records}-{n}"));
            let logs = (0..logs).map(|n| PartitionLog::open(&name(n), options, &syncer)).collect::<Result<Vec<_>, _>>()?;
            let figures = measure(&logs, appenders, records)?;
            println!("{:10}  {appenders:9}  {:4}  {records:14}  {figures}", format!("{durability:?}").to_lowercase(), logs.len(),);
            if appenders == 64 && records > 1 {
                println!("            reading it back: {:.0} MB/s", read_back(&logs[0])?);
            }
            logs.into_iter().try_for_each(PartitionLog::delete)?;
        }
    }
    Ok(())
}

fn measure(logs: &[PartitionLog], appenders: usize, records: usize) -> Result<String, Box<dyn std::error::Error>> {
    let value = vec![b'x'; RECORD_BYTES];
    let list = (0..records).map(|_| Record::new(value.clone())).collect();
    let batch = EncodedBatch::from_records(list, Compression::None, 1, 1, &BatchLimits::default())?;
    let batch_bytes = batch.as_bytes().len();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..appenders).map(|n| runtime.spawn(append_for(logs[n % logs.len()].clone(), batch.clone(), started + MEASURED))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(runtime.block_on(task)??);
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |p: usize| latencies[(latencies.len() - 1) * p / 100].as_secs_f64() * 1e6;
    let appends = latencies.len() as f64 / seconds;
    let megabytes = appends * batch_bytes as f64 / 1e6;
    Ok(format!("{appends:11.0}  {megabytes:7.1}  {:7.0}  {:7.0}", percentile(50), percentile(99)))
}

async fn append_for(log: PartitionLog, batch: EncodedBatch, until: Instant) -> Result<Vec<Duration>, orderflow_broker::log::Error> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let base_offset = log.append(std::slice::from_ref(&batch))?[0];
        log.wait_durable(base_offset + i64::from(batch.record_count())).await?;
        latencies.push(started.elapsed());
        // Without durability to wait for, nothing else would let the other appenders have their turn.
        tokio::task::yield_now().await;
    }
    Ok(latencies)
}

fn read_back(log: &PartitionLog) -> Result<f64, orderflow_broker::log::Error> {
    let started = Instant::now();
    let mut offset = log.start_offset();
    while offset < log.high_watermark() {
        offset = log.read(offset, READ_BYTES)?.next_offset;
    }
    Ok(log.size_bytes() as f64 / 1e6 / started.elapsed().as_secs_f64())
}
