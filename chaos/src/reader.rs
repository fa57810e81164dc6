//! Reads topics with the official client, without believing that it tells of everything: it may end a backlog early, and lose what it cut.
//!
//! It asks again from the first record that it does not have, until there is none.

use std::time::{Duration, Instant};

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, FluvioClusterConfig, Offset};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::error::{Doing as _, Error};
use crate::ledger::{Ledger, Record, SYSTEM, TOPICS};
use crate::limits::{CLIENT_LIMIT, POLL, READS_MAX, SHARE_LIMIT};
use crate::owners::Assignments;

/// A record, and when it was written, in ms since the Unix epoch.
pub(crate) struct Read<'a> {
    pub(crate) offset: i64,
    pub(crate) time_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
}

/// Reads what is new in all topics. Returns how many records that were.
pub(crate) async fn read(sc: &str, partitions: u32, ledger: &mut Ledger) -> Result<u64, Error> {
    let before = ledger.records();
    let client = connect(sc).await?;
    for topic in TOPICS {
        for partition in 0..partitions {
            let from = ledger.next_offset(topic, partition);
            let take = |Read { offset, key, value, .. }: Read<'_>| ledger.take(Record { topic, partition, offset, key, value });
            scan(&client, topic, partition, from, take).await?;
        }
    }
    Ok(ledger.records() - before)
}

/// Connects the official client.
pub(crate) async fn connect(sc: &str) -> Result<Fluvio, Error> {
    let connecting = timeout(CLIENT_LIMIT, Fluvio::connect_with_config(&FluvioClusterConfig::new(sc))).await;
    connecting.doing(|| format!("no connection to {sc} in time"))?.map_err(|error| Error::new(format!("cannot connect to {sc}: {error:#}")))
}

/// Reads a partition of one of the system's topics from an offset to its end. Returns where to go on.
pub(crate) async fn scan(client: &Fluvio, topic: &str, partition: u32, from: i64, mut take: impl FnMut(Read<'_>)) -> Result<i64, Error> {
    let place = format!("{SYSTEM}-{topic}/{partition}");
    let mut next = from;
    for _ in 0..READS_MAX {
        let began = next;
        let left_out = some(client, topic, partition, &mut next, &mut take).await;
        match left_out.map_err(|error| Error::new(format!("cannot read {place} from {began}: {error:#}")))? {
            Some(after) if next == began => return Err(Error::new(format!("{place}/{began} is not there, and {after} is"))),
            None if next == began => return Ok(next),
            _ => {}
        }
    }
    Err(Error::new(format!("{place} has no end")))
}

/// Reads records until the client says that there are no more, or leaves one out: then that which it gave instead is returned.
async fn some(
    client: &Fluvio,
    topic: &str,
    partition: u32,
    next: &mut i64,
    take: &mut impl FnMut(Read<'_>),
) -> Result<Option<i64>, Box<dyn std::error::Error + Send + Sync>> {
    let offset = Offset::absolute(*next)?;
    let config =
        ConsumerConfigExtBuilder::default().topic(format!("{SYSTEM}-{topic}")).partition(partition).offset_start(offset).disable_continuous(true).build()?;
    let mut stream = timeout(CLIENT_LIMIT, client.consumer_with_config(config)).await??;
    while let Some(record) = timeout(CLIENT_LIMIT + Duration::from_secs(20), stream.next()).await? {
        let record = record.map_err(|error| format!("{error:?}"))?;
        if record.offset() != *next {
            return Ok(Some(record.offset()));
        }
        take(Read { offset: record.offset(), time_ms: record.timestamp(), key: record.key(), value: record.value() });
        *next += 1;
    }
    Ok(None)
}

/// Waits until the assignments are as wanted.
pub(crate) async fn until(sc: &str, what: &str, holds: impl Fn(&Assignments) -> bool) -> Result<(), Error> {
    let began = Instant::now();
    let client = connect(sc).await?;
    let (mut assignments, mut next) = (Assignments::new(), 0);
    loop {
        next = scan(&client, "assignment", 0, next, |record| assignments.take(record.offset, record.time_ms, record.value)).await?;
        if holds(&assignments) {
            return Ok(());
        }
        if began.elapsed() > SHARE_LIMIT {
            return Err(Error::new(format!("after {SHARE_LIMIT:?} it is not so that {what}: {:?}", assignments.now())));
        }
        sleep(POLL * 5).await;
    }
}
