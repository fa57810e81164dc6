//! The names of the mask shop, as the contract fixes them.

use business::{FollowerNames, Names, PartnerNames, Stage, StageCommand, words};

/// Names of the system and of its front. No money is involved: what is accepted and undone is counted in deliveries.
pub const NAMES: Names = Names {
    system: "mask-shop",
    collection: "orders",
    id_field: "orderId",
    id_prefix: "o",
    amount_field: None,
    open: "PlaceOrder",
    retry: None,
    cancel: "CancelOrder",
    words: words!("Order", "Delivery", established: "OrderPlaced", undone: "DeliveryCancelled", already_established: "OrderAlreadyPlaced"),
    stages: &[
        Stage { status: "Placed", event: "", too_late: None },
        Stage { status: "Delivered", event: "DeliveryCompleted", too_late: Some("OrderAlreadyDelivered") },
    ],
    partner: DELIVERY,
    totals: &[
        "deliveries_registered",
        "deliveries_cancelled",
        "orders_live",
        "deliveries_open",
        "stray_cancellations_open",
        "delivery_attempts_open",
        "deliveries_queued",
        "delivery_breaker_open",
        "delivery_breaker_half_open",
    ],
};

/// Names of the delivery team, which must have taken an order before it is placed.
pub const DELIVERY: PartnerNames = PartnerNames {
    processor: "delivery",
    pair: "delivery",
    provider: "delivery-desk",
    request: "DeliveryRequested",
    void_request: "DeliveryVoidRequested",
    undo_request: "DeliveryCancelRequested",
    accepted: "DeliveryRegistered",
    declined: "DeliveryDeclined",
    failed: "DeliveryFailed",
    voided: "DeliveryVoided",
    undone: "DeliveryCancelled",
    undo_refused: "DeliveryCancelRefused",
    account: ["registered", "cancelled"],
    totals: &["deliveries_registered", "deliveries_cancelled", "cancellations_retrying"],
};

/// Names of the couriers, who bring what is placed.
pub const COURIERS: FollowerNames = FollowerNames {
    processor: "couriers",
    events: "delivery",
    collection: "deliveries",
    title: "the courier",
    opened: None,
    // What the delivery team registered, it cancels itself.
    cancelled: &[],
    not_established: "OrderNotPlaced",
    overloaded: "CouriersOverloaded",
    totals: &["courier_commands_parked"],
    commands: &[StageCommand {
        kind: "CompleteDelivery",
        verb: "complete",
        event: "DeliveryCompleted",
        stage: 0,
        missing: "DeliveryNotCompleted",
        taken: "OrderAlreadyDelivered",
        declines: None,
    }],
};

/// Reason code of an order that is cancelled since there are not enough pieces.
pub const OUT_OF_STOCK: &str = "OutOfStock";
