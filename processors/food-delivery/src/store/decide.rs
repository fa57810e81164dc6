//! The rules of the store: what a command means for an order as it stands.
//!
//! | reason code | when |
//! |---|---|
//! | `OrderUnknown` | the order did not arrive within the time that a command waits for it |
//! | `OrderNotPlaced` | the order is not paid yet |
//! | `DuplicateCommand` | the store took a command of this id for this order before |
//! | `OrderAlreadyAccepted`, `OrderAlreadyDeclined` | the store has answered |
//! | `OrderNotAccepted`, `CookingNotStarted`, `DeliveryNotStarted` | a step was left out |
//! | `CookingAlreadyStarted`, `DeliveryAlreadyStarted`, `OrderAlreadyDelivered` | the step was taken |
//! | `OrderAlreadyCancelled` | the customer cancelled |
//! | `OrderAlreadyRejected` | the order was never paid |
//! | `StoreOverloaded` | too many commands wait for their orders |

use fluvio_streams::processor::Rejection;

use super::state::Progress;

/// Decides on a command: returns the event type and the progress after it.
///
/// # Errors
/// [`Rejection`] with the reason code.
pub fn decide(command: &str, progress: Progress) -> Result<(&'static str, Progress), Rejection> {
    use Progress::{Accepted, Cancelled, Cooking, Declined, Delivered, Delivering, NotPlaced, Placed, Rejected};
    let refused = |reason: &str, detail: &str| Err(Rejection::new(reason, detail));
    match (command, progress) {
        (_, NotPlaced) => refused("OrderNotPlaced", "the order is not paid yet"),
        (_, Rejected) => refused("OrderAlreadyRejected", "the order was rejected"),
        (_, Cancelled) => refused("OrderAlreadyCancelled", "the order was cancelled"),
        (_, Declined) => refused("OrderAlreadyDeclined", "the store declined the order"),
        ("AcceptOrder", Placed) => Ok(("OrderAccepted", Accepted)),
        ("DeclineOrder", Placed) => Ok(("OrderDeclined", Declined)),
        ("AcceptOrder" | "DeclineOrder", _) => refused("OrderAlreadyAccepted", "the store accepted the order"),
        ("StartCooking", Accepted) => Ok(("CookingStarted", Cooking)),
        ("StartCooking" | "StartDelivery" | "CompleteDelivery", Placed) => refused("OrderNotAccepted", "the store has not accepted the order"),
        ("StartCooking", _) => refused("CookingAlreadyStarted", "the order is cooked already"),
        ("StartDelivery", Cooking) => Ok(("DeliveryStarted", Delivering)),
        ("StartDelivery", Accepted) => refused("CookingNotStarted", "the order is not cooked yet"),
        ("StartDelivery", _) => refused("DeliveryAlreadyStarted", "the order is on the road"),
        ("CompleteDelivery", Delivering) => Ok(("DeliveryCompleted", Delivered)),
        ("CompleteDelivery", Delivered) => refused("OrderAlreadyDelivered", "the order was delivered"),
        _ => refused("DeliveryNotStarted", "the order is not on the road"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::COMMANDS;

    /// Goal: one table says what every command means at every progress. Read a row as: at this progress, the five commands in their order.
    #[test]
    fn every_command_at_every_progress_has_one_outcome() {
        let table = [
            (Progress::NotPlaced, ["OrderNotPlaced"; 5]),
            (Progress::Placed, ["OrderAccepted", "OrderDeclined", "OrderNotAccepted", "OrderNotAccepted", "OrderNotAccepted"]),
            (Progress::Accepted, ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingStarted", "CookingNotStarted", "DeliveryNotStarted"]),
            (Progress::Declined, ["OrderAlreadyDeclined"; 5]),
            (Progress::Cooking, ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryStarted", "DeliveryNotStarted"]),
            (Progress::Delivering, ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryAlreadyStarted", "DeliveryCompleted"]),
            (Progress::Delivered, ["OrderAlreadyAccepted", "OrderAlreadyAccepted", "CookingAlreadyStarted", "DeliveryAlreadyStarted", "OrderAlreadyDelivered"]),
            (Progress::Cancelled, ["OrderAlreadyCancelled"; 5]),
            (Progress::Rejected, ["OrderAlreadyRejected"; 5]),
        ];
        assert_eq!(table.map(|(progress, _)| progress), Progress::ALL);
        for (progress, outcomes) in table {
            for (command, expected) in COMMANDS.into_iter().zip(outcomes) {
                let outcome = match decide(command, progress) {
                    Ok((event, after)) => {
                        assert_ne!(after, progress, "{command} at {progress:?} moves on");
                        event.to_owned()
                    }
                    Err(rejection) => rejection.reason,
                };
                assert_eq!(outcome, expected, "{command} at {progress:?}");
            }
        }
    }
}
