//! Reads topics with the official client, without believing that it tells of everything: it may end a backlog early, and lose what it cut.
//!
//! It asks again from the first record that it does not have, until there is none.

use std::time::Duration;

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, FluvioClusterConfig, Offset};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::error::{Doing as _, Error};
use crate::ledger::{Ledger, Record, SYSTEM, TOPICS};
use crate::limits::{CLIENT_LIMIT, READS_MAX};

/// Reads what is new in all topics. Returns how many records that were.
pub(crate) async fn read(sc: &str, partitions: u32, ledger: &mut Ledger) -> Result<u64, Error> {
    let before = ledger.records();
    let client = connect(sc).await?;
    for topic in TOPICS {
        for partition in 0..partitions {
            partition_to_its_end(&client, topic, partition, ledger).await?;
        }
    }
    Ok(ledger.records() - before)
}

/// Connects the official client.
pub(crate) async fn connect(sc: &str) -> Result<Fluvio, Error> {
    let connecting = timeout(CLIENT_LIMIT, Fluvio::connect_with_config(&FluvioClusterConfig::new(sc))).await;
    connecting.doing(|| format!("no connection to {sc} in time"))?.map_err(|error| Error::new(format!("cannot connect to {sc}: {error:#}")))
}

async fn partition_to_its_end(client: &Fluvio, topic: &str, partition: u32, ledger: &mut Ledger) -> Result<(), Error> {
    let place = format!("{SYSTEM}-{topic}/{partition}");
    for _ in 0..READS_MAX {
        let from = ledger.next_offset(topic, partition);
        let left_out = some(client, topic, partition, from, ledger).await.map_err(|error| Error::new(format!("cannot read {place} from {from}: {error:#}")))?;
        match left_out {
            Some(next) if ledger.next_offset(topic, partition) == from => return Err(Error::new(format!("{place}/{from} is not there, and {next} is"))),
            None if ledger.next_offset(topic, partition) == from => return Ok(()),
            _ => {}
        }
    }
    Err(Error::new(format!("{place} has no end")))
}

/// Reads records until the client says that there are no more, or leaves one out: then that which it gave instead is returned.
async fn some(client: &Fluvio, topic: &str, partition: u32, from: i64, ledger: &mut Ledger) -> Result<Option<i64>, Box<dyn std::error::Error + Send + Sync>> {
    let offset = Offset::absolute(from)?;
    let config =
        ConsumerConfigExtBuilder::default().topic(format!("{SYSTEM}-{topic}")).partition(partition).offset_start(offset).disable_continuous(true).build()?;
    let mut stream = timeout(CLIENT_LIMIT, client.consumer_with_config(config)).await??;
    let mut next = from;
    while let Some(record) = timeout(CLIENT_LIMIT + Duration::from_secs(20), stream.next()).await? {
        let record = record.map_err(|error| format!("{error:?}"))?;
        if record.offset() != next {
            return Ok(Some(record.offset()));
        }
        ledger.take(Record { topic, partition, offset: record.offset(), key: record.key(), value: record.value() });
        next += 1;
    }
    Ok(None)
}
