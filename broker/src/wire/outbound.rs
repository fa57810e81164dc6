//! The way out of a connection: a bounded queue of responses and the task that writes them.

use std::{collections::VecDeque, io, io::IoSlice, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::Frame;
use crate::limits::{OUTBOUND_FRAMES_MAX, WRITE_FRAMES_MAX};

/// Permits count kibibytes, since a semaphore counts no further than `u32` conveniently.
const UNIT_BYTES: usize = 1024;

/// The connection is gone; nobody will read the response.
#[derive(Debug, thiserror::Error)]
#[error("the client has disconnected")]
pub(crate) struct Disconnected;

/// A handle by which handlers and streams of one connection send their responses.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    queue: mpsc::Sender<Queued>,
    budget: Arc<Semaphore>,
    units_max: u32,
}

/// Room for one response in the queue. Streams take it before they read records, so that records wait on
/// disk and not in memory while the client is slow.
#[derive(Debug)]
pub(crate) struct Slot {
    queue: mpsc::Sender<Queued>,
    permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// Gives the room back when the response has been written.
    _permit: OwnedSemaphorePermit,
}

/// The receiving end, for the task that writes.
#[derive(Debug)]
pub(crate) struct Outgoing(mpsc::Receiver<Queued>);

impl Outbound {
    /// A queue that holds at most about `bytes_max` bytes of responses.
    pub(crate) fn new(bytes_max: usize) -> (Self, Outgoing) {
        let (queue, receiver) = mpsc::channel(OUTBOUND_FRAMES_MAX);
        let units_max = units(bytes_max).max(1);
        let budget = Arc::new(Semaphore::new(units_max as usize));
        (Self { queue, budget, units_max }, Outgoing(receiver))
    }

    /// Waits for room for a response of about this size. One that is larger than the whole queue gets the
    /// whole queue.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Slot, Disconnected> {
        let wanted = units(bytes).clamp(1, self.units_max);
        let reserved = self.budget.clone().acquire_many_owned(wanted);
        tokio::select! {
            permit = reserved => Ok(Slot { queue: self.queue.clone(), permit: permit.map_err(|_| Disconnected)? }),
            () = self.queue.closed() => Err(Disconnected),
        }
    }

    /// Queues a response, waiting for room.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), Disconnected> {
        self.reserve(frame.len()).await?.send(frame).await
    }
}

impl Slot {
    /// Queues the response that the room was taken for.
    pub(crate) async fn send(self, frame: Frame) -> Result<(), Disconnected> {
        self.queue.send(Queued { frame, _permit: self.permit }).await.map_err(|_| Disconnected)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Writes responses until every [`Outbound`] is dropped or the client stops reading for `stall_timeout`.
/// Responses that are queued together leave in one system call; `sent` is told the size of each such write.
pub(crate) async fn write_responses<W>(mut outgoing: Outgoing, mut writer: W, stall_timeout: Duration, sent: impl Fn(usize)) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut queued = Vec::with_capacity(WRITE_FRAMES_MAX);
    let mut parts = VecDeque::with_capacity(2 * WRITE_FRAMES_MAX);
    while outgoing.0.recv_many(&mut queued, WRITE_FRAMES_MAX).await > 0 {
        let bytes = queued.iter().map(|entry| entry.frame.len()).sum();
        parts.extend(queued.iter().flat_map(|entry| entry.frame.clone().into_parts()));
        write_all(&mut writer, &mut parts, stall_timeout).await?;
        queued.clear();
        sent(bytes);
    }
    writer.shutdown().await
}

async fn write_all<W>(writer: &mut W, parts: &mut VecDeque<Bytes>, stall_timeout: Duration) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    loop {
        while parts.front().is_some_and(Bytes::is_empty) {
            parts.pop_front();
        }
        if parts.is_empty() {
            return Ok(());
        }
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut written =
            timeout(stall_timeout, writer.write_vectored(&slices)).await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(part) = parts.front_mut().filter(|_| written > 0) {
            let count = written.min(part.len());
            part.advance(count);
            written -= count;
            if part.is_empty() {
                parts.pop_front();
            }
        }
    }
}
