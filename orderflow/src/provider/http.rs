//! A payment provider behind an HTTP endpoint: one exchange at a time. What its answers mean is in `answer`, what follows from them in `pursuit`; the protocol is `docs/payment-provider.md`.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use business::partner::provider::{Operation, ProviderRequest};
use fluvio_streams::envelope::TRACEPARENT;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::answer::{self, Heard};
use super::ledger::Page;
use crate::config::PaymentEndpoint;
use crate::limits::{PROVIDER_ANSWER_BYTES_MAX, PROVIDER_CONNECT_TIMEOUT, PROVIDER_LEDGER_PAGE_BYTES_MAX};

/// A client of one provider.
#[derive(Debug)]
pub(crate) struct HttpProvider {
    endpoint: PaymentEndpoint,
    http: Client,
    try_timeout: Duration,
}

/// Why an exchange came to nothing.
enum Broken {
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// Something may have been sent.
    Lost(String),
}

impl HttpProvider {
    /// Returns a client that gives each exchange this long.
    ///
    /// # Errors
    /// If the certificates of the endpoint cannot be used.
    pub(crate) fn new(endpoint: PaymentEndpoint, try_timeout: Duration) -> anyhow::Result<Self> {
        // A redirect is not followed: the request and its token are for this address, and a charge is not sent to two.
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(PROVIDER_CONNECT_TIMEOUT.min(try_timeout))
            .tcp_nodelay(true);
        if let Some(pem) = &endpoint.ca_pem {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).context("--payment-provider-ca-file: it does not hold certificates in PEM")?;
            ensure!(!certificates.is_empty(), "--payment-provider-ca-file: it does not hold certificates in PEM");
            builder = certificates.into_iter().fold(builder.tls_built_in_root_certs(false), |builder, certificate| builder.add_root_certificate(certificate));
        }
        let http = builder.build().context("--payment-provider-ca-file: its certificates cannot be used")?;
        Ok(Self { endpoint, http, try_timeout })
    }

    /// Asks the provider to do it, and tells it to which trace that belongs.
    pub(super) async fn post(&self, request: &ProviderRequest, traceparent: &str) -> Heard {
        let path = match request.operation {
            Operation::Accept => "charges",
            Operation::Undo => "refunds",
        };
        let sent = self.request(Method::POST, &[path]).header("idempotency-key", &request.idempotency_key).header(TRACEPARENT, traceparent).json(request);
        match self.exchange(sent, PROVIDER_ANSWER_BYTES_MAX).await {
            Ok((status, retry_after, body)) => answer::posted(request.operation, status.as_u16(), retry_after.as_deref(), &body),
            Err(Broken::NotSent(detail)) => Heard::NotDone { detail, may_retry: true, after: None },
            Err(Broken::Lost(detail)) => Heard::InDoubt { detail },
        }
    }

    /// Asks the provider what it knows of a charge.
    pub(super) async fn inquire(&self, key: &str) -> Heard {
        match self.exchange(self.request(Method::GET, &["charges", key]), PROVIDER_ANSWER_BYTES_MAX).await {
            Ok((status, _, body)) => answer::inquired(status.as_u16(), &body),
            Err(Broken::NotSent(detail) | Broken::Lost(detail)) => Heard::InDoubt { detail },
        }
    }

    /// Returns a page of the provider's ledger.
    ///
    /// # Errors
    /// If there is no answer, or it is no page.
    pub(crate) async fn ledger(&self, cursor: Option<&str>) -> anyhow::Result<Page> {
        let mut request = self.request(Method::GET, &["ledger"]);
        if let Some(cursor) = cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let (status, _, body) = self.exchange(request, PROVIDER_LEDGER_PAGE_BYTES_MAX).await.map_err(|broken| match broken {
            Broken::NotSent(detail) | Broken::Lost(detail) => anyhow::anyhow!(detail),
        })?;
        ensure!(status.is_success(), "the provider answered with status {}", status.as_u16());
        serde_json::from_slice(&body).context("the provider's answer is no page of a ledger")
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, below(&self.endpoint.url, path));
        match &self.endpoint.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn exchange(&self, request: RequestBuilder, bytes_max: usize) -> Result<(StatusCode, Option<String>, Vec<u8>), Broken> {
        let exchanged = async {
            let response = request.send().await.map_err(|error| {
                let detail = describe(&error);
                if error.is_connect() || error.is_builder() { Broken::NotSent(detail) } else { Broken::Lost(detail) }
            })?;
            let status = response.status();
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok((status, retry_after, body(response, bytes_max).await?))
        };
        let lost = || Broken::Lost(format!("the provider did not answer within {} ms", self.try_timeout.as_millis()));
        tokio::time::timeout(self.try_timeout, exchanged).await.unwrap_or_else(|_| Err(lost()))
    }
}

/// Reads the body, but no more of it than that.
async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Broken::Lost(describe(&error)))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Broken::Lost(format!("the provider's answer is longer than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Each part of the path is one segment, whatever is in it.
fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// Returns the error with its causes but without the address, which its reader knows.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_connect() { "the provider cannot be reached" } else { "the exchange with the provider broke" };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source.and_then(std::error::Error::source) {
        source = Some(cause);
    }
    source.map_or_else(|| kind.to_owned(), |cause| format!("{kind}: {cause}"))
}
