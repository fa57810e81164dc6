//! The routes, from the data of the systems.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch, post};
use fluvio_streams::system::{CommandSpec, ViewSpec};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::command::{self, CommandRoute};
use super::gateway::Gateway;
use super::health::{self, Readiness, ReadyCheck};
use super::leftover;
use super::problem::{self, INTERNAL, MALFORMED, NO_ROUTE, Problem};
use super::read::{self, RawQuery, ViewRoute};
use super::{ApiState, json_response};
use crate::telemetry::{Event, Observer};
use crate::view::View;

/// Why systems cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A view is served that no projection fills.
    #[error("system `{system}` serves `{collection}`, which no projection fills")]
    NoProjection {
        /// System.
        system: String,
        /// Collection.
        collection: String,
    },
    /// A list is filtered by a field that has no index.
    #[error("system `{system}` filters `{collection}` by `{field}`, which has no index")]
    NoIndex {
        /// System.
        system: String,
        /// Collection.
        collection: String,
        /// Field.
        field: String,
    },
    /// Two commands or views have the same method and path.
    #[error("there are two routes {route}")]
    Twice {
        /// Method and path.
        route: String,
    },
}

/// Collects routes, and what the index says about them.
struct Routes {
    router: Router,
    seen: BTreeSet<String>,
    index: Vec<Value>,
}

impl Routes {
    fn add(&mut self, method: &str, path: &str, what: &str, handler: MethodRouter) -> Result<(), RouteError> {
        let route = format!("{method} {path}");
        if !self.seen.insert(route.clone()) {
            return Err(RouteError::Twice { route });
        }
        self.index.push(json!({ "method": method, "path": path, "what": what }));
        self.router = std::mem::take(&mut self.router).route(path, handler);
        Ok(())
    }
}

/// Returns the router: nothing is served yet.
///
/// # Errors
/// [`RouteError`] if the data of the systems contradict themselves.
pub fn router(api: &ApiState) -> Result<Router, RouteError> {
    let mut routes = Routes { router: Router::new(), seen: BTreeSet::new(), index: Vec::new() };
    for gateway in &api.gateways {
        for spec in &gateway.system.commands {
            add_command(&mut routes, api, gateway, spec)?;
        }
        for spec in &gateway.system.views {
            add_view(&mut routes, api, gateway, spec)?;
        }
    }
    finished(routes, Readiness::of(api), Arc::clone(&api.observer))
}

/// Returns the router of a process that serves no systems: it tells its health and nothing else.
///
/// # Errors
/// [`RouteError`] if its routes contradict themselves.
pub fn health_router(checks: Vec<Arc<dyn ReadyCheck>>, observer: Arc<dyn Observer>, shutdown: CancellationToken) -> Result<Router, RouteError> {
    let routes = Routes { router: Router::new(), seen: BTreeSet::new(), index: Vec::new() };
    finished(routes, Readiness::new(checks, shutdown), observer)
}

/// Adds what every process serves.
fn finished(mut routes: Routes, readiness: Readiness, observer: Arc<dyn Observer>) -> Result<Router, RouteError> {
    routes.add("GET", "/health/live", "whether the process is alive", get(health::live))?;
    routes.add("GET", "/health/ready", "whether it can serve", get(move || health::ready(readiness.clone())))?;
    let index = json!({ "routes": routes.index });
    let root = get(async move || json_response(StatusCode::OK, &index));
    Ok(routes
        .router
        .route("/", root)
        .fallback(no_route)
        .layer(CatchPanicLayer::custom(|_| Problem::new(INTERNAL, "a defect of the server; the request was not finished").into_response()))
        .layer(from_fn(move |request, next| finish(Arc::clone(&observer), request, next)))
        .layer(from_fn(leftover::read)))
}

fn view_of(gateway: &Gateway, collection: &str) -> Option<View> {
    let projection = gateway.system.projections.iter().find(|projection| projection.collection() == collection)?;
    Some(View::of(gateway.system.name, projection.as_ref()))
}

fn add_command(routes: &mut Routes, api: &ApiState, gateway: &Arc<Gateway>, spec: &CommandSpec) -> Result<(), RouteError> {
    let has_location = gateway.system.views.iter().any(|view| view.collection == spec.collection && view.by_id);
    let route = CommandRoute { gateway: Arc::clone(gateway), spec: spec.clone(), view: view_of(gateway, spec.collection), has_location };
    let (api, route) = (api.clone(), Arc::new(route));
    let collection = format!("/{}/{}", gateway.system.name, spec.collection);
    let Some(verb) = spec.verb else {
        let create = post(move |request: Request| command::handle(api.clone(), Arc::clone(&route), None, request));
        return routes.add("POST", &collection, spec.kind, create);
    };
    let path = format!("{collection}/{{id}}/{verb}");
    let handler = async move |id: Result<Path<String>, PathRejection>, request: Request| -> Result<Response, Problem> {
        command::handle(api.clone(), Arc::clone(&route), Some(path_id(id)?), request).await
    };
    routes.add("POST", &path, spec.kind, post(handler.clone()))?;
    routes.add("PATCH", &path, spec.kind, patch(handler))
}

fn add_view(routes: &mut Routes, api: &ApiState, gateway: &Arc<Gateway>, spec: &ViewSpec) -> Result<(), RouteError> {
    let (system, collection) = (gateway.system.name, spec.collection);
    let no_projection = || RouteError::NoProjection { system: system.to_owned(), collection: collection.to_owned() };
    let view = view_of(gateway, collection).ok_or_else(no_projection)?;
    let fields = spec.filters.iter().chain(spec.owned_by.iter().map(|(_, field)| field));
    if let Some(field) = fields.into_iter().find(|field| !view.indexes.iter().any(|index| index == *field)) {
        return Err(RouteError::NoIndex { system: system.to_owned(), collection: collection.to_owned(), field: (*field).to_owned() });
    }
    let route = |owner_field| Arc::new(ViewRoute { gateway: Arc::clone(gateway), view: view.clone(), filters: spec.filters, owner_field });
    let path = format!("/{system}/{collection}");
    if spec.by_id {
        let (api, route) = (api.clone(), route(None));
        let one = async move |id: Result<Path<String>, PathRejection>, headers: HeaderMap, query: RawQuery| -> Result<Response, Problem> {
            read::one(api.clone(), Arc::clone(&route), path_id(id)?, headers, query).await
        };
        routes.add("GET", &format!("{path}/{{id}}"), "one document", get(one))?;
    }
    let all = {
        let (api, route) = (api.clone(), route(None));
        get(move |headers: HeaderMap, query: RawQuery| read::list(api.clone(), Arc::clone(&route), None, headers, query))
    };
    routes.add("GET", &path, &listed(spec.filters), all)?;
    for (owners, field) in spec.owned_by {
        let (api, route) = (api.clone(), route(Some(*field)));
        let owned = async move |id: Result<Path<String>, PathRejection>, headers: HeaderMap, query: RawQuery| -> Result<Response, Problem> {
            read::list(api.clone(), Arc::clone(&route), Some(path_id(id)?), headers, query).await
        };
        routes.add("GET", &format!("/{system}/{owners}/{{id}}/{collection}"), &listed(spec.filters), get(owned))?;
    }
    Ok(())
}

fn listed(filters: &[&str]) -> String {
    let parameters: Vec<&str> = filters.iter().chain(&["limit", "cursor"]).copied().collect();
    format!("list; parameters {}", parameters.join(", "))
}

fn path_id(id: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    id.map(|Path(id)| id).map_err(|rejection| Problem::new(MALFORMED, rejection.body_text()))
}

async fn no_route(request: Request) -> Problem {
    Problem::new(NO_ROUTE, format!("there is nothing at `{}`; `GET /` lists what there is", request.uri().path()))
}

/// The outermost layer: gives errors their bodies, and tells of the request by its route's template.
async fn finish(observer: Arc<dyn Observer>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = label(request.method());
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = problem::render(next.run(request).await, &path);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    observer.observe(Event::RequestServed { method, route, status: response.status().as_u16(), elapsed: started.elapsed() });
    response
}

/// Methods that are labels; anybody may invent others.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
