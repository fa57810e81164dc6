//! A broker as a process of its own, and the processes that share it.

use crate::support::Instance;

/// Partitions of every topic: more than one, so that what crosses partitions does.
pub(crate) const PARTITIONS: u32 = 2;

/// The process that has the broker.
pub(crate) struct Cluster {
    system: &'static str,
    broker: Instance,
}

impl Cluster {
    /// Starts a broker that holds the topics of one system.
    pub(crate) async fn start(system: &'static str) -> Self {
        Self { system, broker: Instance::start(&arguments(system, &["--roles=broker"])).await }
    }

    /// Starts a process with these flags on the broker and waits until it is ready, and the broker to serve it.
    pub(crate) async fn process(&self, flags: &[&str]) -> Instance {
        let fluvio = format!("--fluvio={}", self.broker.address("sc"));
        let process = Instance::start(&[&[fluvio.as_str()], arguments(self.system, flags).as_slice()].concat()).await;
        self.broker.ready().await;
        process
    }

    /// Returns the process that has the broker.
    pub(crate) fn broker(&self) -> &Instance {
        &self.broker
    }
}

fn arguments<'a>(system: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    // They are given apart: `--systems a`.
    [&["--systems", system, "--partitions=2"], flags].concat()
}
