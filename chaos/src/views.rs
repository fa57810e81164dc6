//! Reads whole views over HTTP, page by page.

use serde_json::Value;

use crate::error::{Doing as _, Error};
use crate::ledger::SYSTEM;
use crate::limits::PAGE;

/// Returns all documents of a collection.
pub(crate) async fn all(client: &reqwest::Client, api: &str, collection: &str) -> Result<Vec<Value>, Error> {
    let (mut documents, mut cursor) = (Vec::new(), String::new());
    loop {
        let url = format!("http://{api}/{SYSTEM}/{collection}?limit={PAGE}{cursor}");
        let answer = client.get(&url).send().await.and_then(reqwest::Response::error_for_status).doing(|| format!("GET {url}"))?;
        let page: Value = answer.json().await.doing(|| format!("GET {url}"))?;
        documents.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(documents),
        }
    }
}
