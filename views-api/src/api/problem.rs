//! Errors over HTTP: RFC 9457 problems, also for what the HTTP library itself refuses.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fluvio_streams::system::FieldError;
use serde_json::{Map, Value, json};

use crate::limits::RETRY_AFTER_SECONDS;

/// A kind of problem: its `type` is `urn:orderflow:problem:<name>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
}

const fn kind(status: StatusCode, name: &'static str, title: &'static str) -> Kind {
    Kind { status, name, title }
}

pub(super) const MALFORMED: Kind = kind(StatusCode::BAD_REQUEST, "malformed-request", "Request cannot be read");
pub(super) const DECLINED: Kind = kind(StatusCode::PAYMENT_REQUIRED, "declined", "Declined");
pub(super) const UNKNOWN: Kind = kind(StatusCode::NOT_FOUND, "unknown-id", "There is nothing with this id");
pub(super) const NO_ROUTE: Kind = kind(StatusCode::NOT_FOUND, "no-such-resource", "There is no such resource");
pub(super) const METHOD: Kind = kind(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Resource does not take this method");
pub(super) const TOO_SLOW: Kind = kind(StatusCode::REQUEST_TIMEOUT, "request-too-slow", "Request did not arrive in time");
pub(super) const REFUSED: Kind = kind(StatusCode::CONFLICT, "refused", "Refused by a rule");
pub(super) const TOO_LARGE: Kind = kind(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body is too large");
pub(super) const NOT_JSON: Kind = kind(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "Body must be JSON");
pub(super) const INVALID: Kind = kind(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", "A field is missing or wrong");
pub(super) const INTERNAL: Kind = kind(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Server failed");
pub(super) const OVERLOADED: Kind = kind(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too many requests are under way");
pub(super) const UNAVAILABLE: Kind = kind(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available at the moment");
pub(super) const BEHIND: Kind = kind(StatusCode::GATEWAY_TIMEOUT, "view-behind", "View has not reached the position in time");

/// A problem. Rendered by [`render`], which knows the request's path.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    members: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new() }
    }

    /// A field that is missing or wrong.
    pub(super) fn field(kind: Kind, error: &FieldError) -> Self {
        let detail = if error.field.is_empty() { error.detail.clone() } else { format!("`{}`: {}", error.field, error.detail) };
        Self::new(kind, detail).with("errors", json!([{ "field": error.field, "detail": error.detail }]))
    }

    /// Adds an extension member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn body(&self, instance: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:orderflow:problem:{}", self.kind.name).into());
        body.insert("title".to_owned(), self.kind.title.into());
        body.insert("status".to_owned(), self.kind.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.clone().into());
        body.insert("instance".to_owned(), instance.into());
        body.extend(self.members.clone());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        if self.kind.status == StatusCode::SERVICE_UNAVAILABLE || self.kind.status == StatusCode::GATEWAY_TIMEOUT {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every error response its body. Errors of the HTTP library carry no problem yet: they get one by their status.
pub(super) fn render(mut response: Response, path: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| of_status(status, path));
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(parts, Body::from(problem.body(path).to_string()))
}

fn of_status(status: StatusCode, path: &str) -> Problem {
    let kind = [METHOD, NO_ROUTE, TOO_LARGE, TOO_SLOW, NOT_JSON, INVALID, INTERNAL, UNAVAILABLE].into_iter().find(|kind| kind.status == status);
    match kind {
        Some(kind) => Problem::new(kind, format!("{} for `{path}`", kind.title)),
        None if status.is_server_error() => Problem::new(Kind { status, ..INTERNAL }, "the server failed"),
        None => Problem::new(Kind { status, ..MALFORMED }, "the request cannot be read"),
    }
}
