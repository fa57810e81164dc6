//! The delivery desk of the mask shop as an outside system: a simulated one.
//!
//! What it answers, and when, is a pure plan of `business`, by the request alone: a call that is made again is answered alike, so the desk needs no ledger. It takes no money, so it has no
//! part in the accounts of the payment provider. How many calls run at once is bounded by who makes them.

use std::time::Duration;

use async_trait::async_trait;
use business::partner::provider::{ProviderOutcome, ProviderRequest, ProviderResponse};
use business::partner::simulator::{Profile, Simulator};
use fluvio_streams::processor::Call;
use fluvio_streams::runtime::CallHandler;
use tokio::time::sleep;

/// A simulated delivery desk.
pub(crate) struct DeliveryDesk(Simulator);

impl DeliveryDesk {
    /// Returns a desk that takes so long.
    pub(crate) fn new(profile: Profile) -> Self {
        Self(Simulator::new(profile))
    }
}

#[async_trait]
impl CallHandler for DeliveryDesk {
    async fn call(&self, call: &Call) -> String {
        let response = match serde_json::from_str::<ProviderRequest>(&call.request) {
            Ok(request) => {
                let plan = self.0.plan(&request);
                if plan.delay_ms > 0 {
                    sleep(Duration::from_millis(plan.delay_ms)).await;
                }
                plan.answer
            }
            Err(error) => ProviderResponse::new(ProviderOutcome::Failed, Some(&format!("the desk cannot read the request: {error}"))),
        };
        serde_json::to_string(&response).unwrap_or_else(|_| String::from(r#"{"outcome":"failed"}"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(request: &str) -> ProviderOutcome {
        let call = Call { id: "1".to_owned(), target: "delivery-desk".to_owned(), request: request.to_owned(), correlation: String::new(), trace: None };
        let desk = DeliveryDesk::new(Profile::Instant);
        serde_json::from_str::<ProviderResponse>(&desk.call(&call).await).expect("an answer is JSON").outcome
    }

    #[tokio::test]
    async fn it_takes_deliveries_drops_them_and_fails_at_what_it_cannot_read() {
        let request = |operation: &str, customer: &str| {
            format!(
                r#"{{"operation":"{operation}","id":"o-1","attempt":1,"amount":1,"customerId":"{customer}","idempotencyKey":"mask-shop/o-1/1/{operation}","tryNumber":1,"details":{{"productId":"mask","qty":2}}}}"#
            )
        };
        assert_eq!(answer(&request("accept", "kim")).await, ProviderOutcome::Accepted);
        assert_eq!(answer(&request("accept", "simulate-decline")).await, ProviderOutcome::Declined);
        assert_eq!(answer(&request("undo", "kim")).await, ProviderOutcome::Undone);
        assert_eq!(answer("{").await, ProviderOutcome::Failed);
    }
}
