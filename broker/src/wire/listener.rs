//! Listening endpoints: bind, accept, and a cap on connections. Clients of the same process may come in without the network.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{DuplexStream, duplex},
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, mpsc},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Service,
    connection::{self, Stream},
};
use crate::{
    Error, Event, Limits, Observer, Plane,
    limits::{ACCEPT_RETRY_PAUSE, LISTEN_BACKLOG, PIPE_BYTES},
};

/// A bound address that does not accept connections yet.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    callers: Callers,
    called: mpsc::Receiver<DuplexStream>,
}

/// The way in for clients of this process.
#[derive(Clone, Debug)]
pub(crate) struct Callers(mpsc::Sender<DuplexStream>);

impl Callers {
    /// Connects; `None` if the endpoint is gone, or does not get on with accepting.
    pub(crate) fn connect(&self) -> Option<DuplexStream> {
        let (ours, theirs) = duplex(PIPE_BYTES);
        self.0.try_send(theirs).ok().map(|()| ours)
    }
}

impl Listener {
    /// Binds `address`; port 0 takes a free port.
    pub(crate) fn bind(plane: Plane, address: SocketAddr) -> Result<Self, Error> {
        let bound = open(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => {
                let (callers, called) = mpsc::channel(LISTEN_BACKLOG as usize);
                Ok(Self { listener, address, callers: Callers(callers), called })
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::AddressInUse { plane, address }),
            Err(source) => Err(Error::Listen { plane, address, source }),
        }
    }

    /// The way in for clients of this process.
    pub(crate) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        tokio::select! {
            accepted = self.listener.accept() => accepted.map(|(stream, peer)| (Stream::Tcp(stream), peer)),
            // It has no address; the endpoint's own is near enough to the truth.
            Some(stream) = self.called.recv() => Ok((Stream::Pipe(stream), self.address)),
        }
    }

    /// The address with the port that was really taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A broker that is started again must get its ports back although old connections linger in the kernel.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it; it finds peers that vanished without closing.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// What all connections of one endpoint share.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) plane: Plane,
    pub(crate) limits: Arc<Limits>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Cancelled when the broker stops.
    pub(crate) stopping: CancellationToken,
    /// Knows every task of the broker, so that stopping can wait for them.
    pub(crate) tasks: TaskTracker,
}

impl Server {
    /// Accepts connections until the broker stops; `service` makes the handler of each.
    pub(crate) async fn accept<S: Service>(self, mut listener: Listener, service: impl Fn(connection::Connection) -> S + Send + Sync + 'static) {
        let free = Arc::new(Semaphore::new(self.limits.connections_max));
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(plane = %self.plane, %error, "cannot accept a connection");
                    sleep(ACCEPT_RETRY_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
                tracing::warn!(plane = %self.plane, %peer, "connection refused: too many are open");
                self.observer.observe(Event::ConnectionRefused { plane: self.plane });
                continue;
            };
            let (connection, running) = connection::open(&self, stream, peer);
            let handler = service(connection);
            self.tasks.spawn(async move {
                running.serve(handler).await;
                drop(permit);
            });
        }
    }
}
