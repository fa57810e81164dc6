//! A network cable that can be cut: a TCP proxy between one process and the broker, which does to connections what a run says.
//!
//! A client of Fluvio asks the control plane where the data plane is. So that its records come this way, too, the control plane's answers name the proxy instead of the broker: a port is
//! replaced by another one, and nothing else is changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::{Doing as _, Error};
use crate::limits::{PROXY_CHUNK_BYTES, PROXY_FRAME_BYTES_MAX};

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// As it should be.
    Whole,
    /// Connections are reset, and new ones refused.
    Cut,
    /// Connections stay, and nothing comes through any more. What was sent meanwhile arrives when it is whole again.
    HalfOpen,
    /// Everything takes so much longer.
    Slow(Duration),
    /// All connections are reset again and again.
    Resets(Duration),
}

/// A proxy in front of a broker. It ends with the process.
pub(crate) struct Proxy {
    /// Address of the control plane, as the process is told.
    pub(crate) sc: String,
    link: watch::Sender<Link>,
    carried: Arc<AtomicUsize>,
}

/// One of the two planes.
#[derive(Clone)]
struct Plane {
    server: String,
    /// Port of the data plane, and which one is said instead.
    ports: Option<(u16, u16)>,
    link: watch::Receiver<Link>,
    /// Connections to the data plane so far.
    carried: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy in front of the broker with these addresses.
    pub(crate) async fn start(sc: &str, spu: &str) -> Result<Self, Error> {
        let (control, control_address) = listen().await?;
        let (data, data_address) = listen().await?;
        let port = spu.parse::<SocketAddr>().doing(|| format!("`{spu}` is no address"))?.port();
        let (link, carried) = (watch::Sender::new(Link::Whole), Arc::new(AtomicUsize::new(0)));
        let plane = Plane { server: sc.to_owned(), ports: Some((port, data_address.port())), link: link.subscribe(), carried: Arc::clone(&carried) };
        tokio::spawn(plane.clone().accept(control));
        tokio::spawn(Plane { server: spu.to_owned(), ports: None, ..plane }.accept(data));
        Ok(Self { sc: control_address.to_string(), link, carried })
    }

    /// Changes the network.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Returns how many connections to the data plane came this way.
    pub(crate) fn carried(&self) -> usize {
        self.carried.load(Ordering::Relaxed)
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.doing(|| "the proxy finds no port".to_owned())?;
    let address = listener.local_addr().doing(|| "the proxy has no address".to_owned())?;
    Ok((listener, address))
}

impl Plane {
    async fn accept(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(self.clone().carry(client));
        }
    }

    async fn carry(self, mut client: TcpStream) {
        if *self.link.borrow() == Link::Cut {
            return reset(&client);
        }
        let Ok(mut server) = TcpStream::connect(&self.server).await else { return reset(&client) };
        if self.ports.is_none() {
            self.carried.fetch_add(1, Ordering::Relaxed);
        }
        let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let is_reset = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let back = async {
                match self.ports {
                    Some(ports) => self.frames(from_server, to_client, ports).await,
                    None => self.bytes(from_server, to_client).await,
                }
            };
            tokio::select! {
                () = self.bytes(from_client, to_server) => false,
                () = back => false,
                () = self.clone().broken() => true,
            }
        };
        if is_reset {
            reset(&client);
            reset(&server);
        }
    }

    /// Carries bytes one way until one of the two has gone.
    async fn bytes(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
        let mut chunk = vec![0; PROXY_CHUNK_BYTES];
        while let Ok(length) = from.read(&mut chunk).await {
            if length == 0 || !self.pass(&mut to, &chunk[..length]).await {
                return;
            }
        }
    }

    /// Carries frames with their lengths in front, and replaces one port by another.
    async fn frames(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, (port, other): (u16, u16)) {
        while let Ok(length) = from.read_u32().await {
            let mut frame = vec![0; (length as usize).min(PROXY_FRAME_BYTES_MAX)];
            if from.read_exact(&mut frame).await.is_err() {
                return;
            }
            replace_port(&mut frame, port, other);
            let framed = [&length.to_be_bytes()[..], &frame].concat();
            if !self.pass(&mut to, &framed).await {
                return;
            }
        }
    }

    async fn pass(&self, to: &mut WriteHalf<'_>, bytes: &[u8]) -> bool {
        let mut link = self.link.clone();
        let _ = link.wait_for(|link| *link != Link::HalfOpen).await;
        let slow = match *self.link.borrow() {
            Link::Slow(slow) => slow,
            _ => Duration::ZERO,
        };
        sleep(slow).await;
        to.write_all(bytes).await.is_ok()
    }

    /// Returns when a connection is to be reset.
    async fn broken(mut self) {
        loop {
            let link = *self.link.borrow_and_update();
            match link {
                Link::Cut => return,
                Link::Resets(every) => tokio::select! {
                    () = sleep(every) => return,
                    _ = self.link.changed() => {}
                },
                _ => {
                    if self.link.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}

/// Its end is noticed at once, and without a goodbye.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Replaces the port of an address on this machine: the port stands shortly before the host.
fn replace_port(frame: &mut [u8], port: u16, other: u16) {
    const HOST: &[u8] = b"127.0.0.1";
    const BETWEEN_MAX: usize = 16;
    let hosts: Vec<usize> = frame.windows(HOST.len()).enumerate().filter(|(_, window)| *window == HOST).map(|(at, _)| at).collect();
    for host in hosts {
        let from = host.saturating_sub(BETWEEN_MAX);
        let found = frame[from..host].windows(2).rposition(|window| window == port.to_be_bytes());
        if let Some(at) = found {
            frame[from + at..from + at + 2].copy_from_slice(&other.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn answer(stream: &mut TcpStream) -> std::io::Result<u32> {
        stream.write_u32(7).await?;
        stream.read_u32().await
    }

    #[tokio::test]
    async fn a_cut_connection_is_reset_and_a_half_open_one_is_silent_until_it_is_whole() {
        let server = echo().await;
        let proxy = Proxy::start(&server, &server).await.expect("it starts");
        let (data, address) = listen().await.expect("a port");
        let link = proxy.link.subscribe();
        tokio::spawn(Plane { server, ports: None, link, carried: Arc::clone(&proxy.carried) }.accept(data));
        let mut stream = TcpStream::connect(address).await.expect("it connects");
        assert_eq!((answer(&mut stream).await.ok(), proxy.carried()), (Some(7), 1));
        proxy.set(Link::HalfOpen);
        stream.write_u32(8).await.expect("it is sent");
        assert!(tokio::time::timeout(Duration::from_millis(100), stream.read_u32()).await.is_err());
        proxy.set(Link::Slow(Duration::from_millis(1)));
        assert_eq!(stream.read_u32().await.ok(), Some(8), "what was sent arrives late");
        proxy.set(Link::Cut);
        assert!(answer(&mut stream).await.is_err());
        let mut refused = TcpStream::connect(address).await.expect("the proxy itself is there");
        assert!(answer(&mut refused).await.is_err());
    }

    #[test]
    fn only_the_port_of_the_data_plane_is_replaced() {
        let mut frame = [&[0, 9, 0x1f, 0x40][..], &[0, 0, 0, 1, 1, 0, 9], b"127.0.0.1", &[0x1f, 0x40]].concat();
        replace_port(&mut frame, 0x1f40, 0x2233);
        assert_eq!(frame, [&[0, 9, 0x22, 0x33][..], &[0, 0, 0, 1, 1, 0, 9], b"127.0.0.1", &[0x1f, 0x40]].concat());
    }
}
