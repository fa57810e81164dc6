//! What can be set, and by whom: a flag wins over an environment variable, that over the file, that over the default.
//!
//! [`Settings`] is what somebody has set; [`Config`] is what holds in the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::limits::PARTITIONS_MAX;

/// Settings of an instance. The same names as flags, as `ORDERFLOW_*` in the environment, and as keys of the file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Directory for topics, states and views [default: ./orderflow-data]
    #[arg(long, env = "ORDERFLOW_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep everything in a temporary directory that is removed at the end; --data-dir is then not used [default: false]
    #[arg(long, env = "ORDERFLOW_EPHEMERAL", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) ephemeral: Option<bool>,
    /// Address of the embedded broker's control plane, the one that clients connect to; port 0 takes a free one [default: 127.0.0.1:9003]
    #[arg(long, env = "ORDERFLOW_SC_ADDR", value_name = "HOST:PORT")]
    pub(crate) sc_addr: Option<SocketAddr>,
    /// Address of the embedded broker's data plane [default: 127.0.0.1:9010]
    #[arg(long, env = "ORDERFLOW_SPU_ADDR", value_name = "HOST:PORT")]
    pub(crate) spu_addr: Option<SocketAddr>,
    /// Address of the HTTP API [default: 127.0.0.1:8088]
    #[arg(long, env = "ORDERFLOW_HTTP_ADDR", value_name = "HOST:PORT")]
    pub(crate) http_addr: Option<SocketAddr>,
    /// Address of the Prometheus endpoint [default: 127.0.0.1:9464]
    #[arg(long, env = "ORDERFLOW_METRICS_ADDR", value_name = "HOST:PORT")]
    pub(crate) metrics_addr: Option<SocketAddr>,
    /// Use this Fluvio cluster (its SC) instead of the embedded broker
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT")]
    pub(crate) fluvio: Option<String>,
    /// Keep views in this MongoDB instead of the embedded store
    #[arg(long, env = "ORDERFLOW_MONGODB", value_name = "URI", hide_env_values = true)]
    pub(crate) mongodb: Option<String>,
    /// How fast the simulated payment provider answers [default: default]
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROFILE", value_enum, value_name = "PROFILE")]
    pub(crate) payment_profile: Option<PaymentProfile>,
    /// Partitions of each topic that is created [default: 4]
    #[arg(long, env = "ORDERFLOW_PARTITIONS", value_name = "N")]
    pub(crate) partitions: Option<u32>,
    /// When the embedded broker acknowledges a record [default: fsync]
    #[arg(long, env = "ORDERFLOW_DURABILITY", value_enum, value_name = "WHEN")]
    pub(crate) durability: Option<Durability>,
    /// Log filter, for example `info` or `orderflow=debug,warn` [default: warn]
    #[arg(long, env = "RUST_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// How fast the simulated payment provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PaymentProfile {
    /// At once.
    Instant,
    /// After 20 to 40 ms.
    Default,
    /// After 400 to 620 ms, as in the original system.
    Seed,
}

/// When the embedded broker acknowledges a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// Once it is on the disk.
    Fsync,
    /// Once the operating system has it: it survives the process, not the machine.
    Os,
}

/// Where an instance keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In this directory.
    Directory(PathBuf),
    /// In a temporary directory.
    Ephemeral,
}

/// What holds for an instance.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) storage: Storage,
    pub(crate) sc_addr: SocketAddr,
    pub(crate) spu_addr: SocketAddr,
    pub(crate) http_addr: SocketAddr,
    pub(crate) metrics_addr: SocketAddr,
    /// A cluster's SC; `None` is the embedded broker.
    pub(crate) fluvio: Option<String>,
    /// `None` is the embedded store.
    pub(crate) mongodb: Option<String>,
    pub(crate) payment_profile: PaymentProfile,
    pub(crate) partitions: u32,
    pub(crate) durability: Durability,
}

impl Settings {
    /// Returns these settings, filled up from a file.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else than settings.
    pub(crate) fn or_file(self, file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(self) };
        let text = std::fs::read_to_string(path).with_context(|| format!("--config: cannot read `{}`", path.display()))?;
        let file: Self = toml::from_str(&text).with_context(|| format!("--config: `{}` does not hold settings", path.display()))?;
        Ok(self.or(file))
    }

    fn or(self, other: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(other.data_dir),
            ephemeral: self.ephemeral.or(other.ephemeral),
            sc_addr: self.sc_addr.or(other.sc_addr),
            spu_addr: self.spu_addr.or(other.spu_addr),
            http_addr: self.http_addr.or(other.http_addr),
            metrics_addr: self.metrics_addr.or(other.metrics_addr),
            fluvio: self.fluvio.or(other.fluvio),
            mongodb: self.mongodb.or(other.mongodb),
            payment_profile: self.payment_profile.or(other.payment_profile),
            partitions: self.partitions.or(other.partitions),
            durability: self.durability.or(other.durability),
            log: self.log.or(other.log),
        }
    }

    /// Returns what holds.
    ///
    /// # Errors
    /// If a value is out of its range; the text names the flag.
    pub(crate) fn resolve(self) -> anyhow::Result<Config> {
        let partitions = self.partitions.unwrap_or(4);
        anyhow::ensure!((1..=PARTITIONS_MAX).contains(&partitions), "--partitions: {partitions} is not possible, give 1 to {PARTITIONS_MAX}");
        let on = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let storage = match self.ephemeral {
            Some(true) => Storage::Ephemeral,
            _ => Storage::Directory(self.data_dir.unwrap_or_else(|| PathBuf::from("./orderflow-data"))),
        };
        Ok(Config {
            storage,
            sc_addr: self.sc_addr.unwrap_or_else(|| on(9003)),
            spu_addr: self.spu_addr.unwrap_or_else(|| on(9010)),
            http_addr: self.http_addr.unwrap_or_else(|| on(8088)),
            metrics_addr: self.metrics_addr.unwrap_or_else(|| on(9464)),
            fluvio: self.fluvio,
            mongodb: self.mongodb,
            payment_profile: self.payment_profile.unwrap_or(PaymentProfile::Default),
            partitions,
            durability: self.durability.unwrap_or(Durability::Fsync),
        })
    }
}

impl Config {
    /// Returns the settings of an instance that lives only for a while and disturbs nobody: ephemeral, on free ports.
    pub(crate) fn ephemeral() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            storage: Storage::Ephemeral,
            sc_addr: any,
            spu_addr: any,
            http_addr: any,
            metrics_addr: any,
            fluvio: None,
            mongodb: None,
            payment_profile: PaymentProfile::Default,
            partitions: 4,
            durability: Durability::Fsync,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Settings {
        toml::from_str(text).expect("the text holds settings")
    }

    #[test]
    fn what_is_set_nearer_wins() {
        let flags = Settings { partitions: Some(2), ..Settings::default() };
        let config = flags.or(file("partitions = 8\npayment-profile = \"seed\"\nhttp-addr = \"127.0.0.1:1\"")).resolve().expect("it is possible");
        assert_eq!(config.partitions, 2);
        assert_eq!(config.payment_profile, PaymentProfile::Seed);
        assert_eq!(config.http_addr.port(), 1);
        assert_eq!(config.sc_addr.port(), 9003);
        assert_eq!(config.storage, Storage::Directory(PathBuf::from("./orderflow-data")));
    }

    #[test]
    fn a_key_that_is_no_setting_is_refused() {
        let error = toml::from_str::<Settings>("partition = 8").expect_err("there is no such setting");
        assert!(error.to_string().contains("unknown field `partition`"), "{error}");
    }

    #[test]
    fn an_impossible_number_of_partitions_names_the_flag() {
        for partitions in [0, PARTITIONS_MAX + 1] {
            let error = Settings { partitions: Some(partitions), ..Settings::default() }.resolve().expect_err("it is not possible");
            assert!(error.to_string().contains("--partitions"), "{error}");
        }
    }
}
