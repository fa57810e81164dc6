//! What a customer may like: first what they ordered most, then what others who ordered that also ordered.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fluvio_streams::processor::Context;
use fluvio_streams::state::StateError;
use fluvio_streams::topology::StoreSpec;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limits::{CUSTOMER_ITEMS_MAX, FAVOURITES_MAX, RELATED_AT_ONCE_MAX, SUGGESTIONS_MAX};
use crate::message::{Favourite, Found, Ordered, Recommendations, Related, Suggestion, Wanted};
use crate::names;

/// What customers ordered.
const STORE: &str = "customers";

/// Returns its store.
pub(crate) fn store() -> StoreSpec {
    StoreSpec::of::<Customer>(STORE).keyed_by("customerId")
}

/// Recommendations are told.
pub const RECOMMEND_TIMER: &str = "recommend";
/// A customer is forgotten.
pub const RETENTION_TIMER: &str = "customer";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Customer {
    items: BTreeMap<String, Bought>,
    /// What others also ordered, by favourite.
    related: BTreeMap<String, Asked>,
    last_ms: i64,
    /// Whether the recommend timer is set.
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Bought {
    times: i64,
    last_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    asked_ms: i64,
    others: Vec<(String, i64)>,
}

impl Customer {
    /// Returns the items, the most ordered first; of those that were ordered as often, the latest.
    fn ranked(&self) -> Vec<(&String, Bought)> {
        let mut items: Vec<(&String, Bought)> = self.items.iter().map(|(item, bought)| (item, *bought)).collect();
        items.sort_by_key(|(_, bought)| (Reverse(bought.times), Reverse(bought.last_ms)));
        items
    }

    fn changed(&mut self, config: &Config, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
        if self.is_changed {
            return Ok(());
        }
        self.is_changed = true;
        cx.set_timer(RECOMMEND_TIMER, id, cx.now_ms().saturating_add(config.publish_ms))
    }
}

/// Takes what a customer has ordered.
pub(crate) fn ordered(config: &Config, id: &str, ordered: &Ordered, cx: &mut Context<'_>) -> Result<(), StateError> {
    let now_ms = cx.now_ms();
    let stored: Option<Customer> = cx.get(STORE, id)?;
    if stored.is_none() {
        cx.set_timer(RETENTION_TIMER, id, now_ms.saturating_add(config.customer_retention_ms))?;
    }
    let mut customer = stored.unwrap_or_default();
    relate(&customer, &ordered.items, cx);
    customer.last_ms = now_ms;
    for item in &ordered.items {
        let bought = customer.items.entry(item.clone()).or_insert(Bought { times: 0, last_ms: now_ms });
        *bought = Bought { times: bought.times + 1, last_ms: now_ms };
    }
    let forgotten: Vec<String> = customer.ranked().into_iter().skip(CUSTOMER_ITEMS_MAX).map(|(item, _)| item.clone()).collect();
    customer.items.retain(|item, _| !forgotten.contains(item));
    customer.changed(config, id, cx)?;
    cx.put(STORE, id, &customer);
    Ok(())
}

/// Tells each pair of items that this customer has not had together before, to both: so a pair counts customers, not orders.
fn relate(customer: &Customer, items: &[String], cx: &mut Context<'_>) {
    let new: Vec<&String> = items.iter().filter(|item| !customer.items.contains_key(*item)).take(RELATED_AT_ONCE_MAX).collect();
    let known: Vec<&String> = customer.ranked().into_iter().map(|(item, _)| item).take(RELATED_AT_ONCE_MAX).collect();
    let mut tell = |item: &String, others: Vec<String>| {
        if !others.is_empty() {
            cx.emit(&names::sales(), names::ITEMS_RELATED, item, &Related { others });
        }
    };
    for item in &new {
        tell(item, known.iter().chain(&new).filter(|other| *other != item).map(|other| (*other).clone()).collect());
    }
    for item in known {
        tell(item, new.iter().map(|other| (*other).clone()).collect());
    }
}

/// Tells what the customer may like, and asks about favourites of which little or nothing is known.
pub(crate) fn recommend(config: &Config, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
    let Some(mut customer) = cx.get::<Customer>(STORE, id)? else { return Ok(()) };
    customer.is_changed = false;
    let now_ms = cx.now_ms();
    let ranked: Vec<Favourite> =
        customer.ranked().into_iter().take(SUGGESTIONS_MAX).map(|(item, bought)| Favourite { item: item.clone(), times: bought.times }).collect();
    let favourites = &ranked[..ranked.len().min(FAVOURITES_MAX)];
    customer.related.retain(|item, _| favourites.iter().any(|favourite| favourite.item == *item));
    for Favourite { item, .. } in favourites {
        let asked = customer.related.entry(item.clone()).or_insert(Asked { asked_ms: i64::MIN, others: Vec::new() });
        if asked.asked_ms.saturating_add(config.refresh_ms) <= now_ms {
            asked.asked_ms = now_ms;
            cx.emit(&names::sales(), names::RELATED_WANTED, item, &Wanted { customer_id: id.to_owned() });
        }
    }
    let suggestions = suggestions(&customer, favourites);
    let recommendations = Recommendations { customer_id: id.to_owned(), favourites: ranked, suggestions };
    cx.emit(&names::events(), names::RECOMMENDATIONS_CHANGED, id, &recommendations);
    cx.put(STORE, id, &customer);
    Ok(())
}

/// What most of those also ordered who ordered a favourite; an item that several favourites suggest is suggested because of the one with most customers.
fn suggestions(customer: &Customer, favourites: &[Favourite]) -> Vec<Suggestion> {
    let mut best: BTreeMap<&String, (i64, &String)> = BTreeMap::new();
    for favourite in favourites {
        let others = customer.related.get(&favourite.item).map(|asked| asked.others.as_slice()).unwrap_or_default();
        for (item, customers) in others.iter().filter(|(item, _)| !customer.items.contains_key(item)) {
            let known = best.entry(item).or_insert((*customers, &favourite.item));
            if *customers > known.0 {
                *known = (*customers, &favourite.item);
            }
        }
    }
    let mut suggestions: Vec<Suggestion> =
        best.into_iter().map(|(item, (customers, because))| Suggestion { item: item.clone(), because: because.clone(), customers }).collect();
    suggestions.sort_by_key(|suggestion| Reverse(suggestion.customers));
    suggestions.truncate(SUGGESTIONS_MAX);
    suggestions
}

/// Takes the answer about a favourite.
pub(crate) fn found(config: &Config, id: &str, found: Found, cx: &mut Context<'_>) -> Result<(), StateError> {
    let Some(mut customer) = cx.get::<Customer>(STORE, id)? else { return Ok(()) };
    let Some(asked) = customer.related.get_mut(&found.item) else { return Ok(()) };
    if asked.others != found.others {
        asked.others = found.others;
        customer.changed(config, id, cx)?;
        cx.put(STORE, id, &customer);
    }
    Ok(())
}

/// Forgets a customer who has not ordered for long, and says so, for the view does not forget by itself.
pub(crate) fn forget(config: &Config, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
    let Some(customer) = cx.get::<Customer>(STORE, id)? else { return Ok(()) };
    let due_ms = customer.last_ms.saturating_add(config.customer_retention_ms);
    if cx.now_ms() < due_ms {
        return cx.set_timer(RETENTION_TIMER, id, due_ms);
    }
    cx.delete(STORE, id);
    cx.cancel_timer(RECOMMEND_TIMER, id)?;
    let nothing = Recommendations { customer_id: id.to_owned(), favourites: Vec::new(), suggestions: Vec::new() };
    cx.emit(&names::events(), names::RECOMMENDATIONS_CHANGED, id, &nothing);
    Ok(())
}
