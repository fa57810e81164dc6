//! A network namespace with one cable to this machine, which can be pulled. It needs root and `ip`; what is made is taken away when this is dropped.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::error::{Doing as _, Error};

/// A namespace.
pub(crate) struct Namespace {
    name: String,
    /// This machine's end of the cable.
    outer: String,
    pub(crate) host: Ipv4Addr,
    pub(crate) guest: Ipv4Addr,
}

impl Namespace {
    /// Makes a namespace and plugs it in.
    pub(crate) fn create() -> Result<Self, Error> {
        let number = std::process::id();
        let net = (number % 250) as u8;
        let (name, outer, inner) = (format!("of-{number}"), format!("ofo{number}"), format!("ofi{number}"));
        let namespace = Self { name, outer, host: Ipv4Addr::new(10, 213, net, 1), guest: Ipv4Addr::new(10, 213, net, 2) };
        let Self { name, outer, host, guest } = &namespace;
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {outer} type veth peer name {inner}"))?;
        ip(&format!("link set {inner} netns {name}"))?;
        ip(&format!("addr add {host}/30 dev {outer}"))?;
        ip(&format!("link set {outer} up"))?;
        ip(&format!("-n {name} addr add {guest}/30 dev {inner}"))?;
        ip(&format!("-n {name} link set {inner} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(namespace)
    }

    /// Pulls the cable, or plugs it in again.
    pub(crate) fn plug(&self, is_plugged: bool) -> Result<(), Error> {
        ip(&format!("link set {} {}", self.outer, if is_plugged { "up" } else { "down" }))
    }

    /// Returns what comes before a command that is to run in it.
    pub(crate) fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.name));
        let _ = ip(&format!("link del {}", self.outer));
    }
}

fn ip(arguments: &str) -> Result<(), Error> {
    let output = Command::new("ip").args(arguments.split(' ')).stdin(Stdio::null()).output().doing(|| "`ip` cannot be started".to_owned())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::new(format!("`ip {arguments}` failed, it needs root: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}
