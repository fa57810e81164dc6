//! Serves documents and lists, on request not before the view includes a position.

use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::system::FieldError;
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::problem::{BEHIND, MALFORMED, OVERLOADED, Problem, UNAVAILABLE, UNKNOWN};
use super::{ApiState, POSITION, json_response};
use crate::limits::{PAGE_DOCUMENTS_DEFAULT, PAGE_DOCUMENTS_MAX};
use crate::store::{Cursor, ListQuery, StoreError};
use crate::view::View;

/// Query parameters as they were sent.
pub(super) type RawQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A view as it is served.
pub(super) struct ViewRoute {
    pub(super) gateway: Arc<Gateway>,
    pub(super) view: View,
    /// Fields by which a list may be filtered.
    pub(super) filters: &'static [&'static str],
    /// Field that the path's id filters by, for lists that belong to a member of another collection.
    pub(super) owner_field: Option<&'static str>,
}

/// Answers `GET /<system>/<collection>/{id}`.
pub(super) async fn one(api: ApiState, route: Arc<ViewRoute>, id: String, headers: HeaderMap, query: RawQuery) -> Result<Response, Problem> {
    let _admitted = admit(&api)?;
    let parameters = Parameters::read(query, &["min_position", "min_offset"])?;
    wait(&api, &route, &parameters, &headers, Some(&id)).await?;
    let document = api.store.get(&route.view, std::slice::from_ref(&id)).await.map_err(|error| unavailable(&error))?.pop();
    let Some(document) = document else {
        return Err(Problem::new(UNKNOWN, format!("there is no `{id}` among the {} of {}", route.view.collection, route.view.system)));
    };
    let mut response = json_response(StatusCode::OK, &document.value);
    let position = format!("{}/{}/{}", route.view.topic, document.partition, document.offset);
    if let Ok(value) = HeaderValue::from_str(&position) {
        response.headers_mut().insert(POSITION, value);
    }
    Ok(response)
}

/// Answers `GET /<system>/<collection>` and `GET /<system>/<owners>/{id}/<collection>`: newest first.
pub(super) async fn list(api: ApiState, route: Arc<ViewRoute>, owner: Option<String>, headers: HeaderMap, query: RawQuery) -> Result<Response, Problem> {
    let _admitted = admit(&api)?;
    let allowed: Vec<&str> = ["limit", "cursor", "min_position"].iter().chain(route.filters).copied().collect();
    let parameters = Parameters::read(query, &allowed)?;
    let owned = route.owner_field.zip(owner).map(|(field, id)| (field.to_owned(), id));
    let filters = route.filters.iter().filter_map(|field| parameters.get(field).map(|text| ((*field).to_owned(), text.to_owned())));
    let query = ListQuery { filters: owned.into_iter().chain(filters).collect(), limit: parameters.limit()?, after: parameters.cursor()? };
    wait(&api, &route, &parameters, &headers, None).await?;
    let page = api.store.list(&route.view, &query).await.map_err(|error| unavailable(&error))?;
    let items: Vec<Value> = page.documents.into_iter().map(|document| document.value).collect();
    let mut body = json!({ "items": items });
    if let Some(next) = page.next {
        body["nextCursor"] = next.to_string().into();
    }
    Ok(json_response(StatusCode::OK, &body))
}

fn admit(api: &ApiState) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
    api.reads_in_flight.try_acquire().map_err(|_| Problem::new(OVERLOADED, "too many reads are under way: try again"))
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "view cannot be read");
    Problem::new(UNAVAILABLE, error.to_string())
}

/// Waits until the view includes the position that the reader asks for, if any.
async fn wait(api: &ApiState, route: &ViewRoute, parameters: &Parameters, headers: &HeaderMap, id: Option<&str>) -> Result<(), Problem> {
    let in_header = headers.get(POSITION).map(|value| value.to_str().map_err(|_| wrong("Orderflow-Position", "it is not a position"))).transpose()?;
    let position = parameters.get("min_position").or(in_header);
    let offset = parameters.get("min_offset");
    if position.is_none() && offset.is_none() {
        return Ok(());
    }
    let connected = route.gateway.connected().map_err(|why| Problem::new(UNAVAILABLE, format!("positions are not known yet: {why}")))?;
    let partitions = connected.partitions(&route.view.topic);
    let wanted = position.map(|text| parse_position(text, &route.view, partitions)).transpose()?;
    let by_offset = match (offset, id) {
        (Some(text), Some(id)) if partitions > 0 => {
            let offset = text.parse::<i64>().ok().filter(|offset| *offset >= 0).ok_or_else(|| wrong("min_offset", "it must be an offset"))?;
            Some((partition_for(id.as_bytes(), partitions), offset))
        }
        _ => None,
    };
    for (partition, offset) in wanted.into_iter().chain(by_offset) {
        let arrived = api.store.wait_for(&route.view, partition, offset, api.options.position_timeout).await.map_err(|error| unavailable(&error))?;
        if !arrived {
            let detail = format!("{} does not include {}/{partition}/{offset} yet", route.view.name(), route.view.topic);
            return Err(Problem::new(BEHIND, detail));
        }
    }
    Ok(())
}

/// Reads `<topic>/<partition>/<offset>`, which must be of the view's topic.
fn parse_position(text: &str, view: &View, partitions: u32) -> Result<(u32, i64), Problem> {
    let parts: Vec<&str> = text.split('/').collect();
    let (&[topic, partition, offset], example) = (parts.as_slice(), format!("{}/0/17", view.topic)) else {
        return Err(wrong("min_position", &format!("it must look like `{}/0/17`", view.topic)));
    };
    if topic != view.topic {
        return Err(wrong("min_position", &format!("it is a position of `{topic}`, this view follows `{}`", view.topic)));
    }
    match (partition.parse::<u32>(), offset.parse::<i64>()) {
        (Ok(partition), Ok(offset)) if partition < partitions && offset >= 0 => Ok((partition, offset)),
        _ => Err(wrong("min_position", &format!("it must look like `{example}`, and the topic has {partitions} partitions"))),
    }
}

/// The query parameters, each known and there once.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: RawQuery, allowed: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = query.map_err(|rejection| Problem::new(MALFORMED, rejection.body_text()))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !allowed.contains(&name.as_str()) {
                return Err(wrong(name, &format!("it is not a parameter here; there are {}", allowed.join(", "))));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(wrong(name, "it is there twice"));
            }
        }
        Ok(Self(pairs))
    }

    /// Returns a parameter; an empty one counts as absent.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(PAGE_DOCUMENTS_DEFAULT) };
        let limit = text.parse::<usize>().ok().filter(|limit| (1..=PAGE_DOCUMENTS_MAX).contains(limit));
        limit.ok_or_else(|| wrong("limit", &format!("it must be 1 to {PAGE_DOCUMENTS_MAX}")))
    }

    fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        self.get("cursor").map(|text| text.parse().map_err(|error| wrong("cursor", &format!("{error}")))).transpose()
    }
}

fn wrong(parameter: &str, detail: &str) -> Problem {
    Problem::field(MALFORMED, &FieldError { field: parameter.to_owned(), detail: detail.to_owned() })
}
