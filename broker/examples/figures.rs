//! Measures a broker in this process with the official client over loopback, and prints JSON.
//!
//! `cargo run --release -p orderflow-broker --example figures [RECORDS]`; records are 200 bytes long.

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fluvio::{
    Compression, Fluvio, FluvioConfig, Offset, RecordKey, SmartModuleContextData, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm,
    SmartModuleKind, TopicProducerConfigBuilder,
    consumer::{ConsumerConfigExt, RetryMode},
    metadata::topic::TopicSpec,
};
use futures_util::StreamExt;
use orderflow_broker::{Broker, Durability, Options};
use serde_json::{Value, json};

const ROUND_TRIPS: usize = 2000;
const CHAINS: u64 = 50;
const THIN_MAP: &[u8] = include_bytes!("../../smartmodules/artifacts/thin-map.wasm");

#[tokio::main]
async fn main() {
    let records: usize = env::args().nth(1).map_or(200_000, |count| count.parse().expect("a number of records"));
    let fsync = measure(Durability::Fsync, records).await;
    let os = measure(Durability::Os, records).await;
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    println!("{:#}", json!({ "build": build, "records": records, "record_bytes": 200, "fsync": fsync, "os": os }));
}

async fn measure(durability: Durability, records: usize) -> Value {
    let broker = Broker::start(Options { durability, ..Options::default() }).await.expect("the broker starts");
    let config = FluvioConfig::new(broker.sc_addr().to_string());
    let fluvio = Fluvio::connect_with_config(&config).await.expect("the client connects");
    for topic in ["live", "bulk"] {
        let spec = TopicSpec::new_computed(1, 1, None);
        fluvio.admin().await.create(topic.to_owned(), false, spec).await.expect("the topic is created");
        while fluvio.topic_producer(topic).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (acknowledged, arrived) = round_trips(&fluvio).await;
    let produced = produce(&fluvio, records).await;
    let (consumed, _) = consume(&fluvio, records, vec![]).await;
    let (thinned, first_thinned) = consume(&fluvio, records, vec![thin_map()]).await;
    let chains = idle_chains(&fluvio).await;
    broker.stop().await;
    json!({
        "acknowledged_us": acknowledged,
        "record_to_waiting_consumer_us": arrived,
        "produced_per_s": produced,
        "consumed_per_s": consumed,
        "consumed_thinned_per_s": thinned,
        "smartmodule_first_record_ms": first_thinned.as_millis() as u64,
        "idle_smartmodule_streams": chains,
    })
}

/// One record at a time: until it is acknowledged, and until a waiting consumer has it.
async fn round_trips(fluvio: &Fluvio) -> (Value, Value) {
    let config = TopicProducerConfigBuilder::default().linger(Duration::ZERO).build().expect("a configuration");
    let producer = fluvio.topic_producer_with_config("live", config).await.expect("a producer");
    let mut config = ConsumerConfigExt::builder();
    config.topic("live").partition(0).offset_start(Offset::beginning()).retry_mode(RetryMode::Disabled);
    let mut stream = fluvio.consumer_with_config(config.build().expect("a configuration")).await.expect("a stream");
    let waiting = tokio::spawn(async move {
        let mut latencies = Vec::new();
        while latencies.len() < ROUND_TRIPS {
            let record = stream.next().await.expect("a record").expect("no error");
            let sent = u64::from_be_bytes(record.value()[..8].try_into().expect("eight bytes"));
            latencies.push(Duration::from_nanos(now_ns() - sent));
        }
        latencies
    });
    let mut acknowledged = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let mut value = vec![b'x'; 200];
        let started = Instant::now();
        value[..8].copy_from_slice(&now_ns().to_be_bytes());
        let output = producer.send(RecordKey::NULL, value).await.expect("the record is taken");
        output.wait().await.expect("the record is acknowledged");
        acknowledged.push(started.elapsed());
    }
    (percentiles(acknowledged), percentiles(waiting.await.expect("the consumer ends")))
}

async fn produce(fluvio: &Fluvio, records: usize) -> u64 {
    let config = TopicProducerConfigBuilder::default()
        .batch_size(256 * 1024)
        .linger(Duration::from_millis(5))
        .compression(Compression::None)
        .build()
        .expect("a configuration");
    let producer = fluvio.topic_producer_with_config("bulk", config).await.expect("a producer");
    let value = "y".repeat(200);
    let started = Instant::now();
    for _ in 0..records {
        producer.send(RecordKey::NULL, value.clone()).await.expect("the record is taken");
    }
    producer.flush().await.expect("the records are sent");
    per_second(records, started.elapsed())
}

async fn consume(fluvio: &Fluvio, records: usize, smartmodules: Vec<SmartModuleInvocation>) -> (u64, Duration) {
    let mut config = ConsumerConfigExt::builder();
    config.topic("bulk").partition(0).offset_start(Offset::beginning()).retry_mode(RetryMode::Disabled).smartmodule(smartmodules).disable_continuous(true);
    let started = Instant::now();
    let mut stream = fluvio.consumer_with_config(config.build().expect("a configuration")).await.expect("a stream");
    let (mut count, mut first) = (0, None);
    while let Some(record) = stream.next().await {
        assert_eq!(record.expect("no error").offset(), count as i64);
        first.get_or_insert_with(|| started.elapsed());
        count += 1;
    }
    assert_eq!(count, records);
    (per_second(records, started.elapsed()), first.unwrap_or_default())
}

/// What many streams behind a SmartModule cost to open and to keep.
async fn idle_chains(fluvio: &Fluvio) -> Value {
    let (before, started, mut streams) = (resident_kib(), Instant::now(), Vec::new());
    for _ in 0..CHAINS {
        let mut config = ConsumerConfigExt::builder();
        // One record before the end: when it has come, the chain is up.
        config.topic("live").partition(0).offset_start(Offset::from_end(1)).retry_mode(RetryMode::Disabled);
        config.smartmodule(vec![thin_map()]);
        let stream = fluvio.consumer_with_config(config.build().expect("a configuration")).await;
        let mut stream = stream.expect("a stream");
        stream.next().await.expect("a record").expect("no error");
        streams.push(stream);
    }
    json!({
        "streams": CHAINS,
        "open_ms_each": started.elapsed().as_millis() as u64 / CHAINS,
        "resident_kib_each": resident_kib().saturating_sub(before) / CHAINS,
    })
}

/// Resident memory of this process as Linux reports it; 0 elsewhere.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn thin_map() -> SmartModuleInvocation {
    let mut params = SmartModuleExtraParams::default();
    params.insert("types".to_owned(), "OrderPlaced".to_owned());
    SmartModuleInvocation {
        wasm: SmartModuleInvocationWasm::adhoc_from_bytes(THIN_MAP).expect("the module is packed"),
        kind: SmartModuleKind::Generic(SmartModuleContextData::None),
        params,
        name: None,
    }
}

fn percentiles(mut latencies: Vec<Duration>) -> Value {
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_micros() as u64;
    json!({ "p50": at(0.5), "p99": at(0.99) })
}

fn per_second(records: usize, elapsed: Duration) -> u64 {
    (records as f64 / elapsed.as_secs_f64()) as u64
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64
}
