//! Takes a command: checks it, appends it, waits for its outcome and for the view to show it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fluvio_streams::system::{CommandSpec, Outcome};
use serde_json::{Value, json};

use super::body::{self, Command};
use super::gateway::Gateway;
use super::identifiers::path_segment;
use super::outcomes::Decision;
use super::problem::{DECLINED, OVERLOADED, Problem, REFUSED, UNAVAILABLE, UNKNOWN};
use super::{ApiState, POSITION, json_response};
use crate::append::AppendError;
use crate::telemetry::Event;
use crate::view::{Document, View};

/// Header that names the command in every answer.
const COMMAND_ID: HeaderName = HeaderName::from_static("orderflow-command-id");

/// Header that names the trace in every answer, also where the sender has not begun one.
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// A command of a system, and the view that shows what becomes of it.
pub(super) struct CommandRoute {
    pub(super) gateway: Arc<Gateway>,
    pub(super) spec: CommandSpec,
    /// `None` if the collection is not served.
    pub(super) view: Option<View>,
    /// True if `/<collection>/{id}` can be read.
    pub(super) has_location: bool,
}

/// Answers `POST /<system>/<collection>` and `POST|PATCH /<system>/<collection>/{id}/<verb>`.
pub(super) async fn handle(api: ApiState, route: Arc<CommandRoute>, path_id: Option<String>, request: Request) -> Result<Response, Problem> {
    let started = Instant::now();
    let _admitted = api.commands_in_flight.try_acquire().map_err(|_| Problem::new(OVERLOADED, "too many commands are under way: try again"))?;
    let gateway = &route.gateway;
    let connected = gateway.connected().map_err(|why| Problem::new(UNAVAILABLE, format!("commands cannot be taken: {why}")))?;
    let (head, sent) = request.into_parts();
    let fields = body::read(&head.headers, sent).await?;
    let mut command = body::fill(gateway.system.name, &route.spec, path_id.as_deref(), &head.headers, fields)?;
    let parent = command.trace.span;
    if api.observer.wants_traces() {
        // What follows is due to this request, and the request to whoever sent it.
        command.be_traced_by(command.trace.trace.span(&["http", &command.id, &command.command_id]));
    }

    let mut registration = gateway.waiters.register(&command.command_id, route.spec.kind, &command.id);
    let value = command.value.to_string().into_bytes();
    let answer = async {
        connected.appender.append(&command.id, value).await.map_err(|error| not_appended(&error, &command))?;
        Ok::<_, Problem>(tokio::time::timeout(api.options.outcome_timeout, registration.decided()).await.ok())
    };
    let decision = tokio::select! {
        decision = answer => decision?,
        () = api.shutdown.cancelled() => None,
    };
    let outcome = decision.as_ref().map(|decision| decision.outcome);
    api.observer.observe(Event::CommandDecided {
        system: gateway.system.name,
        command: route.spec.kind,
        outcome,
        trace: command.trace,
        parent,
        elapsed: started.elapsed(),
    });
    match decision {
        Some(decision) => decided(&api, &route, &command, &decision).await,
        None => Ok(undecided(&route, &command)),
    }
}

fn not_appended(error: &AppendError, command: &Command) -> Problem {
    match error {
        AppendError::Full => Problem::new(OVERLOADED, "too many commands wait to be written: try again"),
        AppendError::NotSent(source) => Problem::new(UNAVAILABLE, format!("the command was not taken: {source}")),
        AppendError::Doubtful(source) => {
            let id = &command.command_id;
            let detail = format!(
                "it is not known whether the command was taken ({source}): send it again with `Idempotency-Key: {id}`, it will have the effect of once"
            );
            Problem::new(UNAVAILABLE, detail).with("commandId", id.as_str())
        }
    }
}

/// Answers by the outcome, with the document once the view shows the event that decided.
async fn decided(api: &ApiState, route: &CommandRoute, command: &Command, decision: &Decision) -> Result<Response, Problem> {
    let creates = route.spec.verb.is_none();
    let document = shown(api, route, command, decision).await;
    let status = match decision.outcome {
        Outcome::Done if creates => StatusCode::CREATED,
        Outcome::Done | Outcome::Repeated => StatusCode::OK,
        Outcome::Deferred => StatusCode::ACCEPTED,
        Outcome::Declined | Outcome::Refused | Outcome::Overloaded | Outcome::Unknown => return Ok(refused(command, decision, document)),
    };
    let body = document.map_or_else(|| unseen(route, command, "the view does not show it yet"), |document| document.value);
    let mut response = json_response(status, &body);
    add_headers(&mut response, command, Some(decision));
    if creates {
        add_location(&mut response, route, command);
    }
    Ok(response)
}

/// Says no: a problem with the reason, and the document if the refusal is part of it.
fn refused(command: &Command, decision: &Decision, document: Option<Document>) -> Response {
    let (kind, word) = match decision.outcome {
        Outcome::Declined => (DECLINED, "declined"),
        Outcome::Overloaded => (OVERLOADED, "not taken, for there is too much to do"),
        Outcome::Unknown => (UNKNOWN, "unknown"),
        _ => (REFUSED, "refused"),
    };
    let detail = decision.detail.clone().unwrap_or_else(|| match &decision.reason {
        Some(reason) => format!("`{}` was {word}: {reason}", command.id),
        None => format!("`{}` was {word}", command.id),
    });
    let mut problem = Problem::new(kind, detail).with("id", command.id.as_str()).with("commandId", command.command_id.as_str());
    if let Some(reason) = &decision.reason {
        problem = problem.with("reason", reason.as_str());
    }
    if let Some(document) = document {
        problem = problem.with("view", document.value);
    }
    let mut response = problem.into_response();
    add_headers(&mut response, command, Some(decision));
    response
}

/// Accepted, but nobody has decided in time: said plainly, with what is needed to ask later.
fn undecided(route: &CommandRoute, command: &Command) -> Response {
    let body = unseen(route, command, "the command is in the log and will be decided; it was not yet when this answer was sent");
    let mut response = json_response(StatusCode::ACCEPTED, &body);
    add_headers(&mut response, command, None);
    add_location(&mut response, route, command);
    response
}

fn unseen(route: &CommandRoute, command: &Command, detail: &str) -> Value {
    json!({ route.spec.subject_field: command.id, "commandId": command.command_id, "detail": detail })
}

/// Returns the document once the view includes the event that decided, or `None` if that takes too long.
async fn shown(api: &ApiState, route: &CommandRoute, command: &Command, decision: &Decision) -> Option<Document> {
    let view = route.view.as_ref()?;
    let (partition, offset) = position_to_show(route, view, command, decision).await?;
    match api.store.wait_for(view, partition, offset, api.options.position_timeout).await {
        Ok(true) => api.store.get(view, std::slice::from_ref(&command.id)).await.ok()?.pop(),
        Ok(false) => None,
        Err(error) => {
            tracing::warn!(view = view.name(), error = &error as &dyn std::error::Error, "decided command cannot be shown");
            None
        }
    }
}

/// Returns the position that the view must include before it is shown.
///
/// What decided a repeated command was written long before the answer to the repeat, but the view may not have it yet; and some outcomes stand in another topic than the view's. Both come
/// after everything that the view's topic holds of the aggregate by now. A refusal that changed nothing has nothing to show.
async fn position_to_show(route: &CommandRoute, view: &View, command: &Command, decision: &Decision) -> Option<(u32, i64)> {
    let position = &decision.position;
    if position.topic == view.topic {
        return Some((position.partition, position.offset));
    }
    if matches!(decision.outcome, Outcome::Refused | Outcome::Overloaded | Outcome::Unknown) {
        return None;
    }
    let (partition, end) = route.gateway.end_of(&view.topic, &command.id).await?;
    Some((partition, end - 1))
}

fn add_headers(response: &mut Response, command: &Command, decision: Option<&Decision>) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_bytes(command.command_id.as_bytes()) {
        headers.insert(COMMAND_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(&command.trace.to_string()) {
        headers.insert(TRACE_RESPONSE, value);
    }
    if let Some(value) = decision.and_then(|decision| HeaderValue::from_str(&decision.position.to_string()).ok()) {
        headers.insert(POSITION, value);
    }
}

fn add_location(response: &mut Response, route: &CommandRoute, command: &Command) {
    if route.has_location {
        let location = format!("/{}/{}/{}", route.gateway.system.name, route.spec.collection, path_segment(&command.id));
        if let Ok(value) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, value);
        }
    }
}
