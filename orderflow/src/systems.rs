//! Which businesses there are. Adding one is a line in [`all`]; removing one is deleting it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use fluvio_streams::runtime::CallHandler;
use fluvio_streams::system::System;

use crate::config::PaymentProfile;
use crate::provider::PaymentProvider;
use crate::telemetry::ProviderMeters;

/// Returns the businesses with their default settings.
///
/// # Errors
/// If the settings of one do not work.
pub(crate) fn all() -> anyhow::Result<Vec<System>> {
    Ok(vec![food_delivery::system(&food_delivery::Config::default()).context("food-delivery cannot work with its settings")?])
}

/// Returns who handles the calls to outside systems, by target.
pub(crate) fn call_handlers(profile: PaymentProfile, meters: &Arc<ProviderMeters>) -> BTreeMap<String, Arc<dyn CallHandler>> {
    let provider: Arc<dyn CallHandler> = Arc::new(PaymentProvider::new(profile, Arc::clone(meters)));
    BTreeMap::from([(food_delivery::names::NAMES.partner.provider.to_owned(), provider)])
}
