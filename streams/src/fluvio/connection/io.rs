//! The two tasks of a connection: one writes what is queued, one reads and dispatches.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::Shared;
use crate::fluvio::limits::{FRAME_BYTES_MAX, READ_BYTES, WRITE_BYTES};
use crate::fluvio::telemetry::Event;

/// Writes queued frames until the connection is closed. Small frames that are queued together leave in one write.
pub(super) async fn write_frames(mut writer: impl AsyncWrite + Unpin, mut queued: UnboundedReceiver<BytesMut>, shared: Arc<Shared>) {
    while let Some(mut frame) = queued.recv().await {
        while frame.len() < WRITE_BYTES {
            let Ok(next) = queued.try_recv() else { break };
            frame.extend_from_slice(&next);
        }
        match timeout(shared.settings.timeouts.append, writer.write_all(&frame)).await {
            Ok(Ok(())) => shared.settings.observer.observe(&Event::Sent { bytes: frame.len() }),
            Ok(Err(error)) => return shared.close(&format!("writing failed: {error}")),
            Err(_) => return shared.close("the server does not read"),
        }
    }
}

/// Reads responses and dispatches them until the connection breaks.
pub(super) async fn read_frames(mut reader: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        buffer.reserve(READ_BYTES);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return shared.close("the server closed the connection"),
            Ok(bytes) => shared.settings.observer.observe(&Event::Received { bytes }),
            Err(error) => return shared.close(&format!("reading failed: {error}")),
        }
        loop {
            match next_frame(&mut buffer) {
                Ok(Some((correlation, body))) => shared.dispatch(correlation, body),
                Ok(None) => break,
                Err(error) => return shared.close(&error.to_string()),
            }
        }
    }
}

/// Takes a whole frame off the buffer. A frame that is not whole yet gets the room that it needs, so that it is not moved again and again.
fn next_frame(buffer: &mut BytesMut) -> io::Result<Option<(i32, Bytes)>> {
    if buffer.len() < 4 {
        return Ok(None);
    }
    let declared = i32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
    let length = usize::try_from(declared).ok().filter(|length| (4..=FRAME_BYTES_MAX).contains(length));
    let length = length.ok_or_else(|| io::Error::other(format!("the server sent a frame of {declared} bytes, 4 to {FRAME_BYTES_MAX} are allowed")))?;
    if buffer.len() < 4 + length {
        // Doubling bounds what a false length can make us set aside by what has really arrived.
        buffer.reserve((4 + length - buffer.len()).min(buffer.len().max(READ_BYTES)));
        return Ok(None);
    }
    let mut frame = buffer.split_to(4 + length).freeze();
    frame.advance(4);
    Ok(Some((frame.get_i32(), frame)))
}
