//! Spans as OpenTelemetry knows them, from what the libraries tell. Only of traces that are to be recorded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluvio_streams::processor::Call;
use fluvio_streams::system::Outcome;
use fluvio_streams::telemetry::TaskName;
use fluvio_streams::trace::{InputTraced, Span as SpanId, TraceContext};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use orderflow_views::telemetry::EventViewed;
use orderflow_views::view::View;

use super::super::views::name_of;

/// Returns what is said of this process with its spans.
pub(super) fn resource(instance: &str) -> Resource {
    let attributes = vec![text("service.name", "orderflow"), text("service.version", crate::VERSION), text("service.instance.id", instance)];
    Resource { attributes, ..Resource::default() }
}

/// Returns the spans of inputs that a task took, in one transaction that ended now.
pub(super) fn of_inputs<'a>(task: TaskName<'a>, inputs: &'a [InputTraced], took: Duration) -> impl Iterator<Item = Span> + use<'a> {
    inputs.iter().filter_map(move |input| {
        let mut attributes = of_task(task);
        attributes.extend([text("orderflow.cause", &input.cause), text("orderflow.outcome", input.outcome)]);
        attributes.extend(input.subject.as_deref().map(|subject| text("orderflow.subject", subject)));
        let name = format!("{}.{} {}", task.application, task.processor, input.what);
        span(name, SpanKind::Consumer, input.context, input.parent, took, attributes)
    })
}

/// Returns the span of a call to the outside that was answered now.
pub(super) fn of_call(task: TaskName<'_>, call: &Call, took: Duration) -> Option<Span> {
    let mut attributes = of_task(task);
    attributes.extend([text("orderflow.call", &call.id), text("peer.service", &call.target)]);
    span(format!("call {}", call.target), SpanKind::Client, call.span(), call.trace().span, took, attributes)
}

/// Returns the spans of events that a view has taken, in a batch that was written now.
pub(super) fn of_view<'a>(view: &'a View, events: &'a [EventViewed], took: Duration) -> impl Iterator<Item = Span> + use<'a> {
    events.iter().filter_map(move |event| {
        let attributes = vec![text("orderflow.view", &view.name()), text("orderflow.cause", &event.position), text("orderflow.document", &event.document)];
        span(format!("view {} {}", view.name(), event.what), SpanKind::Consumer, event.context, event.parent, took, attributes)
    })
}

/// Returns the span of a command over HTTP that was answered now.
pub(super) fn of_command(system: &str, command: &str, outcome: Option<Outcome>, trace: TraceContext, parent: Option<SpanId>, took: Duration) -> Option<Span> {
    let attributes = vec![text("orderflow.system", system), text("orderflow.outcome", outcome.map_or("undecided", name_of))];
    span(format!("http {system} {command}"), SpanKind::Server, trace, parent, took, attributes)
}

fn of_task(task: TaskName<'_>) -> Vec<KeyValue> {
    vec![text("orderflow.system", task.application), text("orderflow.processor", task.processor), number("orderflow.partition", task.partition.into())]
}

fn span(name: String, kind: SpanKind, context: TraceContext, parent: Option<SpanId>, took: Duration, attributes: Vec<KeyValue>) -> Option<Span> {
    let span_id = context.span.filter(|_| context.trace.is_sampled())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Span {
        trace_id: context.trace.id().to_vec(),
        span_id: span_id.id().to_vec(),
        parent_span_id: parent.map(|parent| parent.id().to_vec()).unwrap_or_default(),
        name,
        kind: kind as i32,
        start_time_unix_nano: now.saturating_sub(took).as_nanos() as u64,
        end_time_unix_nano: now.as_nanos() as u64,
        attributes,
        ..Span::default()
    })
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
