//! The mask shop: orders that a delivery team takes before they are placed, couriers who bring them, and an inventory that follows.
//!
//! What it is: names ([`names`]) and the rules in which this business differs from others ([`orders`], [`inventory`]); what they share is in `business`. What it is not: it knows no clock,
//! randomness, Fluvio, database or HTTP; the runtime gives every step its time and takes its effects.
//!
//! A delivery that is completed before the inventory has found out that there was not enough stays completed: the pieces are gone. `StockShort` is then the news that somebody must count.

pub mod deliveries;
pub mod inventory;
pub mod limits;
pub mod names;
pub mod orders;

pub use business::{Config, ConfigError};
pub use orders::MaskShop;

use std::sync::Arc;

use fluvio_streams::system::{System, ViewSpec};

/// Returns the business, wired with these settings.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn system(config: &Config) -> Result<System, ConfigError> {
    let orders = ViewSpec { collection: "orders", filters: &["customerId", "productId", "status"], by_id: true, owned_by: &[] };
    let mut system = business::system::<MaskShop>(config, &[names::COURIERS], orders)?;
    system.topology.processors.push(inventory::spec(config.retention_ms));
    system.records.extend(inventory::message::records());
    // Where it is told that a restock has come in.
    system.outcome_topics.push(inventory::message::events());
    system.projections.push(Arc::new(deliveries::View));
    system.projections.push(Arc::new(inventory::view::View));
    system.views.push(ViewSpec { collection: names::COURIERS.collection, filters: &["customerId", "status"], by_id: true, owned_by: &[] });
    system.views.push(ViewSpec { collection: inventory::COLLECTION, filters: &[], by_id: true, owned_by: &[] });
    Ok(system)
}
