//! From a request's body to a command record.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use fluvio_streams::envelope::{TRACEPARENT, is_identifier};
use fluvio_streams::limits::ID_BYTES_MAX;
use fluvio_streams::system::{CommandSpec, FieldError};
use fluvio_streams::trace::{Span, TraceContext};
use serde_json::{Map, Value};

use super::identifiers;
use super::problem::{INVALID, MALFORMED, NOT_JSON, Problem, TOO_LARGE, TOO_SLOW};
use crate::limits::{BODY_BYTES_MAX, BODY_TIMEOUT};

/// Header that carries the command id, for senders who do not put it into the body.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A command that may be sent.
#[derive(Debug)]
pub(super) struct Command {
    /// Aggregate id.
    pub(super) id: String,
    /// Its own id.
    pub(super) command_id: String,
    /// The record's value.
    pub(super) value: Value,
    /// Its trace, and the span that it comes from.
    pub(super) trace: TraceContext,
}

impl Command {
    /// Says of the record that this span has written it.
    pub(super) fn be_traced_by(&mut self, span: Span) {
        self.trace.span = Some(span);
        self.value[TRACEPARENT] = self.trace.to_string().into();
    }
}

/// Reads a JSON object. No body at all is an empty object: many commands have no fields.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let too_large = || Problem::new(TOO_LARGE, format!("a command may have {BODY_BYTES_MAX} bytes"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX + 1)).await {
        Ok(Ok(bytes)) => bytes,
        // The bound is one more than what is allowed, and a body that ends early is the sender's doing too.
        Ok(Err(error)) if is_length_limit(&error) => return Err(too_large()),
        Ok(Err(error)) => return Err(Problem::new(MALFORMED, format!("the body ended early: {error}"))),
        Err(_) => return Err(Problem::new(TOO_SLOW, format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))),
    };
    if bytes.len() > BODY_BYTES_MAX {
        return Err(too_large());
    }
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Problem::new(NOT_JSON, "send `content-type: application/json`"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::field(MALFORMED, &field("", "the body must be a JSON object"))),
        Err(error) => Err(Problem::field(MALFORMED, &field("", &format!("the body is not JSON: {error}")))),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().contains("length limit") {
            return true;
        }
        source = cause.source();
    }
    false
}

fn is_json(content_type: &HeaderValue) -> bool {
    let media_type = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// Fills in what the path, the headers and the system know, and checks the whole.
pub(super) fn fill(system: &str, spec: &CommandSpec, path_id: Option<&str>, headers: &HeaderMap, mut body: Map<String, Value>) -> Result<Command, Problem> {
    if take_text(&mut body, "type")?.is_some_and(|kind| kind != spec.kind) {
        return Err(invalid("type", &format!("this resource takes `{}`; leave the field out", spec.kind)));
    }
    let explicit = command_id(headers, take_text(&mut body, "commandId")?)?;
    let in_body = take_text(&mut body, spec.subject_field)?;
    let id = match (path_id, in_body) {
        (Some(path_id), Some(in_body)) if path_id != in_body => return Err(invalid(spec.subject_field, &format!("the path says `{path_id}`"))),
        (Some(path_id), _) => path_id.to_owned(),
        (None, Some(in_body)) => in_body,
        (None, None) => match &explicit {
            Some(command_id) => format!("{}-{}", spec.id_prefix, identifiers::derived(system, spec.kind, command_id)),
            None => format!("{}-{}", spec.id_prefix, identifiers::random()?),
        },
    };
    check_identifier(spec.subject_field, &id)?;
    let command_id = match explicit {
        Some(command_id) => command_id,
        None => identifiers::random()?,
    };
    // The request's own wins; what is no `traceparent` counts as none.
    let in_body = take_text(&mut body, TRACEPARENT)?;
    let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(TraceContext::parse);
    let given = given.or_else(|| in_body.as_deref().and_then(TraceContext::parse));
    body.extend(given.map(|given| (TRACEPARENT.to_owned(), given.to_string().into())));
    let own = [("type", spec.kind.to_owned()), (spec.subject_field, id.clone()), ("commandId", command_id.clone())];
    let own = own.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text)));
    // Routing in the broker looks for the type: it comes first.
    let value = Value::Object(own.chain(body).collect());
    (spec.check)(&value).map_err(|error| Problem::field(INVALID, &error))?;
    Ok(Command { trace: given.unwrap_or_else(|| TraceContext::of(&command_id)), id, command_id, value })
}

/// Returns the command id that the sender has chosen, if any: in the body, in a header, or the same in both.
fn command_id(headers: &HeaderMap, in_body: Option<String>) -> Result<Option<String>, Problem> {
    let in_header = match headers.get(IDEMPOTENCY_KEY).map(HeaderValue::to_str) {
        None => None,
        // The header is a quoted string by its specification; many senders leave the quotes out.
        Some(Ok(text)) => Some(text.trim().trim_matches('"').to_owned()),
        Some(Err(_)) => return Err(invalid("Idempotency-Key", "it must be printable ASCII")),
    };
    if let Some(text) = &in_header {
        check_identifier("Idempotency-Key", text)?;
    }
    if let Some(text) = &in_body {
        check_identifier("commandId", text)?;
    }
    match (in_body, in_header) {
        (Some(in_body), Some(in_header)) if in_body != in_header => Err(invalid("commandId", "the header Idempotency-Key says something else")),
        (in_body, in_header) => Ok(in_body.or(in_header)),
    }
}

/// Removes a text member; null counts as absent.
fn take_text(body: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, "it must be a string")),
    }
}

fn check_identifier(name: &str, text: &str) -> Result<(), Problem> {
    match is_identifier(text) {
        true => Ok(()),
        false => Err(invalid(name, &format!("it must have 1 to {ID_BYTES_MAX} bytes and no control characters"))),
    }
}

fn invalid(name: &str, detail: &str) -> Problem {
    Problem::field(INVALID, &field(name, detail))
}

fn field(name: &str, detail: &str) -> FieldError {
    FieldError { field: name.to_owned(), detail: detail.to_owned() }
}
