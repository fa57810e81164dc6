//! The webhook to which notifications are delivered: one POST for each try, a bounded number at once, each with a time limit of its own.
//!
//! When a delivery is tried again, and when it is given up, `notifications` says; here is what an answer means. Redirects are not followed, a proxy is not used.

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use fluvio_streams::processor::Call;
use fluvio_streams::runtime::CallHandler;
use notifications::delivery::{Answer, Delivery};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use tokio::sync::Semaphore;

use crate::config::WebhookConfig;
use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_CALLS_MAX, WEBHOOK_TIMEOUT};

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
}

impl Webhook {
    /// Returns who delivers to this address.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(config: Option<&WebhookConfig>) -> anyhow::Result<Self> {
        let timeout = config.map_or(WEBHOOK_TIMEOUT, |config| config.timeout);
        Self::with(config.map(|config| config.url.clone()), timeout, WEBHOOK_CALLS_MAX)
    }

    fn with(url: Option<Url>, timeout: Duration, places_max: usize) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(timeout).redirect(Policy::none()).no_proxy().tcp_nodelay(true).pool_max_idle_per_host(places_max);
        let http = http.user_agent(concat!("orderflow/", env!("CARGO_PKG_VERSION"))).build().context("cannot make an HTTP client for the webhook")?;
        Ok(Self { url, http, places: Semaphore::new(places_max) })
    }

    async fn deliver(&self, delivery: &Delivery) -> Answer {
        let Some(url) = self.url.clone() else { return Answer::Refused { reason: "there is no webhook any more".to_owned() } };
        let body = serde_json::Value::Object(delivery.body.clone()).to_string();
        // The semaphore is never closed. Waiting for a place takes nothing of the time for the answer.
        let _place = self.places.acquire().await;
        let request = self.http.post(url).header("idempotency-key", &delivery.notification_id).header(CONTENT_TYPE, "application/json").body(body);
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
        let answer = match serde_json::from_str::<Delivery>(&call.request) {
            Ok(delivery) => self.deliver(&delivery).await,
            Err(error) => Answer::Refused { reason: format!("the delivery is unreadable: {error}") },
        };
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
