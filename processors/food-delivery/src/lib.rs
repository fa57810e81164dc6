//! Food delivery: orders, payments, store and delivery, notifications, and what people read of them.
//!
//! What it is: pure rules. What it is not: it knows no clock, randomness, Fluvio, database or HTTP; the runtime gives every step its time and takes its effects.
//!
//! Where to start reading: [`system`] (everything wired), then [`orders`] (the front and its payment step), [`payments`], [`store`], [`notifications`], [`views`].

pub mod commands;
mod config;
mod fields;
pub mod limits;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod store;
pub mod topics;
pub mod views;

pub use config::{Config, ConfigError};

use fluvio_streams::guard::Guard;
use fluvio_streams::system::System;
use fluvio_streams::topology::Topology;

/// Returns the business, wired with these settings.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn system(config: &Config) -> Result<System, ConfigError> {
    config.check()?;
    let guard = Guard::new(config.guard())?;
    Ok(System {
        name: topics::SYSTEM,
        topology: Topology {
            application: topics::SYSTEM.to_owned(),
            processors: vec![
                orders::spec(guard, config.retention_ms),
                payments::spec(config.retention_ms),
                store::spec(config.park_ms, config.retention_ms),
                notifications::spec(config.retention_ms),
            ],
        },
        commands_topic: topics::COMMANDS.to_owned(),
        commands: commands::specs(),
        outcome_topics: vec![topics::ORDERS_EVENTS.to_owned(), topics::REJECTIONS.to_owned(), topics::DEAD_LETTERS.to_owned()],
        outcome: commands::outcome,
        projections: views::projections(),
        views: views::specs(),
    })
}
