//! Movie booking: seats that are held before they are paid, and tickets for those that are.
//!
//! What it is: names ([`names`]), the rules in which this business differs from others ([`bookings`]), who has which seat ([`seats`]) and who has a ticket ([`tickets`]); what businesses
//! share is in `business`. What it is not: it knows no clock, randomness, Fluvio, database or HTTP; the runtime gives every step its time and takes its effects.

pub mod bookings;
pub mod limits;
pub mod names;
pub mod seats;
pub mod tickets;

pub use bookings::MovieBooking;
pub use business::{Config, ConfigError};

use std::sync::Arc;

use fluvio_streams::system::{System, ViewSpec};

/// Returns the business, wired with these settings.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn system(config: &Config) -> Result<System, ConfigError> {
    let bookings = ViewSpec { collection: "bookings", filters: &["customerId", "showingId", "status"], by_id: true, owned_by: &[] };
    let mut system = business::system::<MovieBooking>(config, &[names::TICKETS], bookings)?;
    system.topology.processors.push(seats::spec());
    system.records.extend(seats::records());
    system.projections.push(Arc::new(seats::View));
    system.views.push(ViewSpec { collection: "seats", filters: &["showingId", "status"], by_id: false, owned_by: &[("showings", "showingId")] });
    system.projections.push(Arc::new(tickets::View));
    system.views.push(ViewSpec { collection: "tickets", filters: &["status"], by_id: true, owned_by: &[] });
    Ok(system)
}
