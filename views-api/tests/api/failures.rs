//! What a sender sees when something behind the API fails, and that the others see nothing of it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt;
use orderflow_views::ApiOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::business::{COMMANDS, PARTITIONS, start_decider, topics};
use super::support::until;
use super::{Server, quick};

fn sent(server: &Server) -> i64 {
    (0..PARTITIONS).map(|partition| server.memory.fetch(COMMANDS, partition, 0, None, 0).unwrap().end_offset).sum()
}

#[tokio::test]
async fn before_the_topics_are_there_nothing_is_taken_and_ready_says_why() {
    let server = Server::start_unready(quick());
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.problem(503), "unavailable");
    assert_eq!(ready.body["notReady"][0]["name"], "counters", "{ready:?}");
    assert_eq!(server.post("/counters/counters", "{}").await.problem(503), "unavailable");
    assert_eq!(server.get("/health/live").await.status, StatusCode::OK);
    topics(&server.memory);
    start_decider(server.memory.clone());
    until("it connects by itself", async || server.get("/health/ready").await.status == StatusCode::OK).await;
    assert_eq!(server.post("/counters/counters", "{}").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_log_that_is_down_is_503_and_it_recovers() {
    let server = Server::start().await;
    assert_eq!(server.post("/counters/counters", "{}").await.status, StatusCode::CREATED);
    let before = sent(&server);
    server.log.down.set(true);
    let answer = server.post("/counters/counters", json!({"commandId": "again"})).await;
    assert_eq!(answer.problem(503), "unavailable");
    until("it is not ready", async || server.get("/health/ready").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(sent(&server), before);
    server.log.down.set(false);
    let again = server.post("/counters/counters", json!({"commandId": "again"})).await;
    assert_eq!(again.status, StatusCode::CREATED, "{again:?}");
    until("it is ready again", async || server.get("/health/ready").await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn an_append_without_an_answer_says_that_it_is_doubtful_and_how_to_be_sure() {
    let server = Server::start().await;
    server.log.mute.set(true);
    let answer = server.post("/counters/counters", json!({"counterId": "c-1", "value": 1})).await;
    assert_eq!(answer.problem(503), "unavailable");
    server.log.mute.set(false);
    let key = answer.body["commandId"].as_str().unwrap().to_owned();
    let again = server.post_with("/counters/counters", &[("idempotency-key", &key)], json!({"counterId": "c-1", "value": 1})).await;
    assert_eq!((again.status, &again.body["value"]), (StatusCode::OK, &json!(1)), "it had landed: {again:?}");
}

#[tokio::test]
async fn an_outcome_that_comes_while_the_log_is_away_still_reaches_its_sender() {
    let server = Arc::new(Server::start().await);
    server.post("/counters/counters", json!({"counterId": "c-1"})).await;
    server.log.stuck.set(true);
    let sender = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.post("/counters/counters/c-1/change", json!({"by": 1})).await }
    });
    // The readers break, and stay away until the command is long decided.
    let before = sent(&server);
    server.log.stuck.set(false);
    until("the command has landed", async || sent(&server) > before).await;
    server.log.down.set(true);
    until("the readers are broken", async || server.observer.has("SystemUnreachable")).await;
    server.log.down.set(false);
    let answer = sender.await.unwrap();
    assert_eq!((answer.status, &answer.body["value"]), (StatusCode::OK, &json!(1)), "{answer:?}");
}

#[tokio::test]
async fn no_outcome_in_time_is_said_plainly() {
    let server = Server::start_with(ApiOptions { outcome_timeout: Duration::from_millis(50), ..quick() }).await;
    let answer = server.post("/counters/counters", json!({"owner": "silent", "counterId": "c-1", "commandId": "x-1"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!((&answer.body["counterId"], &answer.body["commandId"]), (&json!("c-1"), &json!("x-1")));
    assert!(answer.body["detail"].as_str().unwrap().contains("will be decided"));
    assert_eq!(answer.header("location"), "/counters/counters/c-1");
    assert!(server.observer.has("outcome: None"));
}

#[tokio::test]
async fn stopping_answers_those_who_wait() {
    let server = Arc::new(Server::start().await);
    let sender = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.post("/counters/counters", json!({"owner": "silent"})).await }
    });
    until("the command has landed", async || sent(&server) == 1).await;
    server.shutdown.cancel();
    assert_eq!(sender.await.unwrap().status, StatusCode::ACCEPTED);
    assert_eq!(server.get("/health/ready").await.problem(503), "unavailable");
}

#[tokio::test]
async fn a_store_that_is_down_is_503_and_commands_are_still_decided() {
    let server = Server::start().await;
    server.store.down.set(true);
    assert_eq!(server.get("/counters/counters/c-1").await.problem(503), "unavailable");
    assert_eq!(server.get("/counters/counters").await.problem(503), "unavailable");
    let ready = server.get("/health/ready").await;
    assert_eq!((ready.problem(503), &ready.body["notReady"][0]["name"]), ("unavailable", &json!("view store")));
    let decided = server.post("/counters/counters", json!({"counterId": "c-1"})).await;
    assert_eq!((decided.status, &decided.body["counterId"]), (StatusCode::CREATED, &json!("c-1")), "{decided:?}");
    server.store.down.set(false);
    let path = format!("/counters/counters/c-1?min_position={}", decided.header("orderflow-position"));
    assert_eq!(server.get(&path).await.status, StatusCode::OK, "and the view shows it later");
}

#[tokio::test]
async fn too_many_at_once_are_refused_at_once_and_the_rest_are_served() {
    let server = Arc::new(Server::start_with(ApiOptions { commands_in_flight_max: 4, reads_in_flight_max: 1, ..quick() }).await);
    server.log.stuck.set(true);
    let posts: Vec<_> = (0..20)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.post("/counters/counters", json!({ "value": n })).await })
        })
        .collect();
    until("16 are refused while 4 wait", async || posts.iter().filter(|post| post.is_finished()).count() == 16).await;
    assert_eq!(server.get("/health/live").await.status, StatusCode::OK);
    server.log.stuck.set(false);
    let mut created = 0;
    for post in posts {
        let answer = post.await.unwrap();
        match answer.status {
            StatusCode::CREATED => created += 1,
            _ => assert_eq!(answer.problem(503), "overloaded"),
        }
    }
    assert_eq!((created, sent(&server)), (4, 4), "what was refused was not taken");

    let mut waiting = Box::pin(server.get("/counters/counters?min_position=counters-counting-events/0/1000"));
    assert!((&mut waiting).now_or_never().is_none(), "it waits for the position");
    assert_eq!(server.get("/counters/counters").await.problem(503), "overloaded");
    drop(waiting);
    assert_eq!(server.get("/counters/counters").await.status, StatusCode::OK, "one who has gone away counts no more");
}

#[tokio::test]
async fn a_panic_is_one_senders_500() {
    let server = Server::start().await;
    let answer = server.post("/counters/counters/c-1/change", json!({"by": "panic"})).await;
    assert_eq!(answer.problem(500), "internal-error");
    assert_eq!(server.post("/counters/counters", "{}").await.status, StatusCode::CREATED);
}

/// Sends `head` with so many bytes of body and `after`, and returns what comes back until the server closes the connection.
async fn exchange(server: &Server, head: &str, body_bytes: usize, after: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router.clone();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let sent = [head.as_bytes(), &vec![b' '; body_bytes], after.as_bytes()].concat();
    let sending = tokio::spawn(async move { writer.write_all(&sent).await.map(|()| writer) });
    let mut heard = Vec::new();
    // A connection that is reset has ended too.
    let _ = reader.read_to_end(&mut heard).await;
    drop(sending.await);
    serving.abort();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn whoever_was_refused_with_a_body_is_served_on_the_same_connection() {
    let server = Server::start().await;
    for (refused, status) in [("POST /pizza", 404), ("DELETE /counters/counters", 405), ("POST /counters/counters", 413)] {
        let head = format!("{refused} HTTP/1.1\r\nhost: counters\r\ncontent-type: application/json\r\ncontent-length: 300000\r\n\r\n");
        let heard = exchange(&server, &head, 300_000, "GET /health/live HTTP/1.1\r\nhost: counters\r\nconnection: close\r\n\r\n").await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{refused}: {heard}");
        assert!(heard.contains("HTTP/1.1 200 OK"), "{refused}: {heard}");
    }
    // Nobody waits for a body without end, or for one that is only sent to who asks for it: the connection ends, and the answer says so.
    for header in ["content-length: 99999999999", "content-length: 300000\r\nexpect: 100-continue"] {
        let head = format!("POST /counters/counters HTTP/1.1\r\nhost: counters\r\n{header}\r\n\r\n");
        let heard = exchange(&server, &head, 0, "").await;
        assert!(heard.starts_with("HTTP/1.1 413 ") && heard.contains("connection: close"), "{header}: {heard}");
    }
}
