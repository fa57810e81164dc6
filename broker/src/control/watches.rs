//! Watches: a full list first, then what changes.
//!
//! A watch compares what its client knows with what there is, so changes that happen while the client is slow
//! arrive merged and none is lost.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use bytes::Bytes;
use fluvio_controlplane_metadata::message::Message;
use fluvio_protocol::{Decoder, Encoder, Version};
use fluvio_sc_schema::{
    AdminSpec, TryEncodableFrom,
    customspu::CustomSpuSpec,
    mirror::MirrorSpec,
    objects::{Metadata, MetadataUpdate, ObjectApiWatchRequest, ObjectApiWatchResponse, WatchRequest, WatchResponse},
    partition::PartitionSpec,
    smartmodule::SmartModuleSpec,
    spg::SpuGroupSpec,
    spu::SpuSpec,
    tableformat::TableFormatSpec,
    topic::TopicSpec,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{Control, downcast, malformed, smartmodules, topics};
use crate::wire::{Connection, Refusal, Request, response};

/// Objects by name, each with the revision it last changed at.
type Snapshot<S> = BTreeMap<String, (u64, Metadata<S>)>;

/// Starts the watch that a request asks for; it runs until the connection ends.
pub(super) fn start(
    control: &Arc<Control>,
    connection: &Connection,
    request: &Request,
    body: &ObjectApiWatchRequest,
    permit: OwnedSemaphorePermit,
) -> Result<(), Refusal> {
    let api_key = request.header.api_key();
    let watcher = Watcher {
        control: Arc::clone(control),
        connection: connection.clone(),
        correlation_id: request.correlation_id(),
        version: request.version(),
        api_key,
        _permit: permit,
    };
    if downcast::<WatchRequest<TopicSpec>, _>(body, api_key)?.is_some() {
        watcher.start(snapshot_topics);
    } else if downcast::<WatchRequest<PartitionSpec>, _>(body, api_key)?.is_some() {
        watcher.start(snapshot_partitions);
    } else if downcast::<WatchRequest<SpuSpec>, _>(body, api_key)?.is_some() {
        watcher.start(|control| BTreeMap::from([(String::new(), (0, control.spu()))]));
    } else if let Some(watch) = downcast::<WatchRequest<SmartModuleSpec>, _>(body, api_key)? {
        watcher.start(move |control| snapshot_smartmodules(control, watch.summary));
    } else if downcast::<WatchRequest<TableFormatSpec>, _>(body, api_key)?.is_some() {
        watcher.start(|_| Snapshot::<TableFormatSpec>::new());
    } else if downcast::<WatchRequest<MirrorSpec>, _>(body, api_key)?.is_some() {
        watcher.start(|_| Snapshot::<MirrorSpec>::new());
    } else if downcast::<WatchRequest<SpuGroupSpec>, _>(body, api_key)?.is_some() {
        watcher.start(|_| Snapshot::<SpuGroupSpec>::new());
    } else if downcast::<WatchRequest<CustomSpuSpec>, _>(body, api_key)?.is_some() {
        watcher.start(|_| Snapshot::<CustomSpuSpec>::new());
    } else {
        return Err(malformed(api_key, "watch of an unknown type of objects"));
    }
    Ok(())
}

fn snapshot_topics(control: &Control) -> Snapshot<TopicSpec> {
    let topics = control.catalogue.topics().into_iter();
    topics.map(|topic| (topic.name.clone(), (topic.revision, topics::describe(&topic)))).collect()
}

fn snapshot_partitions(control: &Control) -> Snapshot<PartitionSpec> {
    let mut snapshot = Snapshot::new();
    for topic in control.catalogue.topics() {
        for partition in &topic.partitions {
            let described = topics::describe_partition(&topic, partition);
            // Its description follows from the topic's id and not from its revision: adding partitions does
            // not change those that exist.
            snapshot.insert(described.name.clone(), (topic.id, described));
        }
    }
    snapshot
}

fn snapshot_smartmodules(control: &Control, summary: bool) -> Snapshot<SmartModuleSpec> {
    let all = control.catalogue.smartmodules().into_iter();
    all.map(|(name, smartmodule)| {
        let described = smartmodules::describe(name.clone(), &smartmodule, summary);
        (name, (smartmodule.revision, described))
    })
    .collect()
}

struct Watcher {
    control: Arc<Control>,
    connection: Connection,
    correlation_id: i32,
    version: Version,
    api_key: u16,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    fn start<S>(self, snapshot: impl Fn(&Control) -> Snapshot<S> + Send + 'static)
    where
        S: AdminSpec + Send + Sync + 'static,
        S::Status: Encoder + Decoder + Debug + Send + Sync,
        MetadataUpdate<S>: Send,
    {
        let connection = self.connection.clone();
        connection.clone().spawn(async move {
            if let Err(refusal) = self.run(snapshot).await {
                connection.refuse(&refusal);
            }
        });
    }

    async fn run<S>(self, snapshot: impl Fn(&Control) -> Snapshot<S> + Send) -> Result<(), Refusal>
    where
        S: AdminSpec + Send + Sync,
        S::Status: Encoder + Decoder + Debug + Send + Sync,
    {
        let mut watch = self.control.catalogue.watch();
        let mut epoch = 0;
        let mut known: BTreeMap<String, (u64, Metadata<S>)> = BTreeMap::new();
        loop {
            let generation = watch.begin();
            let current = snapshot(&self.control);
            let update = if epoch == 0 {
                Some(MetadataUpdate::with_all(epoch, current.values().map(|(_, object)| object.clone()).collect()))
            } else {
                let changes = difference(&known, &current);
                (!changes.is_empty()).then(|| MetadataUpdate::with_changes(epoch, changes))
            };
            if let Some(update) = update {
                self.send(update).await?;
            }
            watch.told(generation);
            known = current;
            epoch += 1;
            if !watch.changed().await {
                return Ok(());
            }
        }
    }

    async fn send<S>(&self, update: MetadataUpdate<S>) -> Result<(), Refusal>
    where
        S: AdminSpec,
        S::Status: Encoder + Decoder + Debug,
    {
        let body =
            ObjectApiWatchResponse::try_encode_from(WatchResponse::new(update), self.version).map_err(|error| malformed(self.api_key, error.to_string()))?;
        let frame = response(self.correlation_id, self.version, &body, Bytes::new())?;
        Ok(self.connection.outbound.send(frame).await?)
    }
}

fn difference<S>(known: &Snapshot<S>, current: &Snapshot<S>) -> Vec<Message<Metadata<S>>>
where
    S: AdminSpec,
    S::Status: Encoder + Decoder + Debug,
{
    let removed = known.iter().filter(|(name, _)| !current.contains_key(*name)).map(|(_, (_, object))| Message::delete(object.clone()));
    let updated = current
        .iter()
        .filter(|(name, (revision, _))| known.get(*name).is_none_or(|(known, _)| known != revision))
        .map(|(_, (_, object))| Message::update(object.clone()));
    removed.chain(updated).collect()
}
