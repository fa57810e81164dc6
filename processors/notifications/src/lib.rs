//! Notifications: tells the customers of a business of every change of status, once, and hands each notification to a webhook if there is one.
//!
//! It only follows: nothing waits for it, no business knows it, and it can be taken away. What it is not: it sends nothing itself. A notification is an event in
//! `<system>-notifications-events`; its delivery is a call to an outside system of the name [`WEBHOOK`], which whoever runs the topology makes.
//!
//! Where to start reading: [`follow`], then [`processor`] (what customers are told), [`delivery`] (how it is handed on), [`sentences`] (the words).

pub mod delivery;
pub mod limits;
pub mod processor;
pub mod sentences;
pub mod view;

use std::marker::PhantomData;
use std::sync::Arc;

use business::Business;
use fluvio_streams::system::{System, ViewSpec};

use crate::limits::{RETENTION_MS, TRIES_MAX};

/// Name of the processor, and of the collection of its view.
pub const NAME: &str = "notifications";
/// Name of the outside system to which notifications are delivered.
pub const WEBHOOK: &str = "notification-webhook";

/// How notifications work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether there is a webhook to which notifications are delivered. Default: no.
    pub webhook: bool,
    /// How often a delivery is tried before it is given up, from 1. Default [`TRIES_MAX`].
    pub tries_max: u32,
    /// How long what was told of an aggregate is remembered after its end, in ms. Default 7 days.
    pub retention_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self { webhook: false, tries_max: TRIES_MAX, retention_ms: RETENTION_MS }
    }
}

/// Lets notifications follow a business: adds the processor, its view, and how that is served.
pub fn follow<B: Business>(system: &mut System, config: &Config) {
    system.topology.processors.push(processor::spec(&B::NAMES, config));
    system.records.extend(processor::records(&B::NAMES));
    system.projections.push(Arc::new(view::View::new(B::NAMES.system, Filters::<B>::LIST)));
    system.views.push(ViewSpec { collection: NAME, filters: Filters::<B>::LIST, by_id: false, owned_by: &[] });
}

/// The fields by which notifications of a business are listed.
struct Filters<B>(PhantomData<B>);

impl<B: Business> Filters<B> {
    const LIST: &'static [&'static str] = &["customerId", B::NAMES.id_field];
}
