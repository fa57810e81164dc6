//! Food delivery: orders that are paid before they are placed, and a store that cooks and delivers them.
//!
//! What it is: names ([`names`]) and the rules in which this business differs from others ([`orders`]); what they share is in `business`. What it is not: it knows no clock, randomness,
//! Fluvio, database or HTTP; the runtime gives every step its time and takes its effects.

pub mod limits;
pub mod names;
pub mod orders;

pub use business::{Config, ConfigError};
pub use orders::FoodDelivery;

use fluvio_streams::system::{System, ViewSpec};

/// Returns the business, wired with these settings.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn system(config: &Config) -> Result<System, ConfigError> {
    let orders = ViewSpec { collection: "orders", filters: &["customerId", "storeId", "status"], by_id: true, owned_by: &[("stores", "storeId")] };
    business::system::<FoodDelivery>(config, &[names::STORE], orders)
}
