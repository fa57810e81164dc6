//! Sends effects to one target partition, strictly in order: one append at a time, from the first that is not acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Runner, WAIT_FIRST, WAIT_MAX};
use crate::log::{Log, LogError, Writer};
use crate::record::NewRecord;
use crate::task::Outgoing;
use crate::telemetry::Event;

/// Effects of one batch that were acknowledged: (sequence, count).
pub(super) type Sent = Vec<(u64, usize)>;

/// Bytes of one append, of which the broker takes 1 MiB at most by default.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Sends what it is given until the giver is gone. The queue is bounded by the task: it takes no input while too many transactions are unsent.
pub(super) async fn send(runner: &Runner, topic: String, partition: u32, mut effects: mpsc::UnboundedReceiver<Outgoing>, sent: mpsc::UnboundedSender<Sent>) {
    let log = runner.options.log.clone();
    let mut queue = VecDeque::new();
    let mut writer: Option<Arc<dyn Writer>> = None;
    let mut wait = WAIT_FIRST;
    loop {
        if queue.is_empty() {
            match effects.recv().await {
                Some(effect) => queue.push_back(effect),
                None => return,
            }
        }
        while let Ok(effect) = effects.try_recv() {
            queue.push_back(effect);
        }
        let count = batch_len(&queue);
        match append(&*log, &mut writer, &topic, partition, queue.iter().take(count)).await {
            Ok(()) => {
                wait = WAIT_FIRST;
                runner.observe(&Event::EffectsSent { task: runner.name(), topic: &topic, count });
                let mut acknowledged = Sent::new();
                for effect in queue.drain(..count) {
                    match acknowledged.last_mut() {
                        Some((sequence, count)) if *sequence == effect.sequence => *count += 1,
                        _ => acknowledged.push((effect.sequence, 1)),
                    }
                }
                if sent.send(acknowledged).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Whether it landed is not known: it is sent again, and the receiver drops what it has.
                writer = None;
                runner.observe(&Event::LogRetried { task: runner.name(), action: "append" });
                tracing::debug!(task = runner.id(), topic, error = &error as &dyn std::error::Error, "effects are sent again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }
}

fn batch_len(queue: &VecDeque<Outgoing>) -> usize {
    let mut bytes = 0;
    let fitting = queue.iter().take_while(|effect| {
        bytes += effect.value.len() + effect.key.len() + 32;
        bytes <= BATCH_BYTES_MAX
    });
    fitting.count().max(1)
}

async fn append(
    log: &dyn Log,
    writer: &mut Option<Arc<dyn Writer>>,
    topic: &str,
    partition: u32,
    effects: impl Iterator<Item = &Outgoing>,
) -> Result<(), LogError> {
    let records = effects.map(|effect| NewRecord::keyed(&effect.key, effect.value.clone())).collect();
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(log.writer(topic, partition).await?),
    };
    writer.append(records).await.map(drop)
}
