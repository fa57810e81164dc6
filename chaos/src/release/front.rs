//! What a Kubernetes Service is to its pods: one address, behind it those that are ready, a connection to each in turn.
//!
//! It asks each endpoint every second whether it is ready. One that is not gets no new connections; those that it has go on until one side ends them. It carries bytes and knows no HTTP: what
//! fails behind it fails for its client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::{Doing as _, Error};
use crate::limits::PROBE_PERIOD;

/// The one address.
pub(super) struct Front {
    pub(super) address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    endpoints: Mutex<Vec<Endpoint>>,
    turn: AtomicUsize,
}

#[derive(Clone)]
struct Endpoint {
    name: &'static str,
    address: String,
    is_ready: bool,
}

impl Front {
    /// Starts a front without anybody behind it.
    pub(super) async fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.doing(|| "the front finds no port".to_owned())?;
        let address = listener.local_addr().doing(|| "the front has no address".to_owned())?.to_string();
        let shared = Arc::new(Shared::default());
        let client = reqwest::Client::builder().no_proxy().timeout(PROBE_PERIOD).pool_max_idle_per_host(0).build().doing(|| "no HTTP client".to_owned())?;
        tokio::spawn(Arc::clone(&shared).probe(client));
        tokio::spawn(Arc::clone(&shared).accept(listener));
        Ok(Self { address, shared })
    }

    /// Puts somebody behind it, from the next probe on that finds them ready; or says where they are now.
    pub(super) fn set(&self, name: &'static str, address: String) {
        let mut endpoints = self.shared.endpoints();
        endpoints.retain(|endpoint| endpoint.name != name);
        endpoints.push(Endpoint { name, address, is_ready: false });
    }

    /// Forgets somebody who has ended.
    pub(super) fn remove(&self, name: &'static str) {
        self.shared.endpoints().retain(|endpoint| endpoint.name != name);
    }

    /// Returns how many are ready.
    pub(super) fn ready(&self) -> usize {
        self.shared.endpoints().iter().filter(|endpoint| endpoint.is_ready).count()
    }
}

impl Shared {
    fn endpoints(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(self: Arc<Self>, client: reqwest::Client) {
        let mut tick = interval(PROBE_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let probed = self.endpoints().clone();
            let answers = join_all(probed.iter().map(async |endpoint| {
                let answer = client.get(format!("http://{}/health/ready", endpoint.address)).send().await;
                answer.is_ok_and(|answer| answer.status() == 200)
            }));
            let answers = answers.await;
            let mut endpoints = self.endpoints();
            for (probed, is_ready) in probed.iter().zip(answers) {
                // It may be somewhere else by now.
                if let Some(endpoint) = endpoints.iter_mut().find(|endpoint| endpoint.address == probed.address) {
                    endpoint.is_ready = is_ready;
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).carry(client));
        }
    }

    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let Some(address) = self.next() else { return };
        let Ok(mut server) = TcpStream::connect(address).await else { return };
        let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }

    /// Returns whose turn it is.
    fn next(&self) -> Option<String> {
        let endpoints = self.endpoints();
        let ready: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.is_ready).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn.checked_rem(ready.len())?).map(|endpoint| endpoint.address.clone())
    }
}
