//! Starting brokers and clients, and the few things that every test does with them.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use fluvio::{
    Compression, Fluvio, FluvioAdmin, FluvioConfig, Offset, TopicProducerConfigBuilder, TopicProducerPool,
    consumer::{ConsumerConfigExt, ConsumerConfigExtBuilder, ConsumerRecord, RetryMode},
    metadata::{partition::PartitionSpec, topic::TopicSpec},
};
use fluvio_protocol::link::ErrorCode;
use futures_util::StreamExt;
use orderflow_broker::{Broker, CloseReason, Event, Observer, Options};

/// Longer than anything here takes on a slow machine; only a failing test ever waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test when something takes for ever.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let result = tokio::time::timeout(PATIENCE, future).await;
        result.unwrap_or_else(|_| panic!("nothing happened for {PATIENCE:?} at {caller}"))
    }
}

/// Waits until a condition holds, asking again and again.
#[track_caller]
pub(crate) fn until<F: AsyncFnMut() -> bool>(mut condition: F) -> impl Future<Output = ()> {
    within(async move {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

pub(crate) async fn start() -> Broker {
    Broker::start(Options::default()).await.expect("the broker starts")
}

pub(crate) async fn connect(broker: &Broker) -> Fluvio {
    connect_to(&broker.sc_addr().to_string()).await
}

pub(crate) async fn connect_to(address: &str) -> Fluvio {
    let config = FluvioConfig::new(address);
    within(Fluvio::connect_with_config(&config)).await.expect("the client connects")
}

pub(crate) async fn admin(broker: &Broker) -> FluvioAdmin {
    let config = FluvioConfig::new(broker.sc_addr().to_string());
    within(FluvioAdmin::connect_with_config(&config)).await.expect("the client connects")
}

pub(crate) async fn create_topic(fluvio: &Fluvio, name: &str, partitions: u32) {
    create_topic_with(fluvio, name, TopicSpec::new_computed(partitions, 1, None)).await;
}

pub(crate) async fn create_topic_with(fluvio: &Fluvio, name: &str, spec: TopicSpec) {
    let created = within(fluvio.admin().await.create(name.to_owned(), false, spec)).await;
    created.expect("the topic is created");
    // The client hears of it on another stream than the answer.
    until(async || fluvio.topic_producer(name).await.is_ok()).await;
}

/// A producer that sends one batch per flush.
pub(crate) async fn batching_producer(fluvio: &Fluvio, topic: &str, compression: Compression) -> TopicProducerPool {
    let config = TopicProducerConfigBuilder::default()
        .linger(Duration::from_secs(30))
        .batch_size(1024 * 1024)
        .compression(compression)
        .build()
        .expect("the configuration is valid");
    within(fluvio.topic_producer_with_config(topic, config)).await.expect("the producer is made")
}

/// Produces values as one batch and returns their offsets.
pub(crate) async fn produce(fluvio: &Fluvio, topic: &str, values: &[&str]) -> Vec<i64> {
    let producer = batching_producer(fluvio, topic, Compression::None).await;
    let mut outputs = Vec::new();
    for value in values {
        outputs.push(producer.send(fluvio::RecordKey::NULL, *value).await.expect("the record is taken"));
    }
    within(producer.flush()).await.expect("the records are sent");
    let mut offsets = Vec::new();
    for output in outputs {
        offsets.push(within(output.wait()).await.expect("the record is acknowledged").offset());
    }
    offsets
}

/// A configuration for one partition, without the client's own retries, which hide errors.
pub(crate) fn from(topic: &str, start: Offset) -> ConsumerConfigExtBuilder {
    let mut config = ConsumerConfigExt::builder();
    config.topic(topic).partition(0).offset_start(start).retry_mode(RetryMode::Disabled);
    config
}

/// Reads up to the present end.
pub(crate) async fn read(fluvio: &Fluvio, config: &mut ConsumerConfigExtBuilder) -> Vec<ConsumerRecord> {
    let (records, error) = try_read(fluvio, config).await;
    assert_eq!(error, None);
    records
}

/// Reads up to the present end or the first error.
pub(crate) async fn try_read(fluvio: &Fluvio, config: &mut ConsumerConfigExtBuilder) -> (Vec<ConsumerRecord>, Option<ErrorCode>) {
    let config = config.disable_continuous(true).build().expect("the configuration is valid");
    within(async {
        let mut records = Vec::new();
        let mut stream = match fluvio.consumer_with_config(config).await {
            Ok(stream) => stream,
            Err(error) => {
                let code = error.downcast_ref::<ErrorCode>().cloned();
                return (records, Some(code.unwrap_or_else(|| ErrorCode::Other(format!("{error:#}")))));
            }
        };
        while let Some(result) = stream.next().await {
            match result {
                Ok(record) => records.push(record),
                Err(error) => return (records, Some(error)),
            }
        }
        (records, None)
    })
    .await
}

pub(crate) async fn read_all(fluvio: &Fluvio, topic: &str) -> Vec<ConsumerRecord> {
    read(fluvio, &mut from(topic, Offset::beginning())).await
}

pub(crate) fn values(records: &[ConsumerRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record.value()).into_owned()).collect()
}

pub(crate) fn offsets(records: &[ConsumerRecord]) -> Vec<i64> {
    records.iter().map(ConsumerRecord::offset).collect()
}

/// First offset, high watermark and size of a partition, as `fluvio partition list` shows them.
pub(crate) async fn partition(fluvio: &Fluvio, name: &str) -> (i64, i64, i64) {
    let admin = fluvio.admin().await;
    let listed = within(admin.all::<PartitionSpec>()).await.expect("partitions are listed");
    let found = listed.into_iter().find(|partition| partition.name == name).expect("the partition is listed");
    (found.status.base_offset, found.status.leader.hw, found.status.size)
}

/// Remembers how connections ended and how many records were appended.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) closed: Mutex<Vec<CloseReason>>,
    pub(crate) refused: Mutex<u64>,
    pub(crate) appended: Mutex<u64>,
}

impl Observer for Recorder {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::ConnectionClosed { reason, .. } => self.closed.lock().unwrap().push(reason),
            Event::ConnectionRefused { .. } => *self.refused.lock().unwrap() += 1,
            Event::RecordsAppended { records, .. } => *self.appended.lock().unwrap() += records,
            _ => {}
        }
    }
}

pub(crate) async fn start_recorded(mut options: Options) -> (Broker, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    options.observer = Arc::clone(&recorder) as Arc<dyn Observer>;
    (Broker::start(options).await.expect("the broker starts"), recorder)
}
