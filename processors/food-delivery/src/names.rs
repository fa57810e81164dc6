//! The names of food delivery, as the contract fixes them.

use business::{FollowerNames, Names, PartnerNames, Stage, StageCommand, words};

/// Names of the system and of its front.
pub const NAMES: Names = Names {
    system: "food-delivery",
    collection: "orders",
    id_field: "orderId",
    id_prefix: "o",
    amount_field: Some("price"),
    open: "PlaceOrder",
    retry: Some(("PayOrder", "pay")),
    cancel: "CancelOrder",
    words: words!("Order", "Payment", established: "OrderPlaced", undone: "OrderRefunded", already_established: "OrderAlreadyPaid"),
    stages: &[
        Stage { status: "Placed", event: "", too_late: None },
        Stage { status: "Accepted", event: "OrderAccepted", too_late: None },
        Stage { status: "Cooking", event: "CookingStarted", too_late: None },
        Stage { status: "Delivering", event: "DeliveryStarted", too_late: Some("DeliveryAlreadyStarted") },
        Stage { status: "Delivered", event: "DeliveryCompleted", too_late: Some("OrderAlreadyDelivered") },
    ],
    partner: PartnerNames::PAYMENTS,
    totals: Names::PAYMENT_TOTALS,
};

/// Names of the store and its riders, who cook and deliver what is placed.
pub const STORE: FollowerNames = FollowerNames {
    processor: "store",
    events: "store",
    collection: "orders",
    title: "the store",
    opened: None,
    cancelled: &["StoreOrderCancelled", "DeliveryCancelled"],
    not_established: "OrderNotPlaced",
    overloaded: "StoreOverloaded",
    totals: &["store_commands_parked"],
    commands: &[
        StageCommand {
            kind: "AcceptOrder",
            verb: "accept",
            event: "OrderAccepted",
            stage: 0,
            missing: "OrderNotAccepted",
            taken: "OrderAlreadyAccepted",
            declines: None,
        },
        StageCommand {
            kind: "DeclineOrder",
            verb: "decline",
            event: "OrderDeclined",
            stage: 0,
            missing: "OrderNotAccepted",
            taken: "OrderAlreadyAccepted",
            declines: Some(("StoreDeclined", "OrderAlreadyDeclined")),
        },
        StageCommand {
            kind: "StartCooking",
            verb: "start-cooking",
            event: "CookingStarted",
            stage: 1,
            missing: "CookingNotStarted",
            taken: "CookingAlreadyStarted",
            declines: None,
        },
        StageCommand {
            kind: "StartDelivery",
            verb: "start-delivery",
            event: "DeliveryStarted",
            stage: 2,
            missing: "DeliveryNotStarted",
            taken: "DeliveryAlreadyStarted",
            declines: None,
        },
        StageCommand {
            kind: "CompleteDelivery",
            verb: "complete-delivery",
            event: "DeliveryCompleted",
            stage: 3,
            missing: "DeliveryNotCompleted",
            taken: "OrderAlreadyDelivered",
            declines: None,
        },
    ],
};
