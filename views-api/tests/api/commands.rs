//! Commands: what each outcome is answered with, and what is refused before it is sent.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fluvio_streams::trace::{Trace, TraceContext};
use serde_json::{Value, json};

use super::Server;
use super::support::business::{COMMANDS, EVENTS, PARTITIONS};
use super::support::until;

fn sent(server: &Server) -> Vec<Value> {
    let fetch = |partition| server.memory.fetch(COMMANDS, partition, 0, None, 1_000).unwrap().records;
    (0..PARTITIONS).flat_map(fetch).map(|record| serde_json::from_slice(&record.value).unwrap()).collect()
}

#[tokio::test]
async fn creating_answers_with_the_document_its_place_and_its_position() {
    let server = Server::start().await;
    let answer = server.post("/counters/counters", json!({"owner": "ann", "value": 3})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let id = answer.body["counterId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("c-") && id.len() == 18, "{id}");
    assert_eq!(answer.body, json!({"owner": "ann", "value": 3, "counterId": id, "status": "CounterCreated"}));
    assert_eq!(answer.header("location"), format!("/counters/counters/{id}"));
    assert!(answer.header("orderflow-position").starts_with(EVENTS));
    let found = server.get(answer.header("location")).await;
    assert_eq!((found.status, &found.body), (StatusCode::OK, &answer.body));
    assert_eq!(found.header("orderflow-position"), answer.header("orderflow-position"));

    let commands = sent(&server);
    assert_eq!(commands[0], json!({"type": "CreateCounter", "counterId": id, "commandId": answer.header("orderflow-command-id"), "owner": "ann", "value": 3}));
}

#[tokio::test]
async fn verbs_are_taken_by_post_and_patch_and_with_an_id_of_ones_own() {
    let server = Server::start().await;
    let created = server.post("/counters/counters", json!({"counterId": "a/b 주", "owner": "ann"})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(created.header("location"), "/counters/counters/a%2Fb%20%EC%A3%BC");
    let changed = server.post("/counters/counters/a%2Fb%20%EC%A3%BC/change", json!({"by": 4})).await;
    assert_eq!((changed.status, &changed.body["value"]), (StatusCode::OK, &json!(4)), "{changed:?}");
    let patch = Request::patch("/counters/counters/a%2Fb%20%EC%A3%BC/change").header("content-type", "application/merge-patch+json; charset=utf-8");
    let changed = server.send(patch.body(Body::from(r#"{"by": -1, "counterId": "a/b 주"}"#)).unwrap()).await;
    assert_eq!((changed.status, &changed.body["value"]), (StatusCode::OK, &json!(3)), "{changed:?}");
}

#[tokio::test]
async fn every_outcome_has_its_status() {
    let server = Server::start().await;
    let deferred = server.post("/counters/counters", json!({"owner": "deferred"})).await;
    assert_eq!((deferred.status, deferred.body["status"].as_str()), (StatusCode::ACCEPTED, Some("CounterDeferred")), "{deferred:?}");
    assert!(!deferred.header("location").is_empty());

    let declined = server.post("/counters/counters", json!({"owner": "declined"})).await;
    assert_eq!(declined.problem(402), "declined");
    assert_eq!((&declined.body["reason"], &declined.body["view"]["status"]), (&json!("TooPoor"), &json!("CounterDeclined")));

    server.post("/counters/counters", json!({"counterId": "c-1"})).await;
    let refused = server.post("/counters/counters", json!({"counterId": "c-1"})).await;
    assert_eq!(refused.problem(409), "refused");
    assert_eq!((&refused.body["reason"], &refused.body["detail"]), (&json!("CounterExists"), &json!("no: CounterExists")));

    // The problem says when to try again, as that of an API which has too much to do itself.
    let overloaded = server.post("/counters/counters", json!({"owner": "overloaded"})).await;
    assert_eq!((overloaded.problem(503), &overloaded.body["reason"]), ("overloaded", &json!("CountersOverloaded")));

    let unreadable = server.post("/counters/counters", json!({"owner": "unreadable"})).await;
    assert_eq!(unreadable.problem(409), "refused");
    assert_eq!((&unreadable.body["reason"], &unreadable.body["detail"]), (&json!("Unreadable"), &json!("nobody could read it")));

    let unknown = server.post("/counters/counters/c-none/change", json!({"by": 1})).await;
    assert_eq!(unknown.problem(404), "unknown-id");
    assert_eq!(unknown.body["reason"], "CounterUnknown");
}

#[tokio::test]
async fn a_command_that_is_sent_again_has_the_effect_of_once() {
    let server = Server::start().await;
    let key = [("idempotency-key", "\"once\"")];
    let first = server.post_with("/counters/counters", &key, json!({"owner": "ann", "value": 1})).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("orderflow-command-id"), "once");
    let again = server.post_with("/counters/counters", &key, json!({"owner": "ann", "value": 1})).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body), "the same counter as it is");
    let path = format!("/counters/counters/{}/change", first.body["counterId"].as_str().unwrap());
    for _ in 0..3 {
        let changed = server.post(&path, json!({"by": 5, "commandId": "change-1"})).await;
        assert_eq!((changed.status, &changed.body["value"]), (StatusCode::OK, &json!(6)));
    }
    let different = server.post_with(&path, &key, json!({"by": 5, "commandId": "other"})).await;
    assert_eq!((different.problem(422), different.field()), ("invalid-field", "commandId"));
}

#[tokio::test]
async fn one_command_id_for_two_counters_is_two_commands() {
    let server = Arc::new(Server::start().await);
    let waiting = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.post("/counters/counters", json!({"counterId": "c-1", "commandId": "same", "owner": "silent"})).await }
    });
    until("the first has landed", async || sent(&server).len() == 1).await;
    let second = server.post("/counters/counters", json!({"counterId": "c-2", "commandId": "same", "owner": "bob"})).await;
    assert_eq!((second.status, &second.body["owner"]), (StatusCode::CREATED, &json!("bob")));
    // The first is not decided by that: it waits until the server stops.
    server.shutdown.cancel();
    assert_eq!(waiting.await.unwrap().status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_cannot_be_a_command_is_refused_and_not_sent() {
    let server = Server::start().await;
    let long = "x".repeat(300);
    let create = "/counters/counters";
    let change = "/counters/counters/c-1/change";
    let cases: [(&str, String, u16, &str, &str); 17] = [
        (create, "{".into(), 400, "malformed-request", ""),
        (create, "{\"owner\": \"a\" \u{0}}".into(), 400, "malformed-request", ""),
        (create, "[]".into(), 400, "malformed-request", ""),
        (create, "null".into(), 400, "malformed-request", ""),
        (create, "[".repeat(5_000), 400, "malformed-request", ""),
        (create, "{\"value\": 1e999}".into(), 400, "malformed-request", ""),
        (create, json!({"value": "seven"}).to_string(), 422, "invalid-field", "value"),
        (create, json!({"value": 1.5}).to_string(), 422, "invalid-field", "value"),
        (create, json!({"counterId": 7}).to_string(), 422, "invalid-field", "counterId"),
        (create, json!({"counterId": ""}).to_string(), 422, "invalid-field", "counterId"),
        (create, json!({"counterId": "a\nb"}).to_string(), 422, "invalid-field", "counterId"),
        (create, json!({"counterId": long}).to_string(), 422, "invalid-field", "counterId"),
        (create, json!({"commandId": long}).to_string(), 422, "invalid-field", "commandId"),
        (create, json!({"commandId": {}}).to_string(), 422, "invalid-field", "commandId"),
        (create, json!({"type": "ChangeCounter"}).to_string(), 422, "invalid-field", "type"),
        (change, "{}".into(), 422, "invalid-field", "by"),
        (change, json!({"by": 1, "counterId": "c-2"}).to_string(), 422, "invalid-field", "counterId"),
    ];
    for (path, body, status, kind, field) in cases {
        let answer = server.post(path, &body).await;
        assert_eq!((answer.problem(status), answer.field()), (kind, field), "{body:.80}");
        assert_eq!(answer.body["instance"], path);
    }
    let no_utf8 = Request::post(create).header("content-type", "application/json").body(Body::from(vec![b'"', 0xff, b'"'])).unwrap();
    assert_eq!(server.send(no_utf8).await.problem(400), "malformed-request");
    let bad_path = server.post("/counters/counters/%ff/change", json!({"by": 1})).await;
    assert_eq!(bad_path.problem(400), "malformed-request");
    let form = Request::post(create).header("content-type", "application/x-www-form-urlencoded").body(Body::from("{}")).unwrap();
    assert_eq!(server.send(form).await.problem(415), "not-json");
    let header = [("idempotency-key", long.as_str())];
    assert_eq!(server.post_with(create, &header, "{}").await.field(), "Idempotency-Key");
    assert!(sent(&server).is_empty());
}

#[tokio::test]
async fn bodies_are_bounded() {
    let server = Server::start().await;
    let body = |bytes: usize| format!("{{\"note\": \"{}\"}}", "x".repeat(bytes - 12));
    let most = server.post("/counters/counters", body(64 * 1024)).await;
    assert_eq!(most.status, StatusCode::CREATED, "{most:?}");
    assert_eq!(server.post("/counters/counters", body(64 * 1024 + 1)).await.problem(413), "too-large");
    // Neither a length that is declared nor one that is not gets past.
    let declared = Request::post("/counters/counters").header("content-type", "application/json").header("content-length", "99999999999");
    assert_eq!(server.send(declared.body(Body::empty()).unwrap()).await.problem(413), "too-large");
    let chunks = futures_util::stream::iter((0..1_000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_024])));
    let streamed = Request::post("/counters/counters").header("content-type", "application/json").body(Body::from_stream(chunks)).unwrap();
    assert_eq!(server.send(streamed).await.problem(413), "too-large");
    let torn = futures_util::stream::iter([Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))]);
    let torn = Request::post("/counters/counters").header("content-type", "application/json").body(Body::from_stream(torn)).unwrap();
    assert_eq!(server.send(torn).await.problem(400), "malformed-request");
}

#[tokio::test]
async fn a_command_without_fields_needs_no_body() {
    let server = Server::start().await;
    let answer = server.send(Request::post("/counters/counters").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let ended = server.send(Request::post("/counters/counters/c-1/change").body(Body::empty()).unwrap()).await;
    assert_eq!((ended.problem(422), ended.field()), ("invalid-field", "by"));
}

#[tokio::test]
async fn many_senders_share_appends_and_each_gets_its_own_answer() {
    let server = Server::start().await;
    let posts = (0..500).map(|n| server.post("/counters/counters", json!({"owner": format!("owner-{n}"), "value": n})));
    let answers = futures_util::future::join_all(posts).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!((answer.status, &answer.body["value"]), (StatusCode::CREATED, &json!(n)));
    }
    let appends = server.observer.all().iter().filter(|event| event.contains("CommandsAppended")).count();
    assert!(appends < 250, "{appends} appends for 500 commands");
}

/// The trace of a request goes along with its command; what is no `traceparent` is no reason to refuse anything.
#[tokio::test]
async fn a_command_says_to_which_trace_its_request_belongs() {
    let server = Server::start().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let other = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let request = |traceparent: &str, body: Value| {
        let request = Request::post("/counters/counters").header("content-type", "application/json").header("traceparent", traceparent);
        request.body(Body::from(body.to_string())).unwrap()
    };
    for (header, body, expected) in [
        (given, json!({"owner": "ann"}), json!(given)),
        (given, json!({"owner": "ann", "traceparent": other}), json!(given)),
        ("none", json!({"owner": "ann", "traceparent": other}), json!(other)),
        ("none", json!({"owner": "ann", "traceparent": "none"}), Value::Null),
    ] {
        let answer = server.send(request(header, body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let command = sent(&server).into_iter().find(|command| command["commandId"] == answer.header("orderflow-command-id")).expect("it was sent");
        assert_eq!(command["traceparent"], expected);
        let response = TraceContext::parse(answer.header("traceresponse")).expect("the answer names the trace");
        let trace = expected.as_str().and_then(TraceContext::parse).map_or_else(|| Trace::of(answer.header("orderflow-command-id")), |context| context.trace);
        assert_eq!(response.trace, trace);
    }
}
