//! A broker, somebody who serves, and instances that share all processors: as many of them as a run wants at a time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rustix::process::Signal;
use tokio::sync::watch;

use crate::cluster::{Settings, broker_addresses};
use crate::error::Error;
use crate::owners::Owners;
use crate::process::Process;
use crate::{Scene, reader};

/// Names of the instances.
pub(crate) const NAMES: [&str; 16] = ["i-0", "i-1", "i-2", "i-3", "i-4", "i-5", "i-6", "i-7", "i-8", "i-9", "i-10", "i-11", "i-12", "i-13", "i-14", "i-15"];

/// The running processes.
pub(crate) struct Fleet {
    pub(crate) broker: Process,
    pub(crate) api: Process,
    /// Those that run now or did once, by number.
    pub(crate) instances: Vec<Instance>,
    pub(crate) sc: String,
    /// Address of the broker's data plane.
    pub(crate) spu: String,
    settings: Settings,
    standbys: usize,
    api_address: watch::Sender<String>,
}

/// One of those that share the processors.
pub(crate) struct Instance {
    pub(crate) process: Process,
    pub(crate) is_up: bool,
}

impl Fleet {
    /// Starts a broker and somebody who serves.
    pub(crate) async fn start(scene: &Scene, provider: &str, standbys: usize) -> Result<Self, Error> {
        Self::start_on(Ipv4Addr::LOCALHOST, scene, provider, standbys).await
    }

    /// Starts them with the broker at another address of this machine.
    pub(crate) async fn start_on(host: Ipv4Addr, scene: &Scene, provider: &str, standbys: usize) -> Result<Self, Error> {
        let (sc, spu) = broker_addresses(host)?;
        let settings = Settings::new(scene, provider)?;
        let mut broker = settings.process("broker", &["--roles=broker"], vec![format!("--sc-addr={sc}"), format!("--spu-addr={spu}")])?;
        broker.start().await?;
        let mut api = settings.process("api", &["--roles=views,api"], vec![format!("--fluvio={sc}")])?;
        api.start().await?;
        let api_address = watch::Sender::new(api.address("http")?);
        let mut fleet = Self { broker, api, instances: Vec::new(), sc, spu, settings, standbys, api_address };
        for process in [&mut fleet.broker, &mut fleet.api] {
            if let Some(missing) = process.ready().await? {
                return Err(Error::new(missing));
            }
        }
        Ok(fleet)
    }

    /// Returns where the API is.
    pub(crate) fn api(&self) -> watch::Receiver<String> {
        self.api_address.subscribe()
    }

    /// Starts the next instance, or one that was there before, and does not wait for it; returns its number. `sc`: where it is told that the broker is.
    pub(crate) async fn join(&mut self, sc: &str) -> Result<usize, Error> {
        self.join_within(sc, Vec::new(), None).await
    }

    /// Starts it by another program, which becomes it, and has it listen on an address of its own.
    pub(crate) async fn join_within(&mut self, sc: &str, prefix: Vec<String>, own: Option<Ipv4Addr>) -> Result<usize, Error> {
        let number = self.instances.iter().position(|instance| !instance.is_up).unwrap_or(self.instances.len());
        if number == self.instances.len() {
            let name = *NAMES.get(number).ok_or_else(|| Error::new(format!("there are at most {} instances", NAMES.len())))?;
            let mut place = vec![format!("--fluvio={sc}"), format!("--instance={name}"), format!("--standbys={}", self.standbys)];
            if let Some(own) = own {
                place.extend(["http", "metrics", "lifeline"].map(|what| format!("--{what}-addr={own}:0")));
            }
            let process = self.settings.process(name, &["--roles=processors"], place)?;
            self.instances.push(Instance { process: process.within(prefix), is_up: false });
        }
        let instance = &mut self.instances[number];
        instance.process.start().await?;
        instance.is_up = true;
        Ok(number)
    }

    /// Returns the numbers of those that run.
    pub(crate) fn up(&self) -> Vec<usize> {
        self.instances.iter().enumerate().filter(|(_, instance)| instance.is_up).map(|(number, _)| number).collect()
    }

    /// Waits until all that run are ready; returns what is missing of those that do not become so.
    pub(crate) async fn ready(&mut self) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for instance in self.instances.iter_mut().filter(|instance| instance.is_up) {
            missing.extend(instance.process.ready().await?);
        }
        Ok(missing)
    }

    /// Waits until all who run, and nobody else, share the tasks as evenly as they can.
    pub(crate) async fn shared(&self, partitions: u32) -> Result<(), Error> {
        let (partitions, up) = (partitions as usize, self.up());
        let names: Vec<&str> = up.iter().map(|number| self.instances[*number].process.name).collect();
        let shares = partitions / names.len()..=partitions.div_ceil(names.len());
        let is_even = |owners: &Owners| {
            let of = |name: &str, processor: &str| owners.iter().filter(|(task, owner)| *owner == name && task.starts_with(processor)).count();
            let processors: BTreeSet<&str> = owners.keys().filter_map(|task| task.split_inclusive('/').next()).collect();
            processors.iter().all(|processor| names.iter().all(|name| shares.contains(&of(name, processor))))
        };
        let is_shared = |owners: &Owners| !owners.is_empty() && is_even(owners) && owners.values().all(|owner| names.contains(&owner.as_str()));
        reader::until(&self.sc, &format!("{names:?} share the tasks"), |assignments| is_shared(&assignments.now())).await
    }

    /// Tells an instance to go and waits until it has gone.
    pub(crate) async fn leave(&mut self, number: usize) -> Result<std::time::Duration, Error> {
        self.instances[number].is_up = false;
        self.instances[number].process.terminate().await
    }

    /// Kills an instance.
    pub(crate) async fn kill(&mut self, number: usize) -> Result<(), Error> {
        self.instances[number].is_up = false;
        self.instances[number].process.kill().await
    }

    /// Sends an instance a signal.
    pub(crate) fn signal(&self, number: usize, signal: Signal) -> Result<(), Error> {
        self.instances[number].process.signal(signal)
    }

    /// Returns all processes.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        [&self.broker, &self.api].into_iter().chain(self.instances.iter().map(|instance| &instance.process))
    }
}
