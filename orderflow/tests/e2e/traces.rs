//! One trace from an HTTP request to the views: in the records, in what `why` tells, and at a collector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{COMMANDS, EVENTS, Instance, run, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CUSTOMER: &str = "00f067aa0ba902b7";

/// A collector of traces: takes what OTLP clients send, and keeps it.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    /// Requests that it has turned away, and how many it still will.
    refused: Arc<Mutex<(usize, usize)>>,
}

impl Collector {
    async fn start(self) -> String {
        let take = move |headers: HeaderMap, body: Bytes| {
            let collector = self.clone();
            async move { collector.take(&headers, body) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
        format!("http://{address}")
    }

    fn take(&self, headers: &HeaderMap, body: Bytes) -> StatusCode {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.0 < refused.1 {
            refused.0 += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let request = ExportTraceServiceRequest::decode(body).expect("it is what OTLP says");
        let spans = request.resource_spans.into_iter().flat_map(|resource| {
            let attributes = resource.resource.expect("it says whose they are").attributes;
            assert!(attributes.iter().any(|attribute| attribute.key == "service.name"));
            resource.scope_spans.into_iter().flat_map(|scope| scope.spans)
        });
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        StatusCode::OK
    }

    fn of_trace(&self, trace: &str) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn place(instance: &Instance, order: &str, traceparent: Option<&str>) -> reqwest::Response {
    let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let request = http.post(format!("http://{}/food-delivery/orders", instance.address("http")));
    let request = traceparent.into_iter().fold(request, |request, traceparent| request.header("traceparent", traceparent));
    let body = json!({"orderId": order, "customerId": "kim", "item": "chicken", "price": 18_000});
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.expect("there is an answer");
    assert_eq!(answer.status(), 201);
    answer
}

#[tokio::test]
async fn a_collector_sees_one_trace_from_the_request_over_the_processors_to_the_view() {
    let collector = Collector::default();
    collector.refused.lock().unwrap_or_else(PoisonError::into_inner).1 = 1;
    let endpoint = collector.clone().start().await;
    let instance = Instance::start(&[&format!("--otlp-endpoint={endpoint}")]).await;
    let given = format!("00-{TRACE}-{CUSTOMER}-01");
    let answer = place(&instance, "o-1", Some(&given)).await;
    assert!(answer.headers()["traceresponse"].to_str().is_ok_and(|response| response.starts_with(&format!("00-{TRACE}-"))));
    // Its sender does not record this one, so neither do we; but it goes along.
    place(&instance, "o-2", Some(&format!("00-{}-{CUSTOMER}-00", TRACE.replace('4', "5")))).await;

    let expected = [
        "http food-delivery PlaceOrder",
        "food-delivery.orders PlaceOrder",
        "food-delivery.payments PaymentRequested",
        "call payment-provider",
        "food-delivery.payments answer",
        "food-delivery.orders PaymentApproved",
        "view food-delivery.orders OrderPlaced",
    ];
    until("the collector has the whole trace", async || {
        let names: BTreeSet<String> = collector.of_trace(TRACE).into_iter().map(|span| span.name).collect();
        expected.iter().all(|name| names.contains(*name))
    })
    .await;
    let spans: BTreeMap<String, Span> = collector.of_trace(TRACE).into_iter().map(|span| (hex(&span.span_id), span)).collect();
    let named = |name: &str| spans.values().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}"));
    for name in expected {
        // From each of them the way leads back to the customer's own span.
        let mut way = vec![name.to_owned()];
        let mut span = named(name);
        while hex(&span.parent_span_id) != CUSTOMER {
            span = spans.get(&hex(&span.parent_span_id)).unwrap_or_else(|| panic!("{way:?} ends"));
            way.push(span.name.clone());
            assert!(way.len() < 20, "{way:?}");
        }
        assert_eq!(way.last().map(String::as_str), Some(expected[0]), "{way:?}");
        assert!(named(name).start_time_unix_nano <= named(name).end_time_unix_nano);
    }
    assert!(collector.of_trace(&TRACE.replace('4', "5")).is_empty());
    assert!(instance.metric("orderflow_trace_spans_total", &["outcome=\"exported\""]).await >= expected.len() as f64);
    assert_eq!(instance.metric("orderflow_trace_spans_total", &["outcome=\"dropped\""]).await, 0.0);
}

#[tokio::test]
async fn records_say_their_trace_whether_it_was_given_or_not_and_why_tells_it() {
    let instance = Instance::start(&[]).await;
    let given = format!("00-{TRACE}-{CUSTOMER}-01");
    place(&instance, "o-1", Some(&given)).await;
    let answer = place(&instance, "o-2", None).await;
    let followed = answer.headers()["traceresponse"].to_str().expect("it is text")[3..35].to_owned();
    let commands = instance.consume(COMMANDS, |commands| commands.len() >= 2).await;
    let command = |order: &str| commands.iter().find(|command| command["orderId"] == order).expect("it is there");
    assert_eq!((&command("o-1")["traceparent"], &command("o-2")["traceparent"]), (&json!(given), &Value::Null), "as it was sent");
    let placed = |events: &[Value]| events.iter().filter(|event| event["type"] == "OrderPlaced").count();
    let events = instance.consume(EVENTS, |events| placed(events) >= 2).await;
    for event in &events {
        let trace = if event["subject"] == "o-1" { TRACE } else { &followed };
        assert_eq!(event["traceparent"].as_str().map(|traceparent| &traceparent[3..35]), Some(trace), "{event}");
    }
    for (order, trace) in [("o-1", TRACE), ("o-2", &followed)] {
        let output = run(&["why", order, "--json", "--fluvio", &instance.address("sc")]).await;
        let stories: Vec<Value> = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let traces: BTreeSet<&str> = stories[0]["happened"].as_array().into_iter().flatten().filter_map(|line| line["traceId"].as_str()).collect();
        assert_eq!(traces, BTreeSet::from([trace]), "{stories:?}");
    }
}

/// Goal: a collector that is away costs traces, and no order.
#[tokio::test]
async fn a_collector_that_is_away_hinders_nobody() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has an address");
    let mut instance = Instance::start(&[&format!("--otlp-endpoint=http://{nobody}")]).await;
    place(&instance, "o-1", None).await;
    until("it says that traces are lost", async || instance.said().contains("traces are lost")).await;
    place(&instance, "o-2", None).await;
    let (code, took) = instance.signal(rustix::process::Signal::TERM).await;
    assert_eq!(code, Some(0));
    assert!(took.as_secs() < 5, "it took {took:?}");
    let output = run(&["up", "--ephemeral", "--otlp-endpoint=ftp://nowhere"]).await;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--otlp-endpoint"));
}
