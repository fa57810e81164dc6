//! Which businesses there are. Adding one is a line in [`all`]; removing one is deleting it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use business::PartnerNames;
use fluvio_streams::runtime::CallHandler;
use fluvio_streams::system::System;

use crate::config::Config;
use crate::delivery_desk::DeliveryDesk;
use crate::provider::PaymentProvider;
use crate::telemetry::Telemetry;
use crate::webhook::Webhook;

/// Returns the businesses with their default settings.
///
/// # Errors
/// If the settings of one do not work.
pub(crate) fn all() -> anyhow::Result<Vec<System>> {
    configured(&Config::ephemeral())
}

/// Returns the businesses as an instance with these settings runs them.
///
/// # Errors
/// If the settings of one do not work.
pub(crate) fn configured(config: &Config) -> anyhow::Result<Vec<System>> {
    let settings = |names: &business::Names| config.business.get(names.system).cloned().unwrap_or_default();
    let mut food_delivery = food_delivery::system(&settings(&food_delivery::names::NAMES)).context("--config: food-delivery cannot work with its settings")?;
    let mut movie_booking = movie_booking::system(&settings(&movie_booking::names::NAMES)).context("--config: movie-booking cannot work with its settings")?;
    let mut mask_shop = mask_shop::system(&settings(&mask_shop::names::NAMES)).context("--config: mask-shop cannot work with its settings")?;
    // Who only follows: any of these lines can be taken away.
    let told = crate::webhook::notifications(config.webhook.as_ref());
    notifications::follow::<food_delivery::FoodDelivery>(&mut food_delivery, &told);
    notifications::follow::<movie_booking::MovieBooking>(&mut movie_booking, &told);
    notifications::follow::<mask_shop::MaskShop>(&mut mask_shop, &told);
    marketing::follow(&mut food_delivery, &marketing::Config::default()).context("marketing cannot work with its settings")?;
    let systems = vec![food_delivery, movie_booking, mask_shop];
    let known: Vec<&str> = systems.iter().map(|system| system.name).collect();
    match config.business.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => bail!("--config: there is no business `{unknown}`; there are {}", known.join(", ")),
        None => Ok(systems),
    }
}

/// The outside systems that an instance calls.
pub(crate) struct Outside {
    payments: Arc<PaymentProvider>,
    delivery_desk: Arc<dyn CallHandler>,
    webhook: Arc<dyn CallHandler>,
}

impl Outside {
    /// Returns them. A simulated payment provider keeps its ledger in the file at `ledger`.
    ///
    /// # Errors
    /// If the settings of one do not work.
    pub(crate) fn new(config: &Config, ledger: &Path, telemetry: &Telemetry) -> anyhow::Result<Self> {
        let payments = PaymentProvider::new(&config.payment, config.payment_profile.into(), ledger, Arc::clone(&telemetry.provider))?;
        let delivery_desk = Arc::new(DeliveryDesk::new(config.delivery_profile.into()));
        let webhook = Webhook::new(config.webhook.as_ref(), Arc::clone(&telemetry.webhook))?;
        Ok(Self { payments: Arc::new(payments), delivery_desk, webhook: Arc::new(webhook) })
    }

    /// Returns who handles the calls to them, by target.
    pub(crate) fn handlers(&self) -> BTreeMap<String, Arc<dyn CallHandler>> {
        let payments: (_, Arc<dyn CallHandler>) = (PartnerNames::PAYMENTS.provider.to_owned(), Arc::clone(&self.payments) as _);
        let delivery_desk = (mask_shop::names::DELIVERY.provider.to_owned(), Arc::clone(&self.delivery_desk));
        BTreeMap::from([payments, delivery_desk, (notifications::WEBHOOK.to_owned(), Arc::clone(&self.webhook))])
    }

    /// Returns what the simulated ones show of themselves.
    pub(crate) fn router(&self) -> Router {
        Router::new().nest("/payment-provider", self.payments.router())
    }
}
