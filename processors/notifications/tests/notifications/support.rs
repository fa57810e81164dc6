//! A tea house: as little of a business as there can be, and nobody wrote sentences for it.

use business::fields::Fields;
use business::{Business, Config, FollowerNames, Names, Opening, PartnerNames, Stage, StageCommand, words};
use fluvio_streams::system::{FieldError, System, ViewSpec};
use serde_json::Map;

pub(crate) const NOTIFICATIONS_EVENTS: &str = "tea-house-notifications-events";
pub(crate) const CUPS_EVENTS: &str = "tea-house-cups-events";
pub(crate) const DEAD_LETTERS: &str = "tea-house-dead-letters";

#[derive(Debug)]
pub(crate) struct TeaHouse;

impl Business for TeaHouse {
    type Details = ();

    const NAMES: Names = Names {
        system: "tea-house",
        collection: "cups",
        id_field: "cupId",
        id_prefix: "c",
        amount_field: Some("price"),
        open: "OrderCup",
        retry: Some(("PayCup", "pay")),
        cancel: "CancelCup",
        words: words!("Cup", "Payment", established: "CupOrdered", undone: "CupRefunded", already_established: "CupAlreadyPaid"),
        stages: &[Stage { status: "Ordered", event: "", too_late: None }, Stage { status: "Served", event: "CupServed", too_late: Some("CupAlreadyServed") }],
        partner: PartnerNames::PAYMENTS,
        totals: Names::PAYMENT_TOTALS,
    };

    fn open(fields: Fields<'_>) -> Result<Opening<()>, FieldError> {
        let customer_id = fields.identifier("customerId")?.unwrap_or("guest").to_owned();
        Ok(Opening { customer_id, amount: fields.integer("price", 0, 1_000)?.unwrap_or(1), details: (), told: Map::new() })
    }
}

const WAITER: FollowerNames = FollowerNames {
    processor: "waiter",
    events: "waiter",
    collection: "cups",
    title: "the waiter",
    opened: None,
    cancelled: &["ServingCancelled"],
    not_established: "CupNotOrdered",
    overloaded: "WaiterOverloaded",
    totals: &["waiter_commands_parked"],
    commands: &[StageCommand {
        kind: "ServeCup",
        verb: "serve",
        event: "CupServed",
        stage: 0,
        missing: "CupNotServed",
        taken: "CupAlreadyServed",
        declines: None,
    }],
};

/// The tea house with customers who are told.
pub(crate) fn tea_house(config: &Config, told: &notifications::Config) -> System {
    let cups = ViewSpec { collection: "cups", filters: &["customerId"], by_id: true, owned_by: &[] };
    let mut system = business::system::<TeaHouse>(config, &[WAITER], cups).unwrap_or_else(|error| panic!("{error}"));
    notifications::follow::<TeaHouse>(&mut system, told);
    system
}
