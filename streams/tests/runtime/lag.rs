//! How far a task is behind is told also while it takes nothing: just then somebody wants to know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::{Options, Runtime};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::telemetry::{Event, Observer};
use tokio::sync::watch;

use super::altered::{Alteration, Altered};
use super::{business, events, eventually, log, options};

/// Remembers what was told last: lag by source, what is left to restore, and ages of records.
#[derive(Default)]
struct Told {
    lag: Mutex<BTreeMap<(String, u32), (i64, i64)>>,
    restoring: Mutex<Vec<i64>>,
    ages: Mutex<Vec<i64>>,
}

impl Told {
    /// Returns the records and the ms by which the tasks are behind the commands, over all partitions.
    fn behind(&self) -> (i64, i64) {
        let lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = lag.iter().filter(|((topic, _), _)| topic == "commands").map(|(_, lag)| *lag);
        commands.fold((0, 0), |(records, age_ms), lag| (records + lag.0, age_ms.max(lag.1)))
    }
}

impl Observer for Told {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::LagMeasured { task, topic, records, age_ms } => {
                let key = ((*topic).to_owned(), task.partition);
                self.lag.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (*records, *age_ms));
            }
            Event::Restoring { task, remaining } if task.processor == "till" => self.restoring.lock().unwrap_or_else(PoisonError::into_inner).push(*remaining),
            Event::RecordsTaken { ages_ms, .. } => self.ages.lock().unwrap_or_else(PoisonError::into_inner).extend(*ages_ms),
            _ => {}
        }
    }
}

/// Holds the journals: what is appended to them waits until they are let go.
#[derive(Clone)]
struct Held(watch::Sender<bool>);

#[async_trait]
impl Alteration for Held {
    async fn writer(&self, inner: &MemoryLog, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        let inner = inner.writer(topic, partition).await?;
        Ok(match topic.ends_with("-journal") {
            true => Arc::new(HeldWriter { inner, is_held: self.0.subscribe() }),
            false => inner,
        })
    }
}

struct HeldWriter {
    inner: Arc<dyn Writer>,
    is_held: watch::Receiver<bool>,
}

#[async_trait]
impl Writer for HeldWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        let _ = self.is_held.clone().wait_for(|is_held| !is_held).await;
        self.inner.append(records).await
    }
}

/// Appends a deposit with this timestamp; -1: as a broker that has lost it.
fn deposit(log: &MemoryLog, timestamp_ms: i64) {
    let value = r#"{"type":"Deposit","account":"a-1","amount":1}"#;
    let partition = partition_for(b"a-1", business::PARTITIONS);
    log.append("commands", partition, timestamp_ms, NewRecord::keyed("a-1", value)).expect("the topic is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_grows_while_the_journal_takes_nothing_and_is_gone_afterwards() {
    let memory = log();
    let told = Arc::new(Told::default());
    let held = Held(watch::Sender::new(false));
    let log: Arc<dyn Log> = Arc::new(Altered { inner: memory.clone(), by: held.clone() });
    let options = Options { observer: told.clone(), ..options(log, Arc::new(MemoryStores::default())) };
    let runtime = Runtime::start(&business::topology(), options.clone()).await.expect("it starts");
    deposit(&memory, -1);
    eventually("the first is taken", || events(&memory, "till-events", "Deposited").len() == 1).await;
    held.0.send_replace(true);
    for _ in 0..1_000 {
        deposit(&memory, -1);
    }
    eventually("many wait", || told.behind().0 > 300).await;
    let before = told.behind().0;
    for _ in 0..1_000 {
        deposit(&memory, -1);
    }
    eventually("a thousand more wait, and have waited for more than a second", || told.behind().0 >= before + 1_000 && told.behind().1 > 1_000).await;
    held.0.send_replace(false);
    eventually("all are taken", || told.behind() == (0, 0) && events(&memory, "till-events", "Deposited").len() == 2_001).await;
    runtime.stop().await;
    // Whoever comes with an empty store reads the journal, and tells how much is left: less and less.
    let again = Runtime::start(&business::topology(), Options { stores: Arc::new(MemoryStores::default()), ..options }).await.expect("it starts");
    again.wait_running().await.expect("nothing refuses its state");
    let restoring = told.restoring.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(restoring.iter().any(|remaining| *remaining > 1), "{restoring:?}");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_as_old_as_their_timestamps_say_when_they_are_committed() {
    let memory = log();
    let told = Arc::new(Told::default());
    let options = Options { observer: told.clone(), ..options(Arc::new(memory.clone()), Arc::new(MemoryStores::default())) };
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_millis() as i64;
    for timestamp_ms in [now_ms - 5_000, -1] {
        deposit(&memory, timestamp_ms);
    }
    let runtime = Runtime::start(&business::topology(), options).await.expect("it starts");
    eventually("both are taken", || events(&memory, "till-events", "Deposited").len() == 2).await;
    let ages = told.ages.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let of_commands: Vec<i64> = ages.into_iter().filter(|age_ms| *age_ms >= 5_000).collect();
    assert_eq!(of_commands.len(), 1, "the one that has none is left out: {of_commands:?}");
    runtime.stop().await;
}
