//! Marketing: which items are popular, and what a customer may like, from the orders of food delivery.
//!
//! It only follows: nothing waits for it, no business knows it, and it can be taken away with everything that is its own (its topic files are in this crate). What it is not: it has no
//! business with who lives where, so it never gets it: the broker takes [`names::REDACTED`] out of every order before it sends it.
//!
//! | question | answered by | document |
//! |---|---|---|
//! | what is popular | tumbling windows by event time: [`sales`] counts and says when a window is over, [`popular`] ranks | one a window, `/food-delivery/popular-items` |
//! | what may this customer like | what they ordered most ([`customers`]), then what others who ordered the same also ordered ([`related`]) | `/food-delivery/recommendations/{customerId}` |
//!
//! A sale is an order that was placed; that it is cancelled later takes nothing back.
//!
//! Where to start reading: [`follow`], then [`processor`] (who gets which record), [`sales`].

pub mod config;
pub mod customers;
pub mod limits;
pub mod message;
pub mod names;
pub mod popular;
pub mod processor;
pub mod related;
pub mod sales;
pub mod schema;
pub mod view;

pub use config::{Config, ConfigError};

use std::sync::Arc;

use fluvio_streams::system::{System, ViewSpec};

/// The topics that only marketing has.
const TOPICS: [&str; 3] = [
    include_str!("../topics/food-delivery/item-sales.yaml"),
    include_str!("../topics/food-delivery/marketing-events.yaml"),
    include_str!("../topics/food-delivery/marketing-journal.yaml"),
];

/// Lets marketing follow food delivery: adds the processor, its topics, its views, and how they are served.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range, or the system that has no orders of items.
pub fn follow(system: &mut System, config: &Config) -> Result<(), ConfigError> {
    if system.name != names::SYSTEM {
        return Err(ConfigError::System(system.name));
    }
    system.topology.processors.push(processor::spec(config)?);
    system.follower_topics.extend(TOPICS);
    system.records.extend(schema::records());
    system.projections.push(Arc::new(view::PopularItems));
    system.projections.push(Arc::new(view::Recommendations));
    system.views.push(ViewSpec { collection: view::POPULAR_ITEMS, filters: &["status"], by_id: true, owned_by: &[] });
    system.views.push(ViewSpec { collection: view::RECOMMENDATIONS, filters: &[], by_id: true, owned_by: &[] });
    Ok(())
}
