//! What else those customers ordered who ordered an item.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fluvio_streams::processor::Context;
use fluvio_streams::state::StateError;
use fluvio_streams::topology::StoreSpec;

use crate::limits::RELATED_ITEMS_MAX;
use crate::message::{Found, Related, Wanted};
use crate::names;

/// Customers by other item, by item.
const STORE: &str = "related";

type Others = BTreeMap<String, i64>;

/// Returns its store.
pub(crate) fn store() -> StoreSpec {
    StoreSpec::of::<Others>(STORE).keyed_by("item")
}

/// Counts one customer who ordered the item and others.
pub(crate) fn add(item: &str, related: &Related, cx: &mut Context<'_>) -> Result<(), StateError> {
    let mut others: Others = cx.get(STORE, item)?.unwrap_or_default();
    for other in &related.others {
        if others.len() >= RELATED_ITEMS_MAX && !others.contains_key(other) {
            // The rarest gives way, so that what becomes popular has a chance; of several the last by name.
            let rarest = others.iter().min_by_key(|(name, customers)| (**customers, Reverse(*name))).map(|(name, _)| name.clone());
            rarest.map(|rarest| others.remove(&rarest));
        }
        *others.entry(other.clone()).or_default() += 1;
    }
    cx.put(STORE, item, &others);
    Ok(())
}

/// Tells somebody what is known, most customers first.
pub(crate) fn tell(item: &str, wanted: &Wanted, cx: &mut Context<'_>) -> Result<(), StateError> {
    let others: Others = cx.get(STORE, item)?.unwrap_or_default();
    let mut others: Vec<(String, i64)> = others.into_iter().collect();
    others.sort_by_key(|(_, customers)| Reverse(*customers));
    cx.emit(&names::sales(), names::RELATED_FOUND, &wanted.customer_id, &Found { item: item.to_owned(), others });
    Ok(())
}
