//! Settings of the payment provider: who it is, and how hard it may be called.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::Settings;
use crate::limits::{
    PROVIDER_CALL_TIMEOUT, PROVIDER_CALLS_MAX, PROVIDER_CALLS_MAX_MAX, PROVIDER_RATE_MAX, PROVIDER_RETRY_PERCENT, PROVIDER_SETTLE, PROVIDER_SETTLE_MS_MAX,
    PROVIDER_TIMEOUT_MS_MAX, PROVIDER_TRY_TIMEOUT,
};

/// The environment variable of the bearer token. There is no flag for it: flags are seen by everybody on the machine.
pub(crate) const TOKEN_VARIABLE: &str = "ORDERFLOW_PAYMENT_PROVIDER_TOKEN";

/// How the payment provider is called.
#[derive(Debug, Clone)]
pub(crate) struct PaymentConfig {
    /// `None` is the simulator.
    pub(crate) endpoint: Option<PaymentEndpoint>,
    /// Calls that may run at once.
    pub(crate) calls_max: usize,
    /// Calls a second; `None`: as many as come.
    pub(crate) rate: Option<u32>,
    /// Retries per 100 calls.
    pub(crate) retry_percent: u32,
    /// How long a call is pursued before it is only asked about.
    pub(crate) call_timeout: Duration,
    /// How long one exchange may take.
    pub(crate) try_timeout: Duration,
    /// So long after a request the provider carries it out or never.
    pub(crate) settle: Duration,
}

impl Default for PaymentConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            calls_max: PROVIDER_CALLS_MAX,
            rate: None,
            retry_percent: PROVIDER_RETRY_PERCENT,
            call_timeout: PROVIDER_CALL_TIMEOUT,
            try_timeout: PROVIDER_TRY_TIMEOUT,
            settle: PROVIDER_SETTLE,
        }
    }
}

/// Where a payment provider answers.
#[derive(Debug, Clone)]
pub(crate) struct PaymentEndpoint {
    pub(crate) url: Url,
    pub(crate) token: Option<Secret>,
    /// Certificates in PEM that are trusted instead of the public ones.
    pub(crate) ca_pem: Option<String>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Returns the text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

impl PaymentEndpoint {
    /// Returns the endpoint at `url`. The token is that of `token_file`, else of `token_variable`, which is what [`TOKEN_VARIABLE`] holds.
    ///
    /// # Errors
    /// If the address cannot be one, would send the token in the clear, or a file cannot be read; the text names the flag.
    pub(crate) fn new(url: &str, token_file: Option<&Path>, ca_file: Option<&Path>, token_variable: Option<String>) -> anyhow::Result<Self> {
        let example = "give for example `https://payments.example.com/v1`";
        let parsed: Url = url.parse().with_context(|| format!("--payment-provider-url: this is no address, {example}"))?;
        ensure!(matches!(parsed.scheme(), "http" | "https"), "--payment-provider-url: `{}` is not possible, {example}", parsed.scheme());
        ensure!(
            parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none() && parsed.fragment().is_none(),
            "--payment-provider-url: it may hold no user, query or fragment; the token comes from --payment-provider-token-file or {TOKEN_VARIABLE}"
        );
        let token = match token_file {
            Some(path) => Some(fs::read_to_string(path).with_context(|| format!("--payment-provider-token-file: cannot read `{}`", path.display()))?),
            None => token_variable,
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        ensure!(token.as_deref().is_none_or(|token| HeaderValue::from_str(token).is_ok()), "the payment provider's token holds what no token can hold");
        ensure!(token.is_some() || token_file.is_none(), "--payment-provider-token-file: the file is empty");
        let is_safe = parsed.scheme() == "https" || is_loopback(&parsed);
        ensure!(is_safe || token.is_none(), "--payment-provider-url: the token would be sent in the clear; give an address with https");
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("--payment-provider-ca-file: cannot read `{}`", path.display()));
        Ok(Self { url: parsed, token: token.map(Secret), ca_pem: ca_file.map(read).transpose()? })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Settings {
    /// Returns what holds for the payment provider; `token_variable` is what [`TOKEN_VARIABLE`] holds.
    pub(super) fn payment(&self, token_variable: Option<String>) -> anyhow::Result<PaymentConfig> {
        let default = PaymentConfig::default();
        let ms = |flag, value: Option<u64>, default: Duration, range: RangeInclusive<u64>| {
            value.map_or(Ok(default), |ms| within(flag, ms, range).map(Duration::from_millis))
        };
        let endpoint = match &self.payment_provider_url {
            Some(url) => {
                let (token_file, ca_file) = (self.payment_provider_token_file.as_deref(), self.payment_provider_ca_file.as_deref());
                Some(PaymentEndpoint::new(url, token_file, ca_file, token_variable)?)
            }
            None => None,
        };
        let config = PaymentConfig {
            endpoint,
            calls_max: self.payment_calls_max.map_or(Ok(default.calls_max), |calls| within("--payment-calls-max", calls, 1..=PROVIDER_CALLS_MAX_MAX))?,
            rate: self.payment_rate.map(|rate| within("--payment-rate", rate, 1..=PROVIDER_RATE_MAX)).transpose()?,
            retry_percent: self.payment_retry_percent.map_or(Ok(default.retry_percent), |percent| within("--payment-retry-percent", percent, 0..=100))?,
            call_timeout: ms("--payment-call-timeout-ms", self.payment_call_timeout_ms, default.call_timeout, 1..=PROVIDER_TIMEOUT_MS_MAX)?,
            try_timeout: ms("--payment-try-timeout-ms", self.payment_try_timeout_ms, default.try_timeout, 1..=PROVIDER_TIMEOUT_MS_MAX)?,
            settle: ms("--payment-settle-ms", self.payment_settle_ms, default.settle, 0..=PROVIDER_SETTLE_MS_MAX)?,
        };
        Ok(config)
    }
}

fn within<T: PartialOrd + fmt::Display + Copy>(flag: &str, value: T, range: RangeInclusive<T>) -> anyhow::Result<T> {
    ensure!(range.contains(&value), "{flag}: {value} is not possible, give {} to {}", range.start(), range.end());
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { payment_provider_url: Some(url.to_owned()), ..Settings::default() }
    }

    #[test]
    fn without_an_address_the_provider_is_the_simulator_and_nothing_is_limited_but_its_calls() {
        let config = Settings::default().payment(None).expect("the defaults are possible");
        assert!(config.endpoint.is_none() && config.rate.is_none());
        assert_eq!(config.calls_max, PROVIDER_CALLS_MAX);
    }

    #[test]
    fn an_address_that_cannot_be_one_names_the_flag_and_not_the_address() {
        for url in ["payments", "ftp://127.0.0.1/s3cret", "https://user:s3cret@example.com/", "https://example.com/?token=s3cret"] {
            let error = format!("{:#}", settings(url).payment(None).expect_err(url));
            assert!(error.contains("--payment-provider-url") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_token_comes_from_a_file_or_the_environment_is_not_printed_and_never_sent_in_the_clear() {
        let token = Some("s3cret\n".to_owned());
        for url in ["https://example.com", "http://127.0.0.1:1/v1", "http://[::1]:1", "http://localhost:1"] {
            let config = settings(url).payment(token.clone()).expect(url);
            assert_eq!(config.endpoint.as_ref().and_then(|endpoint| endpoint.token.as_ref()).map(Secret::expose), Some("s3cret"));
            assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
        }
        let error = settings("http://example.com").payment(token).expect_err("it would be seen");
        assert!(error.to_string().contains("in the clear"), "{error}");
        settings("http://example.com").payment(None).expect("there is nothing to see");

        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("token");
        fs::write(&path, "of the file\n").expect("it can be written");
        let settings = |path| Settings { payment_provider_token_file: Some(path), ..settings("https://example.com") };
        let config = settings(path.clone()).payment(Some("of the environment".to_owned())).expect("it is possible");
        assert_eq!(config.endpoint.and_then(|endpoint| endpoint.token), Some(Secret("of the file".to_owned())));
        fs::write(&path, "\n").expect("it can be written");
        for path in [path.clone(), path.with_extension("none")] {
            let error = settings(path).payment(None).expect_err("there is no token");
            assert!(error.to_string().contains("--payment-provider-token-file"), "{error}");
        }
    }

    #[test]
    fn an_impossible_limit_names_its_flag() {
        for (settings, flag) in [
            (Settings { payment_calls_max: Some(0), ..Settings::default() }, "--payment-calls-max"),
            (Settings { payment_rate: Some(0), ..Settings::default() }, "--payment-rate"),
            (Settings { payment_retry_percent: Some(101), ..Settings::default() }, "--payment-retry-percent"),
            (Settings { payment_call_timeout_ms: Some(0), ..Settings::default() }, "--payment-call-timeout-ms"),
            (Settings { payment_try_timeout_ms: Some(0), ..Settings::default() }, "--payment-try-timeout-ms"),
            (Settings { payment_settle_ms: Some(u64::MAX), ..Settings::default() }, "--payment-settle-ms"),
        ] {
            let error = settings.payment(None).expect_err(flag);
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
