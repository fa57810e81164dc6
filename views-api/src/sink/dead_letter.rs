//! Records that do not fold, for people to see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fluvio_streams::envelope::Provenance;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::record::NewRecord;
use fluvio_streams::system::System;
use fluvio_streams::time::{Clock, SystemClock, format_rfc3339};
use fluvio_streams::trace::TraceContext;
use serde_json::json;

use super::fold::Refusal;
use crate::limits::DEAD_LETTER_QUOTE_BYTES_MAX;
use crate::view::View;

/// Writes to the dead-letter topic of a system.
pub(super) struct DeadLetters {
    log: Arc<dyn Log>,
    /// `None` for a system without processors: its sinks only count.
    topic: Option<String>,
    writers: Mutex<HashMap<u32, Arc<dyn Writer>>>,
}

impl DeadLetters {
    pub(super) fn of(system: &System, log: Arc<dyn Log>) -> Self {
        let topic = system.topology.processors.first().map(|processor| processor.dead_letters.clone());
        Self { log, topic, writers: Mutex::default() }
    }

    /// Writes a dead letter for each refused record; returns once they are durable.
    pub(super) async fn write(&self, view: &View, partition: u32, refusals: &[Refusal]) -> Result<(), LogError> {
        let Some(topic) = self.topic.as_ref().filter(|_| !refusals.is_empty()) else { return Ok(()) };
        let partitions = self.log.partitions(topic).await?.max(1);
        let mut by_target: HashMap<u32, Vec<NewRecord>> = HashMap::new();
        for refusal in refusals {
            let target = refusal.key.as_deref().map_or(partition % partitions, |key| partition_for(key, partitions));
            by_target.entry(target).or_default().push(NewRecord { key: refusal.key.clone(), value: render(view, partition, refusal).into() });
        }
        for (target, records) in by_target {
            let writer = self.writer(topic, target).await?;
            for record in records {
                // One at a time: each quotes up to 64 KiB, and there are few.
                if let Err(error) = writer.append(vec![record]).await {
                    self.writers().remove(&target);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn writer(&self, topic: &str, target: u32) -> Result<Arc<dyn Writer>, LogError> {
        let known = self.writers().get(&target).cloned();
        if let Some(writer) = known {
            return Ok(writer);
        }
        let writer = self.log.writer(topic, target).await?;
        self.writers().insert(target, Arc::clone(&writer));
        Ok(writer)
    }

    fn writers(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<dyn Writer>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renders the dead letter as a CloudEvent. Its correlation is its own id, not that of the command behind the event: the command has its outcome elsewhere. Its trace is that of the event.
fn render(view: &View, partition: u32, refusal: &Refusal) -> Vec<u8> {
    let processor = format!("{}-view", view.collection);
    let source = format!("/{}/{processor}/{partition}", view.system);
    let place = format!("{}/{partition}/{}", view.topic, refusal.offset);
    let id = format!("{}-{processor}/{partition}/{place}", view.system);
    // A sink has no journal. What it says of a record twice is the same letter, so the record's place stands for the transaction.
    let provenance = Provenance { journal: format!("{}-{processor}", view.system), partition, epoch: 0, sequence: refusal.offset.unsigned_abs() + 1, index: 0 };
    let trace = refusal.trace.unwrap_or_else(|| TraceContext::of(&place)).trace;
    let letter = json!({
        "specversion": "1.0",
        "type": "DeadLetter",
        "id": id,
        "source": source,
        "subject": place,
        "time": format_rfc3339(SystemClock.now_ms()),
        "datacontenttype": "application/json",
        "causationid": place,
        "correlationid": id,
        "provenance": provenance.render(),
        "traceparent": trace.at(view.span(trace, partition, &place)).to_string(),
        "data": {
            "topic": view.topic,
            "partition": partition,
            "offset": refusal.offset,
            "processor": processor,
            "error": format!("view `{}`: {}", view.collection, refusal.error),
            "key": refusal.key.as_deref().map(quote),
            "value": quote(&refusal.value),
        },
    });
    letter.to_string().into_bytes()
}

fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(DEAD_LETTER_QUOTE_BYTES_MAX)]).into_owned()
}
