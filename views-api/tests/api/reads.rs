//! Reads: documents, lists, positions, and everything that is no route.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use orderflow_views::{ApiOptions, ApiState, router};
use serde_json::{Value, json};

use super::support::business::{EVENTS, system};
use super::{Server, quick};

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let server = Server::start().await;
    for n in 0..7 {
        let owner = if n % 2 == 0 { "ann" } else { "bob" };
        server.post("/counters/counters", json!({"counterId": format!("c-{n}"), "owner": owner})).await;
    }
    let ids = |page: &Value| page["items"].as_array().unwrap().iter().map(|item| item["counterId"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let all = server.get("/counters/counters").await;
    assert_eq!((all.status, ids(&all.body).len(), all.body.get("nextCursor")), (StatusCode::OK, 7, None));
    let mut seen = Vec::new();
    let mut path = "/counters/counters?limit=3".to_owned();
    loop {
        let page = server.get(&path).await;
        seen.extend(ids(&page.body));
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        path = format!("/counters/counters?limit=3&cursor={next}");
    }
    assert_eq!(seen, ids(&all.body), "pages cover the list in its order");

    for path in [
        "/counters/counters?owner=bob",
        "/counters/owners/bob/counters",
        "/counters/owners/bob/counters?owner=bob",
        "/counters/counters?owner=bob&cursor=&limit=",
    ] {
        let mut found = ids(&server.get(path).await.body);
        found.sort();
        assert_eq!(found, ["c-1", "c-3", "c-5"], "{path}");
    }
    assert_eq!(server.get("/counters/owners/nobody/counters").await.body, json!({"items": []}));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start().await;
    let cases = [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=00", "cursor"),
        ("status=Placed", "status"),
        ("owner=a&owner=b", "owner"),
        ("min_position=here", "min_position"),
        ("min_position=other-topic/0/1", "min_position"),
        ("min_position=counters-counting-events/4294967295/0", "min_position"),
        ("min_position=counters-counting-events/3/0", "min_position"),
        ("min_position=counters-counting-events/0/-1", "min_position"),
        ("min_offset=1", "min_offset"),
    ];
    for (query, field) in cases {
        let answer = server.get(&format!("/counters/counters?{query}")).await;
        assert_eq!((answer.problem(400), answer.field()), ("malformed-request", field), "{query}");
    }
    assert_eq!(server.get("/counters/counters/c-1?min_offset=x").await.field(), "min_offset");
    assert_eq!(server.get("/counters/counters?owner=%ff%zz").await.status, StatusCode::OK, "odd bytes are just text that nothing has");
}

#[tokio::test]
async fn reads_wait_for_a_position_and_say_if_it_does_not_come() {
    let server = Server::start_with(ApiOptions { position_timeout: Duration::from_millis(100), ..quick() }).await;
    let created = server.post("/counters/counters", json!({"counterId": "c-1"})).await;
    let position = created.header("orderflow-position").to_owned();
    let (partition, offset) = {
        let mut parts = position.split('/').skip(1).map(|part| part.parse::<i64>().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    };
    for path in [
        format!("/counters/counters/c-1?min_position={position}"),
        format!("/counters/counters/c-1?min_offset={offset}"),
        format!("/counters/counters?min_position={position}"),
    ] {
        assert_eq!(server.get(&path).await.status, StatusCode::OK, "{path}");
    }
    let later = format!("{EVENTS}/{partition}/{}", offset + 1);
    for path in [
        format!("/counters/counters/c-1?min_position={later}"),
        format!("/counters/counters/c-1?min_offset={}", offset + 1),
        format!("/counters/counters?min_position={later}"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.problem(504), "view-behind", "{path}");
        assert!(answer.body["detail"].as_str().unwrap().contains(&later));
    }
    let by_header = Request::get("/counters/counters/c-1").header("orderflow-position", later).body(Body::empty()).unwrap();
    assert_eq!(server.send(by_header).await.problem(504), "view-behind");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let server = Server::start().await;
    assert_eq!(server.get("/counters/counters/c-none").await.problem(404), "unknown-id");
    for path in ["/nothing", "/counters", "/counters/counters/c-1/explode", "/counters/counters/c-1/change/more", "//"] {
        let answer = server.get(path).await;
        let kind = answer.problem(404);
        assert_eq!((kind, answer.body["instance"].as_str()), ("no-such-resource", Some(path)));
    }
    let delete = Request::builder().method(Method::DELETE).uri("/counters/counters/c-1").body(Body::empty()).unwrap();
    let answer = server.send(delete).await;
    assert_eq!(answer.problem(405), "method-not-allowed");
    assert!(answer.header("allow").contains("GET"), "{answer:?}");
    assert_eq!(server.get("/counters/counters/c-1/change").await.problem(405), "method-not-allowed");
    assert_eq!(server.post("/health/live", "{}").await.problem(405), "method-not-allowed");
}

#[tokio::test]
async fn the_index_lists_every_route_and_health_is_plain() {
    let server = Server::start().await;
    let index = server.get("/").await;
    let routes: Vec<String> = index.body["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| format!("{} {}", route["method"].as_str().unwrap(), route["path"].as_str().unwrap()))
        .collect();
    assert_eq!(
        routes,
        [
            "POST /counters/counters",
            "POST /counters/counters/{id}/change",
            "PATCH /counters/counters/{id}/change",
            "GET /counters/counters/{id}",
            "GET /counters/counters",
            "GET /counters/owners/{id}/counters",
            "GET /health/live",
            "GET /health/ready"
        ]
    );
    assert_eq!(server.get("/health/live").await.body, json!({"status": "live"}));
    assert_eq!(server.get("/health/ready").await.body, json!({"status": "ready"}));
}

#[tokio::test]
async fn requests_are_told_by_their_route_and_never_by_an_id() {
    let server = Server::start().await;
    server.post("/counters/counters", json!({"counterId": "secret-id"})).await;
    server.get("/counters/counters/secret-id").await;
    server.get("/somewhere/secret-id").await;
    for text in ["route: \"/counters/counters/{id}\", status: 200", "route: \"/counters/counters\", status: 201", "route: \"unmatched\", status: 404"] {
        assert!(server.observer.has(text), "{text}");
    }
    let told = server.observer.all();
    assert!(told.iter().filter(|event| event.contains("RequestServed")).all(|event| !event.contains("secret-id")));
}

#[tokio::test]
async fn systems_that_contradict_themselves_are_not_served() {
    let server = Server::start().await;
    let log: std::sync::Arc<dyn fluvio_streams::log::Log> = server.log.clone();
    let serve = |change: fn(&mut fluvio_streams::system::System)| {
        let mut changed = system();
        change(&mut changed);
        let state = ApiState::new(log.clone(), vec![changed], server.store.clone(), server.observer.clone(), quick(), vec![], server.shutdown.clone());
        router(&state).expect_err("it is refused").to_string()
    };
    assert!(serve(|system| system.projections.clear()).contains("no projection"));
    assert!(serve(|system| system.views[0].filters = &["colour"]).contains("`colour`, which has no index"));
    assert!(serve(|system| system.commands.push(system.commands[0].clone())).contains("two routes POST /counters/counters"));
}
