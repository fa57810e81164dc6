//! Why a broker cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{log, telemetry::Plane};

/// Why [`crate::Broker::start`] failed. Every variant names the address, directory or file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program listens on the address.
    #[error("{plane} plane address {address} is in use")]
    AddressInUse {
        /// The endpoint.
        plane: Plane,
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {plane} plane address {address}")]
    Listen {
        /// The endpoint.
        plane: Plane,
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The advertised address cannot be told to clients.
    #[error("advertised address {address:?} is not of the form host or host:port")]
    AdvertisedAddress {
        /// The address given.
        address: String,
    },
    /// Another broker has the data directory open.
    #[error("data directory {} is in use by another broker", path.display())]
    DataDirLocked {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory was written by another version, or by another program.
    #[error("data directory {} holds data of format {found:?}, this version reads {expected:?}", path.display())]
    DataDirFormat {
        /// The directory.
        path: PathBuf,
        /// What its marker file says.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// A file or directory cannot be created, read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `create`, `read`, `write`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A metadata file is damaged.
    #[error("metadata file {} is damaged", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The broker was stopped meanwhile.
    #[error("the broker is stopping")]
    Stopping,
    /// A partition's log cannot be opened.
    #[error("cannot open log of partition {partition} of topic {topic:?}")]
    Log {
        /// Name of the topic.
        topic: String,
        /// Index of the partition.
        partition: u32,
        /// What is wrong with it.
        #[source]
        source: log::Error,
    },
}

impl Error {
    /// A constructor for `map_err`: what was tried on which file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
