//! What can be set, and by whom: a flag wins over an environment variable, that over the file, that over the default.
//!
//! [`Settings`] is what somebody has set; [`Config`] is what holds in the end.

mod endpoint;
mod payment;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use business::partner::simulator::Profile;
use clap::{Args, ValueEnum};
use fluvio_streams::envelope::is_identifier;
use fluvio_streams::limits::ID_BYTES_MAX;
use reqwest::Url;
use serde::Deserialize;

pub(crate) use self::endpoint::{check_endpoint, mongodb_hosts};
pub(crate) use self::payment::{PaymentConfig, PaymentEndpoint, TOKEN_VARIABLE};
use crate::limits::{
    DRAIN_MS_MAX, PARTITIONS_MAX, SESSION_TIMEOUT, SESSION_TIMEOUT_MS_MAX, SESSION_TIMEOUT_MS_MIN, STANDBYS_MAX, WEBHOOK_TIMEOUT, WEBHOOK_TIMEOUT_MS_MAX,
    WEBHOOK_TRIES_MAX,
};
use crate::roles::{Role, Roles, Selection};

/// Settings of an instance. The same names as flags, as `ORDERFLOW_*` in the environment, and as keys of the file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// What this process does [default: everything; with --fluvio everything but the broker]
    #[arg(long, env = "ORDERFLOW_ROLES", value_enum, value_name = "ROLES", value_delimiter = ',')]
    pub(crate) roles: Option<Vec<Role>>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) selection: Selection,
    /// Settings of the businesses, by their names; only in the file.
    #[arg(skip)]
    pub(crate) business: BTreeMap<String, business::Config>,
    /// Name of this instance among those that share the tasks: the same after a restart [default: made up once and kept in the data directory]
    #[arg(long, env = "ORDERFLOW_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// How many instances follow each task besides the one that runs it, to take it over at once [default: 0]
    #[arg(long, env = "ORDERFLOW_STANDBYS", value_name = "N")]
    pub(crate) standbys: Option<usize>,
    /// An instance that is silent for so long is taken for dead and its tasks are taken over, in ms [default: 1200]
    #[arg(long, env = "ORDERFLOW_SESSION_TIMEOUT_MS", value_name = "MS")]
    pub(crate) session_timeout_ms: Option<u64>,
    /// Address at which the other instances hold on to this one, to learn at once when its process has ended; on several machines one that they can reach [default: 127.0.0.1:0]
    #[arg(long, env = "ORDERFLOW_LIFELINE_ADDR", value_name = "HOST:PORT")]
    pub(crate) lifeline_addr: Option<SocketAddr>,
    /// After SIGTERM or Ctrl-C, go on serving requests for so long while /health/ready says no, in ms; a second signal cuts it short [default: 0]
    #[arg(long, env = "ORDERFLOW_DRAIN_MS", value_name = "MS")]
    pub(crate) drain_ms: Option<u64>,
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
    /// Where clients are told that the embedded broker's data plane is, if that is not where it listens: behind a service, in a container [default: --spu-addr]
    #[arg(long, env = "ORDERFLOW_ADVERTISED_SPU_ADDR", value_name = "HOST[:PORT]")]
    pub(crate) advertised_spu_addr: Option<String>,
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
    /// File that holds that URI, instead of a flag that others can see
    #[arg(long, env = "ORDERFLOW_MONGODB_FILE", value_name = "FILE")]
    pub(crate) mongodb_file: Option<PathBuf>,
    /// How fast the simulated payment provider answers [default: default]
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROFILE", value_enum, value_name = "PROFILE")]
    pub(crate) payment_profile: Option<SimulatedProfile>,
    /// How fast the simulated delivery desk of the mask shop answers [default: default]
    #[arg(long, env = "ORDERFLOW_DELIVERY_PROFILE", value_enum, value_name = "PROFILE")]
    pub(crate) delivery_profile: Option<SimulatedProfile>,
    /// Call the payment provider at this address (`docs/payment-provider.md`); its bearer token comes from ORDERFLOW_PAYMENT_PROVIDER_TOKEN [default: a simulated one]
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_URL", value_name = "URL")]
    pub(crate) payment_provider_url: Option<String>,
    /// File that holds the payment provider's bearer token, instead of the environment
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) payment_provider_token_file: Option<PathBuf>,
    /// Trust these certificates (PEM) of the payment provider instead of the public authorities
    #[arg(long, env = "ORDERFLOW_PAYMENT_PROVIDER_CA_FILE", value_name = "FILE")]
    pub(crate) payment_provider_ca_file: Option<PathBuf>,
    /// Calls to the payment provider that may run at once [default: 1024]
    #[arg(long, env = "ORDERFLOW_PAYMENT_CALLS_MAX", value_name = "N")]
    pub(crate) payment_calls_max: Option<usize>,
    /// Calls to the payment provider per second, evenly spread [default: as many as come]
    #[arg(long, env = "ORDERFLOW_PAYMENT_RATE", value_name = "N")]
    pub(crate) payment_rate: Option<u32>,
    /// Retries per 100 calls to the payment provider, beside 20 a second [default: 10]
    #[arg(long, env = "ORDERFLOW_PAYMENT_RETRY_PERCENT", value_name = "N")]
    pub(crate) payment_retry_percent: Option<u32>,
    /// How long a call to the payment provider is tried before it is only asked about, in ms [default: 60000]
    #[arg(long, env = "ORDERFLOW_PAYMENT_CALL_TIMEOUT_MS", value_name = "MS")]
    pub(crate) payment_call_timeout_ms: Option<u64>,
    /// How long one request to the payment provider may take, in ms [default: 10000]
    #[arg(long, env = "ORDERFLOW_PAYMENT_TRY_TIMEOUT_MS", value_name = "MS")]
    pub(crate) payment_try_timeout_ms: Option<u64>,
    /// So long after a request the payment provider carries it out or never, in ms [default: 120000]
    #[arg(long, env = "ORDERFLOW_PAYMENT_SETTLE_MS", value_name = "MS")]
    pub(crate) payment_settle_ms: Option<u64>,
    /// Deliver each notification of a customer to this address (http or https) [default: none is delivered]
    #[arg(long, env = "ORDERFLOW_WEBHOOK_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) webhook_url: Option<String>,
    /// Trust the certificates in this PEM file instead of the public ones when notifications are delivered
    #[arg(long, env = "ORDERFLOW_WEBHOOK_CA_FILE", value_name = "FILE")]
    pub(crate) webhook_ca_file: Option<PathBuf>,
    /// How often the delivery of a notification is tried before it is given up [default: 14, over about half an hour]
    #[arg(long, env = "ORDERFLOW_WEBHOOK_TRIES", value_name = "N")]
    pub(crate) webhook_tries: Option<u32>,
    /// How long the webhook may take to answer, in ms [default: 10000]
    #[arg(long, env = "ORDERFLOW_WEBHOOK_TIMEOUT_MS", value_name = "MS")]
    pub(crate) webhook_timeout_ms: Option<u64>,
    /// Partitions of each topic that is created [default: 4]
    #[arg(long, env = "ORDERFLOW_PARTITIONS", value_name = "N")]
    pub(crate) partitions: Option<u32>,
    /// When the embedded broker acknowledges a record [default: fsync]
    #[arg(long, env = "ORDERFLOW_DURABILITY", value_enum, value_name = "WHEN")]
    pub(crate) durability: Option<Durability>,
    /// Send traces to this collector, as OTLP over HTTP below `/v1/traces`, for example `http://127.0.0.1:4318` [default: none are sent]
    #[arg(long, env = "ORDERFLOW_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// Log filter, for example `info` or `orderflow=debug,warn` [default: warn]
    #[arg(long, env = "RUST_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// How fast a simulated partner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SimulatedProfile {
    /// At once.
    Instant,
    /// After 20 to 40 ms.
    Default,
    /// After 400 to 620 ms, as in the original system.
    Seed,
}

impl From<SimulatedProfile> for Profile {
    fn from(profile: SimulatedProfile) -> Self {
        match profile {
            SimulatedProfile::Instant => Self::Instant,
            SimulatedProfile::Default => Self::Default,
            SimulatedProfile::Seed => Self::Seed,
        }
    }
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

/// Where notifications are delivered.
#[derive(Clone)]
pub(crate) struct WebhookConfig {
    /// It may hold a secret, so it is not printed.
    pub(crate) url: Url,
    /// Certificates in PEM that are trusted instead of the public ones.
    pub(crate) ca_pem: Option<String>,
    /// `None`: as often as notifications are by themselves.
    pub(crate) tries_max: Option<u32>,
    pub(crate) timeout: Duration,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WebhookConfig").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// What holds for an instance.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) roles: Roles,
    pub(crate) selection: Selection,
    /// By the name of the business; those that are not here have the defaults.
    pub(crate) business: BTreeMap<String, business::Config>,
    pub(crate) storage: Storage,
    pub(crate) sc_addr: SocketAddr,
    pub(crate) spu_addr: SocketAddr,
    /// `None`: clients are told the address on which it listens.
    pub(crate) advertised_spu_addr: Option<String>,
    pub(crate) http_addr: SocketAddr,
    pub(crate) metrics_addr: SocketAddr,
    /// A cluster's SC; `None` is the embedded broker.
    pub(crate) fluvio: Option<String>,
    /// `None` is the embedded store.
    pub(crate) mongodb: Option<String>,
    pub(crate) payment_profile: SimulatedProfile,
    pub(crate) delivery_profile: SimulatedProfile,
    pub(crate) payment: PaymentConfig,
    /// `None`: notifications are only told in the views and topics.
    pub(crate) webhook: Option<WebhookConfig>,
    pub(crate) partitions: u32,
    pub(crate) durability: Durability,
    /// A collector of traces.
    pub(crate) otlp_endpoint: Option<Url>,
    pub(crate) group: GroupConfig,
    /// How long it serves on after it was told to stop.
    pub(crate) drain: Duration,
}

/// How this instance shares the tasks with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupConfig {
    /// `None`: the data directory knows.
    pub(crate) instance: Option<String>,
    pub(crate) standbys: usize,
    pub(crate) session: Duration,
    /// Where the others hold on to this one.
    pub(crate) lifeline_addr: SocketAddr,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self { instance: None, standbys: 0, session: SESSION_TIMEOUT, lifeline_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
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
        let has_mongodb_file = self.mongodb_file.is_some();
        Self {
            roles: self.roles.or(other.roles),
            selection: self.selection.or(other.selection),
            business: if self.business.is_empty() { other.business } else { self.business },
            instance: self.instance.or(other.instance),
            standbys: self.standbys.or(other.standbys),
            session_timeout_ms: self.session_timeout_ms.or(other.session_timeout_ms),
            lifeline_addr: self.lifeline_addr.or(other.lifeline_addr),
            drain_ms: self.drain_ms.or(other.drain_ms),
            data_dir: self.data_dir.or(other.data_dir),
            ephemeral: self.ephemeral.or(other.ephemeral),
            sc_addr: self.sc_addr.or(other.sc_addr),
            spu_addr: self.spu_addr.or(other.spu_addr),
            advertised_spu_addr: self.advertised_spu_addr.or(other.advertised_spu_addr),
            http_addr: self.http_addr.or(other.http_addr),
            metrics_addr: self.metrics_addr.or(other.metrics_addr),
            fluvio: self.fluvio.or(other.fluvio),
            // One of the two: who says it nearer says both.
            mongodb_file: if self.mongodb.is_some() { self.mongodb_file } else { self.mongodb_file.or(other.mongodb_file) },
            mongodb: if has_mongodb_file { self.mongodb } else { self.mongodb.or(other.mongodb) },
            payment_profile: self.payment_profile.or(other.payment_profile),
            delivery_profile: self.delivery_profile.or(other.delivery_profile),
            payment_provider_url: self.payment_provider_url.or(other.payment_provider_url),
            payment_provider_token_file: self.payment_provider_token_file.or(other.payment_provider_token_file),
            payment_provider_ca_file: self.payment_provider_ca_file.or(other.payment_provider_ca_file),
            payment_calls_max: self.payment_calls_max.or(other.payment_calls_max),
            payment_rate: self.payment_rate.or(other.payment_rate),
            payment_retry_percent: self.payment_retry_percent.or(other.payment_retry_percent),
            payment_call_timeout_ms: self.payment_call_timeout_ms.or(other.payment_call_timeout_ms),
            payment_try_timeout_ms: self.payment_try_timeout_ms.or(other.payment_try_timeout_ms),
            payment_settle_ms: self.payment_settle_ms.or(other.payment_settle_ms),
            webhook_url: self.webhook_url.or(other.webhook_url),
            webhook_ca_file: self.webhook_ca_file.or(other.webhook_ca_file),
            webhook_tries: self.webhook_tries.or(other.webhook_tries),
            webhook_timeout_ms: self.webhook_timeout_ms.or(other.webhook_timeout_ms),
            partitions: self.partitions.or(other.partitions),
            durability: self.durability.or(other.durability),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            log: self.log.or(other.log),
        }
    }

    /// Returns what holds.
    ///
    /// # Errors
    /// If a value is out of its range; the text names the flag.
    pub(crate) fn resolve(self) -> anyhow::Result<Config> {
        if let Some(endpoint) = &self.fluvio {
            check_endpoint("--fluvio", endpoint)?;
        }
        let partitions = self.partitions.unwrap_or(4);
        anyhow::ensure!((1..=PARTITIONS_MAX).contains(&partitions), "--partitions: {partitions} is not possible, give 1 to {PARTITIONS_MAX}");
        if let Some(endpoint) = &self.advertised_spu_addr {
            // Without a port it is the one on which it listens.
            let has_port = endpoint.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
            check_endpoint("--advertised-spu-addr", &if has_port { endpoint.clone() } else { format!("{endpoint}:1") })?;
        }
        let mongodb = self.mongodb_uri()?;
        let roles = Roles::resolve(self.roles.as_deref(), self.fluvio.is_some(), mongodb.is_some())?;
        self.selection.check(&roles)?;
        let group = self.group()?;
        let drain_ms = self.drain_ms.unwrap_or(0);
        anyhow::ensure!(drain_ms <= DRAIN_MS_MAX, "--drain-ms: {drain_ms} is not possible, give 0 to {DRAIN_MS_MAX}");
        let payment = self.payment(std::env::var(TOKEN_VARIABLE).ok())?;
        let webhook = self.webhook()?;
        let otlp_endpoint = self.otlp()?;
        let on = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let storage = match self.ephemeral {
            Some(true) => Storage::Ephemeral,
            _ => Storage::Directory(self.data_dir.unwrap_or_else(|| PathBuf::from("./orderflow-data"))),
        };
        Ok(Config {
            roles,
            selection: self.selection,
            business: self.business,
            storage,
            sc_addr: self.sc_addr.unwrap_or_else(|| on(9003)),
            spu_addr: self.spu_addr.unwrap_or_else(|| on(9010)),
            advertised_spu_addr: self.advertised_spu_addr,
            http_addr: self.http_addr.unwrap_or_else(|| on(8088)),
            metrics_addr: self.metrics_addr.unwrap_or_else(|| on(9464)),
            fluvio: self.fluvio,
            mongodb,
            payment_profile: self.payment_profile.unwrap_or(SimulatedProfile::Default),
            delivery_profile: self.delivery_profile.unwrap_or(SimulatedProfile::Default),
            payment,
            webhook,
            partitions,
            durability: self.durability.unwrap_or(Durability::Fsync),
            otlp_endpoint,
            group,
            drain: Duration::from_millis(drain_ms),
        })
    }

    /// Returns where MongoDB is. It may hold a password, so no error quotes it.
    fn mongodb_uri(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.mongodb_file else { return Ok(self.mongodb.clone()) };
        anyhow::ensure!(self.mongodb.is_none(), "--mongodb and --mongodb-file: give one of them");
        let uri = std::fs::read_to_string(path).with_context(|| format!("--mongodb-file: cannot read `{}`", path.display()))?;
        let uri = uri.trim();
        anyhow::ensure!(!uri.is_empty(), "--mongodb-file: `{}` is empty; it holds `mongodb://HOST:PORT/DATABASE`", path.display());
        Ok(Some(uri.to_owned()))
    }

    fn group(&self) -> anyhow::Result<GroupConfig> {
        let default = GroupConfig::default();
        let standbys = self.standbys.unwrap_or(default.standbys);
        anyhow::ensure!(standbys <= STANDBYS_MAX, "--standbys: {standbys} is not possible, give 0 to {STANDBYS_MAX}");
        let session_ms = self.session_timeout_ms.unwrap_or(SESSION_TIMEOUT.as_millis() as u64);
        let is_possible = (SESSION_TIMEOUT_MS_MIN..=SESSION_TIMEOUT_MS_MAX).contains(&session_ms);
        anyhow::ensure!(is_possible, "--session-timeout-ms: {session_ms} is not possible, give {SESSION_TIMEOUT_MS_MIN} to {SESSION_TIMEOUT_MS_MAX}");
        if let Some(name) = &self.instance {
            anyhow::ensure!(is_identifier(name), "--instance: a name has 1 to {ID_BYTES_MAX} bytes and no control characters");
        }
        let lifeline_addr = self.lifeline_addr.unwrap_or(default.lifeline_addr);
        Ok(GroupConfig { instance: self.instance.clone(), standbys, session: Duration::from_millis(session_ms), lifeline_addr })
    }

    fn otlp(&self) -> anyhow::Result<Option<Url>> {
        let Some(url) = &self.otlp_endpoint else { return Ok(None) };
        // It may hold a secret, so it is not told.
        let url: Url = url.parse().context("--otlp-endpoint: this is no address, give for example `http://127.0.0.1:4318`")?;
        anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "--otlp-endpoint: `{}` is not possible, give an address with http or https", url.scheme());
        Ok(Some(url))
    }

    fn webhook(&self) -> anyhow::Result<Option<WebhookConfig>> {
        let tries_max = self.webhook_tries;
        if let Some(impossible) = tries_max.filter(|tries| !(1..=WEBHOOK_TRIES_MAX).contains(tries)) {
            anyhow::bail!("--webhook-tries: {impossible} is not possible, give 1 to {WEBHOOK_TRIES_MAX}");
        }
        let timeout_ms = self.webhook_timeout_ms.unwrap_or(WEBHOOK_TIMEOUT.as_millis() as u64);
        let is_possible = (1..=WEBHOOK_TIMEOUT_MS_MAX).contains(&timeout_ms);
        anyhow::ensure!(is_possible, "--webhook-timeout-ms: {timeout_ms} is not possible, give 1 to {WEBHOOK_TIMEOUT_MS_MAX}");
        let Some(url) = &self.webhook_url else { return Ok(None) };
        // What is wrong with it is told without it: it may hold a secret.
        let url: Url = url.parse().context("--webhook-url: this is no address, give for example `https://example.com/notifications`")?;
        anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "--webhook-url: `{}` is not possible, give an address with http or https", url.scheme());
        let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("--webhook-ca-file: cannot read `{}`", path.display()));
        let ca_pem = self.webhook_ca_file.as_ref().map(read).transpose()?;
        Ok(Some(WebhookConfig { url, ca_pem, tries_max, timeout: Duration::from_millis(timeout_ms) }))
    }
}

impl Config {
    /// Returns the settings of an instance that lives only for a while and disturbs nobody: ephemeral, on free ports.
    pub(crate) fn ephemeral() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            roles: Roles::default(),
            selection: Selection::default(),
            business: BTreeMap::new(),
            storage: Storage::Ephemeral,
            sc_addr: any,
            spu_addr: any,
            advertised_spu_addr: None,
            http_addr: any,
            metrics_addr: any,
            fluvio: None,
            mongodb: None,
            payment_profile: SimulatedProfile::Default,
            delivery_profile: SimulatedProfile::Default,
            payment: PaymentConfig::default(),
            webhook: None,
            partitions: 4,
            durability: Durability::Fsync,
            otlp_endpoint: None,
            group: GroupConfig::default(),
            drain: Duration::ZERO,
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
        let flags = Settings { delivery_profile: Some(SimulatedProfile::Instant), ..flags };
        let file = file("partitions = 8\npayment-profile = \"seed\"\ndelivery-profile = \"seed\"\nhttp-addr = \"127.0.0.1:1\"");
        let config = flags.or(file).resolve().expect("it is possible");
        assert_eq!(config.partitions, 2);
        assert_eq!((config.payment_profile, config.delivery_profile), (SimulatedProfile::Seed, SimulatedProfile::Instant));
        let default = Settings::default().resolve().expect("the defaults are possible");
        assert_eq!((default.payment_profile, default.delivery_profile), (SimulatedProfile::Default, SimulatedProfile::Default));
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
    fn lists_and_the_settings_of_a_business_are_read_from_the_file() {
        let settings = file("roles = [\"views\", \"api\"]\nonly = [\"store\"]\n[business.food-delivery]\ndeadlineMs = 700\nbreaker = { windowSize = 10 }\n");
        assert_eq!(settings.roles, Some(vec![Role::Views, Role::Api]));
        assert_eq!(settings.selection.only, Some(vec!["store".to_owned()]));
        let food_delivery = &settings.business["food-delivery"];
        assert_eq!((food_delivery.deadline_ms, food_delivery.breaker.window_size), (700, 10));
        assert_eq!(food_delivery.give_up_ms, business::Config::default().give_up_ms, "what is not set keeps its default");
        toml::from_str::<Settings>("[business.food-delivery]\ndeadline = 1\n").expect_err("there is no such setting");
    }

    #[test]
    fn the_settings_of_a_business_are_documented_with_their_defaults() {
        let manual = include_str!("../../docs/operating.md");
        let example = manual.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("there is an example");
        assert_eq!(file(example).business["food-delivery"], business::Config::default());
    }

    #[test]
    fn an_impossible_number_of_partitions_names_the_flag() {
        for partitions in [0, PARTITIONS_MAX + 1] {
            let error = Settings { partitions: Some(partitions), ..Settings::default() }.resolve().expect_err("it is not possible");
            assert!(error.to_string().contains("--partitions"), "{error}");
        }
    }

    #[test]
    fn the_uri_of_mongodb_is_read_from_a_file_and_never_quoted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("uri");
        let settings = || Settings { mongodb_file: Some(path.clone()), ..Settings::default() };
        for (content, says) in [(None, "cannot read"), (Some(" \n"), "is empty")] {
            content.into_iter().for_each(|content| std::fs::write(&path, content).expect("the file is written"));
            let error = settings().resolve().expect_err(says).to_string();
            assert!(error.contains("--mongodb-file") && error.contains(says), "{error}");
        }
        std::fs::write(&path, "mongodb://orderflow:s3cret@mongodb:27017/orderflow\n").expect("the file is written");
        let config = settings().resolve().expect("it is possible");
        assert_eq!(config.mongodb.as_deref(), Some("mongodb://orderflow:s3cret@mongodb:27017/orderflow"));
        let both = Settings { mongodb: Some("mongodb://s3cret".to_owned()), ..settings() };
        let error = both.resolve().expect_err("there are two").to_string();
        assert!(error.contains("--mongodb-file") && !error.contains("s3cret"), "{error}");
        let nearer = Settings { mongodb: Some("mongodb://near".to_owned()), ..Settings::default() }.or(settings());
        assert_eq!(nearer.resolve().expect("the nearer one wins").mongodb.as_deref(), Some("mongodb://near"));
    }

    #[test]
    fn a_webhook_is_an_address_and_its_secret_is_not_printed() {
        let webhook = |url: &str| Settings { webhook_url: Some(url.to_owned()), ..Settings::default() }.resolve();
        for impossible in ["notifications", "ftp://127.0.0.1/s3cret", "http://"] {
            let error = format!("{:#}", webhook(impossible).expect_err(impossible));
            assert!(error.contains("--webhook-url") && !error.contains("s3cret"), "{error}");
        }
        let config = webhook("https://user:s3cret@example.com/s3cret").expect("it is possible");
        assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
        assert!(Settings::default().resolve().expect("the defaults are possible").webhook.is_none());
        for (settings, flag) in [
            (Settings { webhook_tries: Some(0), ..Settings::default() }, "--webhook-tries"),
            (
                Settings { webhook_url: Some("https://example.com".to_owned()), webhook_ca_file: Some("no/such/file".into()), ..Settings::default() },
                "--webhook-ca-file",
            ),
            (Settings { webhook_timeout_ms: Some(0), ..Settings::default() }, "--webhook-timeout-ms"),
        ] {
            let error = settings.resolve().expect_err(flag);
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
