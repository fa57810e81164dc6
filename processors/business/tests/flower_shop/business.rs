//! A flower shop: bouquets that are paid before a florist ties them. `docs/adding-a-business.md` leads through this file.

use ::business::fields::Fields;
use ::business::limits::AMOUNT_WON_MAX;
use ::business::schema::{Described, Object, free_text, id, won};
use ::business::{Business, Config, ConfigError, FollowerNames, Names, Opening, PartnerNames, Stage, StageCommand, words};
use fluvio_streams::system::{FieldError, System, ViewSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

/// Who ties what is paid, and hands it over.
const FLORIST: FollowerNames = FollowerNames {
    processor: "florist",
    events: "florist",
    collection: "bouquets",
    title: "the florist",
    opened: None,
    cancelled: &["BouquetTakenApart"],
    not_established: "BouquetNotOrdered",
    overloaded: "FloristOverloaded",
    totals: &["florist_commands_parked"],
    commands: &[
        StageCommand {
            kind: "TieBouquet",
            verb: "tie",
            event: "BouquetTied",
            stage: 0,
            missing: "BouquetNotTied",
            taken: "BouquetAlreadyTied",
            declines: None,
        },
        StageCommand {
            kind: "HandOver",
            verb: "hand-over",
            event: "BouquetHandedOver",
            stage: 1,
            missing: "BouquetNotHandedOver",
            taken: "BouquetAlreadyHandedOver",
            declines: None,
        },
    ],
};

/// The flower shop.
#[derive(Debug)]
pub(crate) struct FlowerShop;

/// What is remembered of a bouquet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Details {
    flower: String,
}

impl Business for FlowerShop {
    type Details = Details;

    const NAMES: Names = Names {
        system: "flower-shop",
        collection: "bouquets",
        id_field: "bouquetId",
        id_prefix: "f",
        amount_field: Some("price"),
        open: "OrderBouquet",
        retry: None,
        cancel: "CancelBouquet",
        words: words!("Bouquet", "Payment", established: "BouquetOrdered", undone: "BouquetRefunded", already_established: "BouquetAlreadyPaid"),
        stages: &[
            Stage { status: "Ordered", event: "", too_late: None },
            Stage { status: "Tied", event: "BouquetTied", too_late: None },
            Stage { status: "HandedOver", event: "BouquetHandedOver", too_late: Some("BouquetAlreadyHandedOver") },
        ],
        partner: PartnerNames::PAYMENTS,
        totals: Names::PAYMENT_TOTALS,
    };

    fn open(fields: Fields<'_>) -> Result<Opening<Details>, FieldError> {
        let flower = fields.text("flower")?.ok_or_else(|| fields.wrong("flower", "must say which flowers"))?;
        Ok(Opening {
            customer_id: fields.identifier("customerId")?.unwrap_or("guest").to_owned(),
            amount: fields.integer("price", 0, AMOUNT_WON_MAX)?.ok_or_else(|| fields.wrong("price", "is missing"))?,
            details: Details { flower: flower.to_owned() },
            told: Map::from_iter([("card".to_owned(), json!(fields.text("card")?))]),
        })
    }

    fn describe() -> Described {
        let details = || Object::default().must("flower", free_text("Which flowers."));
        let told = || Object::default().may("card", free_text("What the card says."));
        let command = details().and(told()).may("customerId", id("Who orders.")).must("price", won("What is paid."));
        Described { command, details: details(), told: told(), request: Object::default() }
    }
}

/// Returns the flower shop, wired.
pub(crate) fn system(config: &Config) -> Result<System, ConfigError> {
    let bouquets = ViewSpec { collection: "bouquets", filters: &["customerId", "flower", "status"], by_id: true, owned_by: &[] };
    business::system::<FlowerShop>(config, &[FLORIST], bouquets)
}
