//! A connection that carries nothing and tells one thing: that its other end has gone.
//!
//! When a process ends, however it does, its operating system closes its connections at once. So an instance that holds on to the lifeline of another learns within a ms that this one was
//! killed, and need not wait for its silence. What is believed is only what is certain: a lifeline that was in hand has torn, and where it was nobody listens any more. A machine that is
//! switched off, or cut off, closes nothing; that shows by silence, as before. And if it were believed wrongly all the same, fences see to it that this costs a pause and nothing else.
//!
//! It is no transport: nothing is ever sent but the name by which a lifeline is known to be the right one. Start reading at [`Lifeline`] and [`torn`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{LIFELINE_BYTES_MAX, LIFELINE_PAUSE, LIFELINE_TIMEOUT, LIFELINE_TRIES_MAX, LIFELINES_MAX};

/// The lifeline of this process. Dropping it lets go of all who hold on to it.
#[derive(Debug)]
pub struct Lifeline {
    name: String,
    task: AbortHandle,
}

impl Lifeline {
    /// Listens on an address that the others can reach; port 0 takes a free one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If that is not possible.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let name = format!("{}#{:016x}", listener.local_addr()?, random());
        let task = tokio::spawn(hold(listener, name.clone())).abort_handle();
        Ok(Self { name, task })
    }

    /// Returns its name, `<address>#<hex digits>`: where it is, and what tells it from others that were or will be there.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A number that no other lifeline has.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Lets others hold on.
async fn hold(listener: TcpListener, name: String) {
    let places = Arc::new(Semaphore::new(LIFELINES_MAX));
    // They end with this task.
    let mut held = tokio::task::JoinSet::new();
    loop {
        while held.try_join_next().is_some() {}
        let Ok((mut stream, _)) = listener.accept().await else {
            sleep(LIFELINE_TIMEOUT).await;
            continue;
        };
        let (Ok(place), name) = (Arc::clone(&places).try_acquire_owned(), name.clone()) else { continue };
        held.spawn(async move {
            // Nothing comes but the end.
            if stream.write_all(format!("{name}\n").as_bytes()).await.is_ok() {
                let _ = stream.read(&mut [0]).await;
            }
            drop(place);
        });
    }
}

/// Returns when the process with the lifeline of this name has certainly ended. If that cannot be known, it never returns.
pub async fn torn(name: &str) {
    let Some((address, _)) = name.split_once('#') else { return std::future::pending().await };
    let (mut was_in_hand, mut tries) = (false, 0);
    while tries < LIFELINE_TRIES_MAX {
        match timeout(LIFELINE_TIMEOUT, grasp(address, name)).await {
            Ok(Ok(mut stream)) => {
                was_in_hand = true;
                let began = Instant::now();
                let _ = stream.read(&mut [0]).await;
                if began.elapsed() > LIFELINE_TIMEOUT {
                    tries = 0;
                }
            }
            Ok(Err(error)) if was_in_hand && says_nobody(&error) => return,
            // Who closes its connections one by one is still there for a moment.
            _ => {}
        }
        sleep(LIFELINE_PAUSE * 2_u32.saturating_pow(tries)).await;
        tries += 1;
    }
    std::future::pending::<()>().await;
}

/// Returns true if the machine is there and says that nobody listens, or that it is somebody else.
fn says_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Other)
}

/// Connects, and sees to it that it is the right one.
async fn grasp(address: &str, name: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let mut said = vec![0; name.len().min(LIFELINE_BYTES_MAX) + 1];
    stream.read_exact(&mut said).await?;
    if said.strip_suffix(b"\n") != Some(name.as_bytes()) {
        return Err(io::Error::other("another process is there"));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    async fn lifeline() -> Lifeline {
        Lifeline::listen((Ipv4Addr::LOCALHOST, 0).into()).await.expect("a port")
    }

    /// Waits until so many hold on to it.
    async fn is_held(lifeline: &Lifeline) {
        // Whoever comes after the one that is awaited is let in after it.
        let (address, _) = lifeline.name().split_once('#').expect("it has an address");
        drop(grasp(address, lifeline.name()).await.expect("it is there"));
    }

    #[tokio::test]
    async fn who_holds_on_learns_at_once_that_a_process_has_ended() {
        let lifeline = lifeline().await;
        let name = lifeline.name().to_owned();
        let mut watching = tokio::spawn(async move { torn(&name).await });
        is_held(&lifeline).await;
        assert!(timeout(Duration::from_millis(100), &mut watching).await.is_err(), "it lives");
        drop(lifeline);
        timeout(Duration::from_secs(10), watching).await.expect("it is told").expect("it does not panic");
    }

    #[tokio::test]
    async fn what_was_never_in_hand_says_nothing() {
        let gone = lifeline().await.name().to_owned();
        let other = lifeline().await;
        let not_its_own = format!("{}#{:016x}", other.name().split_once('#').expect("it has an address").0, 0);
        for name in [gone.as_str(), &not_its_own, "nonsense", "127.0.0.1:1"] {
            assert!(timeout(Duration::from_millis(200), torn(name)).await.is_err(), "{name}");
        }
    }

    /// Goal: a process that ends closes its connections one after the other: one that lets go before it stops to listen has ended all the same.
    #[tokio::test]
    async fn who_lets_go_a_moment_before_it_is_gone_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let name = format!("{}#1", listener.local_addr().expect("an address"));
        let watched = name.clone();
        let watching = tokio::spawn(async move { torn(&watched).await });
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(format!("{name}\n").as_bytes()).await.expect("it is said");
        drop(stream);
        let (again, _) = listener.accept().await.expect("it is looked whether it is there");
        drop((again, listener));
        timeout(Duration::from_secs(10), watching).await.expect("it is told").expect("it does not panic");
    }

    /// Goal: a connection that breaks while the process lives, as in a network that hardly works, is no death.
    #[tokio::test]
    async fn a_lifeline_that_tears_while_the_process_is_there_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let name = format!("{}#1", listener.local_addr().expect("an address"));
        let said = name.clone();
        let serving = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.write_all(format!("{said}\n").as_bytes()).await.expect("it is said");
            }
            listener
        });
        assert!(timeout(Duration::from_millis(300), torn(&name)).await.is_err());
        serving.await.expect("it was looked whether it is there");
    }
}
