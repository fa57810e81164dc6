//! A simulated provider, as a plan: what it will answer, and after how long. Waiting and answering is the caller's.
//!
//! The same request gets the same plan, so a call that is made again after a crash is answered alike. A customer whose id is one of these, or begins with it and a dash, gets trouble:
//!
//! | customer id | what the provider does |
//! |---|---|
//! | `simulate-decline` | declines |
//! | `simulate-fail` | fails |
//! | `simulate-late` | approves after the deadline |
//! | `simulate-too-late` | approves after the give-up time |
//! | `simulate-stall` | never answers: the call ends with a failure after [`Simulator::stall_ms`], as a client's own timeout would end it |
//! | `simulate-twice` | approves, and the reply is published twice |
//! | `simulate-refund-fail-once` | fails the first try of each refund |

use fluvio_streams::backoff::spread;

use super::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};

/// How long the provider takes when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// No time at all.
    Instant,
    /// 20 ms + U(0, 20) ms.
    #[default]
    Default,
    /// 400 ms + U(0, 220) ms: what the originals of these systems had to live with.
    Seed,
}

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "instant" => Ok(Self::Instant),
            "default" => Ok(Self::Default),
            "seed" => Ok(Self::Seed),
            _ => Err(UnknownProfile(text.to_owned())),
        }
    }
}

/// A name that is no profile's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payment profile `{0}` is unknown: it must be instant, default or seed")]
pub struct UnknownProfile(pub String);

/// A simulated provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulator {
    /// How long it takes when nothing is wrong.
    pub profile: Profile,
    /// How long `simulate-late` takes, in ms: more than the deadline, less than the give-up time. Default 1,500.
    pub late_ms: u64,
    /// How long `simulate-too-late` takes, in ms: more than the give-up time. Default 31,500.
    pub too_late_ms: u64,
    /// When a call that is never answered ends, in ms. Default 60,000.
    pub stall_ms: u64,
}

/// What the provider will answer to a request, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Time until the answer, in ms.
    pub delay_ms: u64,
    /// The answer.
    pub answer: ProviderResponse,
}

impl Simulator {
    /// Returns a provider of this profile with the default misbehaviours.
    pub fn new(profile: Profile) -> Self {
        Self { profile, late_ms: 1_500, too_late_ms: 31_500, stall_ms: 60_000 }
    }

    /// Returns what the provider does about a request.
    pub fn plan(&self, request: &ProviderRequest) -> Plan {
        let delay_ms = self.delay_ms(&request.idempotency_key);
        let is = |name: &str| request.customer_id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let (delay_ms, answer) = match request.operation {
            Operation::Undo if is("simulate-refund-fail-once") && request.try_number <= 1 => (delay_ms, failed("the refund failed, as simulated")),
            Operation::Undo => (delay_ms, ProviderResponse::new(ProviderOutcome::Undone, None)),
            Operation::Accept if is("simulate-decline") => (delay_ms, declined()),
            Operation::Accept if is("simulate-fail") => (delay_ms, failed("the provider failed, as simulated")),
            Operation::Accept if is("simulate-stall") => (self.stall_ms, failed("the provider did not answer, as simulated")),
            Operation::Accept if is("simulate-late") => (self.late_ms, accepted()),
            Operation::Accept if is("simulate-too-late") => (self.too_late_ms, accepted()),
            Operation::Accept if is("simulate-twice") => (delay_ms, ProviderResponse { answers: 2, ..accepted() }),
            Operation::Accept => (delay_ms, accepted()),
        };
        Plan { delay_ms, answer }
    }

    /// Draws the delay from the idempotency key, so that it is the same each time.
    fn delay_ms(&self, key: &str) -> u64 {
        let draw = |most: u64| spread(key.as_bytes()) % (most + 1);
        match self.profile {
            Profile::Instant => 0,
            Profile::Default => 20 + draw(20),
            Profile::Seed => 400 + draw(220),
        }
    }
}

fn accepted() -> ProviderResponse {
    ProviderResponse::new(ProviderOutcome::Accepted, None)
}

fn declined() -> ProviderResponse {
    ProviderResponse::new(ProviderOutcome::Declined, Some("the provider declined, as simulated"))
}

fn failed(detail: &str) -> ProviderResponse {
    ProviderResponse::new(ProviderOutcome::Failed, Some(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: Operation, customer_id: &str, order: u32) -> ProviderRequest {
        let id = format!("o-{order}");
        let idempotency_key = ProviderRequest::key(operation, &id, 1);
        ProviderRequest {
            operation,
            id,
            attempt: 1,
            amount: 1,
            customer_id: customer_id.to_owned(),
            idempotency_key,
            try_number: 1,
            details: serde_json::Map::new(),
        }
    }

    #[test]
    fn delays_fill_the_range_of_their_profile_and_repeat() {
        for (profile, from, to) in [(Profile::Instant, 0, 0), (Profile::Default, 20, 40), (Profile::Seed, 400, 620)] {
            let simulator = Simulator::new(profile);
            let delay = |order| simulator.plan(&request(Operation::Accept, "kim", order)).delay_ms;
            let delays: Vec<u64> = (0..5_000).map(delay).collect();
            assert_eq!((delays.iter().min(), delays.iter().max()), (Some(&from), Some(&to)), "{profile:?}");
            assert_eq!(delays, (0..5_000).map(delay).collect::<Vec<_>>(), "{profile:?} repeats");
            let mean = delays.iter().sum::<u64>() / 5_000;
            assert!(mean.abs_diff((from + to) / 2) <= 5, "{profile:?} has mean {mean}");
        }
    }

    #[test]
    fn customers_choose_the_misbehaviour_by_their_id() {
        let simulator = Simulator::new(Profile::Instant);
        let plan = |operation, customer| simulator.plan(&request(operation, customer, 1));
        use ProviderOutcome::{Accepted, Declined, Failed, Undone};
        for (customer, delay_ms, outcome, answers) in [
            ("kim", 0, Accepted, 1),
            ("simulate-decline", 0, Declined, 1),
            ("simulate-decline-7", 0, Declined, 1),
            ("simulate-declined", 0, Accepted, 1),
            ("simulate-fail", 0, Failed, 1),
            ("simulate-stall", 60_000, Failed, 1),
            ("simulate-late", 1_500, Accepted, 1),
            ("simulate-too-late", 31_500, Accepted, 1),
            ("simulate-twice", 0, Accepted, 2),
            ("simulate-refund-fail-once", 0, Accepted, 1),
        ] {
            let Plan { delay_ms: delay, answer } = plan(Operation::Accept, customer);
            assert_eq!((delay, answer.outcome, answer.answers), (delay_ms, outcome, answers), "{customer}");
            let refund = plan(Operation::Undo, customer).answer.outcome;
            assert_eq!(refund, if customer == "simulate-refund-fail-once" { Failed } else { Undone }, "{customer}");
        }
        let again = ProviderRequest { try_number: 2, ..request(Operation::Undo, "simulate-refund-fail-once", 1) };
        assert_eq!(simulator.plan(&again).answer.outcome, Undone);
    }
}
