//! How a connection reaches its server: over TCP, or within the process.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::fluvio::Settings;

/// Connects to a server that runs in this process, if the address is its. Asked before the network is.
pub type WithinProcess = Arc<dyn Fn(&str) -> Option<DuplexStream> + Send + Sync>;

/// The two directions of a connection.
pub(super) struct Halves {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Connects.
///
/// # Errors
/// Those of the system.
pub(super) async fn dial(endpoint: &str, settings: &Settings) -> io::Result<Halves> {
    if let Some(stream) = settings.within_process.as_ref().and_then(|connect| connect(endpoint)) {
        let (reader, writer) = tokio::io::split(stream);
        return Ok(Halves { reader: Box::new(reader), writer: Box::new(writer) });
    }
    let stream = TcpStream::connect(endpoint).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let reader: Box<dyn AsyncRead + Send + Unpin> = if settings.quick_ack { Box::new(QuickAck(reader)) } else { Box::new(reader) };
    Ok(Halves { reader, writer: Box::new(writer) })
}

/// Has the kernel acknowledge at once whatever is read.
///
/// A real server writes a response in two pieces without TCP_NODELAY and waits for our kernel's acknowledgement in between, which it delays by 40 ms unless told otherwise. The kernel
/// forgets the option, so it is set after every read. Failing to set it costs time and nothing else.
struct QuickAck(OwnedReadHalf);

impl AsyncRead for QuickAck {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(context, buffer);
        #[cfg(target_os = "linux")]
        if read.is_ready() {
            let stream: &TcpStream = self.0.as_ref();
            drop(socket2::SockRef::from(stream).set_tcp_quickack(true));
        }
        read
    }
}
