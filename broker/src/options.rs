//! What a broker is started with.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use crate::{Durability, Limits, Observer, telemetry::Silent};

/// Where the broker keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// This directory; it is created if missing and outlives the broker. One broker at a time may use it.
    Path(PathBuf),
    /// A fresh temporary directory that is removed when the broker stops.
    Ephemeral,
}

/// What [`crate::Broker::start`] needs to know. The default listens on two free loopback ports, keeps its
/// data in a temporary directory and makes every record durable before it acknowledges it.
#[derive(Clone)]
pub struct Options {
    /// Where topics, SmartModules and records are kept.
    pub data_dir: DataDir,
    /// Address of the control plane, the one that clients are configured with. Port 0 takes a free port.
    pub sc_addr: SocketAddr,
    /// Address of the data plane. Port 0 takes a free port.
    pub spu_addr: SocketAddr,
    /// The `host` or `host:port` of the data plane that clients are told to connect to, where it differs from
    /// the address it is bound to (containers, port forwarding).
    pub advertised_spu: Option<String>,
    /// When an append counts as durable.
    pub durability: Durability,
    /// Names of stored SmartModules that are pure: what they make of a record depends on the record and their parameters alone. Streams that ask one the same share its compiled
    /// instance, which saves about 40 ms and 2 MB for each of them. Default: none, every stream has its own.
    pub pure_smartmodules: Vec<String>,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// Receives the broker's events.
    pub observer: Arc<dyn Observer>,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data_dir: DataDir::Ephemeral,
            sc_addr: any_port,
            spu_addr: any_port,
            advertised_spu: None,
            durability: Durability::Fsync,
            pure_smartmodules: Vec::new(),
            limits: Limits::default(),
            observer: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("data_dir", &self.data_dir)
            .field("sc_addr", &self.sc_addr)
            .field("spu_addr", &self.spu_addr)
            .field("advertised_spu", &self.advertised_spu)
            .field("durability", &self.durability)
            .field("pure_smartmodules", &self.pure_smartmodules)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
