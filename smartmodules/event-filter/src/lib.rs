//! SmartModule `event-filter`: passes the records of some types or of one subject, for people and programs outside.
//!
//! `fluvio consume food-delivery-orders-events --smartmodule event-filter -e types=OrderPlaced`
//!
//! Parameters, at least one of them; a record passes if it meets all that are given: `types=A,B` (its type is listed),
//! `except=A,B` (its type is not listed), `subject=o-1` (a CloudEvent's `subject`, or a command's `orderId`).
//!
//! It is not for subscriptions between processors: behind a filter Fluvio's offsets are wrong; see `thin-map`.
//! What passes is decided in the crate `routing`; this one only ties it to Fluvio.

use std::sync::OnceLock;

use fluvio_smartmodule::{Result, SmartModuleRecord, dataplane::smartmodule::SmartModuleExtraParams, eyre, smartmodule};
use routing::Filter;

static FILTER: OnceLock<Filter> = OnceLock::new();

#[smartmodule(init)]
fn init(params: SmartModuleExtraParams) -> Result<()> {
    let param = |name| params.get(name).map(String::as_str);
    let filter = Filter::from_params(param("types"), param("except"), param("subject")).map_err(|error| eyre!("event-filter: {error}"))?;
    FILTER.set(filter).map_err(|_| eyre!("event-filter: initialised twice"))
}

#[smartmodule(filter)]
fn filter(record: &SmartModuleRecord) -> Result<bool> {
    Ok(FILTER.get().is_none_or(|filter| filter.passes(record.value().as_ref())))
}
