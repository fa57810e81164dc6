//! Reads a source ahead of its task, a bounded number of batches.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Runner, WAIT_FIRST, WAIT_MAX};
use crate::log::{Fetched, Log, LogError};
use crate::telemetry::Event;

/// What a source says: batches, or that it cannot go on.
pub(super) type SourceMessage = (usize, Result<Fetched, LogError>);

/// Reads until the receiver is gone or the offsets are not to be had. Other errors are waited out. Takes one off `unopened` once it reads for the first time.
pub(super) async fn pump(
    runner: &Runner,
    log: Arc<dyn Log>,
    source: usize,
    mut next_offset: i64,
    sender: mpsc::Sender<SourceMessage>,
    unopened: &watch::Sender<usize>,
) {
    let mut is_opened = false;
    let spec = &runner.spec.sources[source];
    let mut wait = WAIT_FIRST;
    loop {
        let failed = match log.read(&spec.topic, runner.partition, next_offset, Some(&spec.routing)).await {
            Err(error) => error,
            Ok(mut reader) => loop {
                if !std::mem::replace(&mut is_opened, true) {
                    unopened.send_modify(|unopened| *unopened -= 1);
                }
                match reader.next().await {
                    Ok(fetched) => {
                        wait = WAIT_FIRST;
                        next_offset = fetched.next_offset;
                        if sender.send((source, Ok(fetched))).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => break error,
                }
            },
        };
        if matches!(failed, LogError::OffsetOutOfRange { .. } | LogError::Gap { .. }) {
            // Records are gone: that is the task's to say, not something to wait out.
            let _ = sender.send((source, Err(failed))).await;
            return;
        }
        runner.observe(&Event::LogRetried { task: runner.name(), action: "read" });
        tracing::debug!(task = runner.id(), topic = spec.topic, error = &failed as &dyn std::error::Error, "source is read again");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = sender.closed() => return,
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
}
