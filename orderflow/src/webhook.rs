//! The webhook to which notifications are delivered: one POST for each try, a bounded number at once, each with a time limit of its own.
//!
//! When a delivery is tried again, and when it is given up, `notifications` says; here is what an answer means. Redirects are not followed, a proxy is not used.
//!
//! | what the receiver does | what comes of it |
//! |---|---|
//! | 2xx | delivered, whatever becomes of the body |
//! | 408, 429, 5xx | tried again, not before `Retry-After` if it says so in seconds |
//! | no connection, no TLS, a connection that breaks off, no answer in time, what is no HTTP | tried again |
//! | anything else, redirects too | refused: a dead letter |
//!
//! A receiver that knows the `Idempotency-Key` has the notification already. Notifications may overtake each other; `notifiedAt` tells their order.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use fluvio_streams::envelope::TRACEPARENT;
use fluvio_streams::processor::Call;
use fluvio_streams::runtime::CallHandler;
use notifications::delivery::{Answer, Delivery};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response, StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::WebhookConfig;
use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_CALLS_MAX, WEBHOOK_TIMEOUT};
use crate::telemetry::WebhookMeters;

const NO_CERTIFICATES: &str = "--webhook-ca-file: it does not hold certificates in PEM";

/// Returns how notifications work with this webhook.
pub(crate) fn notifications(webhook: Option<&WebhookConfig>) -> notifications::Config {
    let default = notifications::Config::default();
    notifications::Config { webhook: webhook.is_some(), tries_max: webhook.and_then(|webhook| webhook.tries_max).unwrap_or(default.tries_max), ..default }
}

/// Who delivers notifications.
pub(crate) struct Webhook {
    /// `None`: there is no webhook any more, and what was to be delivered to it never will be.
    url: Option<Url>,
    http: reqwest::Client,
    places: Semaphore,
    meters: Arc<WebhookMeters>,
}

impl Webhook {
    /// Returns who delivers to this address.
    ///
    /// # Errors
    /// If no HTTP client can be made, or its certificates cannot be used; the text names the flag.
    pub(crate) fn new(config: Option<&WebhookConfig>, meters: Arc<WebhookMeters>) -> anyhow::Result<Self> {
        let timeout = config.map_or(WEBHOOK_TIMEOUT, |config| config.timeout);
        let ca_pem = config.and_then(|config| config.ca_pem.as_deref());
        Self::with(config.map(|config| config.url.clone()), ca_pem, timeout, WEBHOOK_CALLS_MAX, meters)
    }

    fn with(url: Option<Url>, ca_pem: Option<&str>, timeout: Duration, places_max: usize, meters: Arc<WebhookMeters>) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder().timeout(timeout).redirect(Policy::none()).no_proxy().tcp_nodelay(true).pool_max_idle_per_host(places_max);
        if let Some(pem) = ca_pem {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).context(NO_CERTIFICATES)?;
            anyhow::ensure!(!certificates.is_empty(), NO_CERTIFICATES);
            builder = certificates.into_iter().fold(builder.tls_built_in_root_certs(false), |builder, certificate| builder.add_root_certificate(certificate));
        }
        let http = builder.user_agent(concat!("orderflow/", env!("CARGO_PKG_VERSION"))).build().context("cannot make an HTTP client for the webhook")?;
        Ok(Self { url, http, places: Semaphore::new(places_max), meters })
    }

    async fn deliver(&self, delivery: &Delivery, traceparent: &str) -> Answer {
        let Some(url) = self.url.clone() else { return Answer::Refused { reason: "there is no webhook any more".to_owned() } };
        let body = serde_json::Value::Object(delivery.body.clone()).to_string();
        // The semaphore is never closed. Waiting for a place takes nothing of the time for the answer.
        let _place = self.places.acquire().await;
        let request = self.http.post(url).header("idempotency-key", &delivery.notification_id).header(TRACEPARENT, traceparent);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        match request.send().await {
            Ok(response) => {
                let answer = meaning(response.status(), response.headers());
                skip(response).await;
                answer
            }
            Err(error) => Answer::Retry { reason: reason(error), retry_after_ms: None },
        }
    }
}

#[async_trait]
impl CallHandler for Webhook {
    async fn call(&self, call: &Call) -> String {
        let began = Instant::now();
        let answer = match serde_json::from_str::<Delivery>(&call.request) {
            Ok(delivery) => self.deliver(&delivery, &call.span().to_string()).await,
            Err(error) => Answer::Refused { reason: format!("the delivery is unreadable: {error}") },
        };
        self.meters.answered(&answer, began.elapsed());
        serde_json::to_string(&answer).unwrap_or_else(|_| String::from(r#"{"outcome":"retry","reason":"the answer cannot be written"}"#))
    }
}

/// Reads the head of an answer: what a receiver says of itself may change, what it says of the notification stays.
fn meaning(status: StatusCode, headers: &HeaderMap) -> Answer {
    if status.is_success() {
        return Answer::Delivered;
    }
    let reason = format!("the webhook answered {status}");
    let may_change = status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if !may_change {
        return Answer::Refused { reason };
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    Answer::Retry { reason, retry_after_ms: seconds.map(|seconds| seconds.saturating_mul(1_000)) }
}

/// Reads what is left of an answer, so that the connection can be used again. The client's time limit holds here too.
async fn skip(mut response: Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes += chunk.len();
        if bytes > WEBHOOK_ANSWER_BYTES_MAX {
            return;
        }
    }
}

/// Says why there was no answer, without the address: it may hold a secret.
fn reason(error: reqwest::Error) -> String {
    let what = match &error {
        error if error.is_timeout() => "the webhook did not answer in time",
        error if error.is_connect() => "the webhook cannot be reached",
        _ => "the webhook broke off",
    };
    let error = error.without_url();
    let mut root: &dyn std::error::Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    format!("{what}: {root}")
}
