//! The names of a business, which the wire, the state, the metrics and people know it by.

/// All names of a business and of its front.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Prefix of its topics and paths, for example `food-delivery`.
    pub system: &'static str,
    /// Collection of its aggregates, and name of its front: `orders`.
    pub collection: &'static str,
    /// Field that holds an aggregate's id: `orderId`.
    pub id_field: &'static str,
    /// Prefix of ids that the system assigns: `o`.
    pub id_prefix: &'static str,
    /// Field that holds what is paid for, in won: `price`. `None`: no money is involved, and what counts is the number of aggregates.
    pub amount_field: Option<&'static str>,
    /// Command that opens an aggregate: `PlaceOrder`.
    pub open: &'static str,
    /// Command (and verb of its route) by which the customer asks for a new attempt: `PayOrder`, `pay`.
    pub retry: Option<(&'static str, &'static str)>,
    /// Command that cancels it: `CancelOrder`.
    pub cancel: &'static str,
    /// Event types and reason codes.
    pub words: Words,
    /// What it goes through once it is established, in this order; the first is the establishment itself, the last is final.
    pub stages: &'static [Stage],
    /// Who is asked before anything is established.
    pub partner: PartnerNames,
    /// Names of the four sides of the front's law (accepted - undone = live + open); of the undoings for what is not known any more; then of what its guard keeps: attempts open, keys
    /// queued, breaker open, breaker half-open.
    pub totals: &'static [&'static str; 9],
}

/// A stage of an established aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Status in this stage: `Cooking`.
    pub status: &'static str,
    /// Event of a follower that leads to it from the stage before: `CookingStarted`. Empty for the first.
    pub event: &'static str,
    /// Reason code with which a cancellation is refused in this stage: `DeliveryAlreadyStarted`. `None`: it can be cancelled.
    pub too_late: Option<&'static str>,
}

/// Event types and reason codes of a front. [`words!`](crate::words) derives most of them from two nouns.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The aggregate, for sentences: `Order`.
    pub noun: &'static str,
    /// It is on record, not yet established: `OrderRequested`.
    pub requested: &'static str,
    /// The customer asked for a new attempt: `PaymentAttemptStarted`.
    pub attempt_started: &'static str,
    /// It is established: `OrderPlaced`.
    pub established: &'static str,
    /// It will never be established, or no more: `OrderRejected`.
    pub rejected: &'static str,
    /// Not yet: `PaymentDeferred`.
    pub deferred: &'static str,
    /// It is cancelled while somebody waits for the partner's answer; the outcome of what they asked: `PaymentAbandoned`.
    pub abandoned: &'static str,
    /// By the customer, or by a rule: `OrderCancelled`.
    pub cancelled: &'static str,
    /// A follower went on: `OrderStatusChanged`.
    pub status_changed: &'static str,
    /// The partner accepted what nobody wants any more: `PaymentUnwanted`.
    pub unwanted: &'static str,
    /// What the partner did is undone: `OrderRefunded`.
    pub undone: &'static str,
    /// The same of one that is not known any more: `ForgottenOrderRefunded`.
    pub stray_undone: &'static str,
    /// Status while the partner is asked: `PaymentPending`.
    pub pending: &'static str,
    /// Status while it waits for the partner: `PaymentDeferred`.
    pub waiting: &'static str,
    /// Reason: the partner said no: `PaymentDeclined`.
    pub declined: &'static str,
    /// Reason: the partner did not answer in time: `PaymentTimedOut`.
    pub timed_out: &'static str,
    /// Reason: the partner failed, or was not asked because it keeps failing: `PaymentUnavailable`.
    pub unavailable: &'static str,
    /// Reason: there is one of this id: `OrderExists`.
    pub exists: &'static str,
    /// Reason: there is none: `OrderUnknown`.
    pub unknown: &'static str,
    /// Reason: an attempt waits for its answer: `PaymentInProgress`.
    pub in_progress: &'static str,
    /// Reason: it was tried too often: `PaymentAttemptsExhausted`.
    pub exhausted: &'static str,
    /// Reason: a new attempt is asked for, but it is established: `OrderAlreadyPaid`.
    pub already_established: &'static str,
    /// Reason: it has ended so: `OrderAlreadyCancelled`.
    pub already_cancelled: &'static str,
    /// Reason: it has ended so: `OrderAlreadyRejected`.
    pub already_rejected: &'static str,
}

/// Derives [`Words`] from the noun of the aggregate and that of the partner's deed.
#[macro_export]
macro_rules! words {
    ($noun:literal, $deed:literal, established: $established:literal, undone: $undone:literal, already_established: $already:literal) => {
        $crate::Words {
            noun: $noun,
            requested: concat!($noun, "Requested"),
            attempt_started: concat!($deed, "AttemptStarted"),
            established: $established,
            rejected: concat!($noun, "Rejected"),
            deferred: concat!($deed, "Deferred"),
            abandoned: concat!($deed, "Abandoned"),
            cancelled: concat!($noun, "Cancelled"),
            status_changed: concat!($noun, "StatusChanged"),
            unwanted: concat!($deed, "Unwanted"),
            undone: $undone,
            stray_undone: concat!("Forgotten", $undone),
            pending: concat!($deed, "Pending"),
            waiting: concat!($deed, "Deferred"),
            declined: concat!($deed, "Declined"),
            timed_out: concat!($deed, "TimedOut"),
            unavailable: concat!($deed, "Unavailable"),
            exists: concat!($noun, "Exists"),
            unknown: concat!($noun, "Unknown"),
            in_progress: concat!($deed, "InProgress"),
            exhausted: concat!($deed, "AttemptsExhausted"),
            already_established: $already,
            already_cancelled: concat!($noun, "AlreadyCancelled"),
            already_rejected: concat!($noun, "AlreadyRejected"),
        }
    };
}

impl Words {
    /// Returns every event type of a front that is about an aggregate, in the order in which they are usually seen. Beside them there is [`Words::stray_undone`].
    pub fn events(&self) -> [&'static str; 10] {
        [
            self.requested,
            self.attempt_started,
            self.established,
            self.rejected,
            self.deferred,
            self.abandoned,
            self.cancelled,
            self.status_changed,
            self.unwanted,
            self.undone,
        ]
    }
}

/// The names of a partner: what is asked of it, what it answers, and what it calls the two deeds.
#[derive(Debug, Clone, Copy)]
pub struct PartnerNames {
    /// Name of its processor: `payments`.
    pub processor: &'static str,
    /// Middle of the names of the pair of topics: `payment`. Also the name of the guard, and the member that shows its account.
    pub pair: &'static str,
    /// Name of the outside system that it calls: `payment-provider`.
    pub provider: &'static str,
    /// Request to do it: `PaymentRequested`.
    pub request: &'static str,
    /// Request to drop an attempt: `PaymentVoidRequested`.
    pub void_request: &'static str,
    /// Request to undo it: `RefundRequested`.
    pub undo_request: &'static str,
    /// Answer: done. `PaymentApproved`.
    pub accepted: &'static str,
    /// Answer: no. `PaymentDeclined`.
    pub declined: &'static str,
    /// Answer: it could not find out. `PaymentFailed`.
    pub failed: &'static str,
    /// Answer: dropped in time, nothing was done. `PaymentVoided`.
    pub voided: &'static str,
    /// Answer: it is undone. `PaymentRefunded`.
    pub undone: &'static str,
    /// Answer: an unverified undoing is not due. `RefundRefused`.
    pub undo_refused: &'static str,
    /// Members of the account that events and views show: what was done, what was undone. `captured`, `refunded`.
    pub account: [&'static str; 2],
    /// Names of the partner's totals: done, undone, attempts whose undoing failed and is tried again.
    pub totals: &'static [&'static str; 3],
}

impl Names {
    /// [`Names::totals`] of a front whose partner takes money.
    pub const PAYMENT_TOTALS: &'static [&'static str; 9] = &[
        "captured_won",
        "refunded_won",
        "live_won",
        "open_won",
        "stray_refunds_open",
        "payment_attempts_open",
        "payments_queued",
        "payment_breaker_open",
        "payment_breaker_half_open",
    ];
}

impl PartnerNames {
    /// The names of a partner that takes money.
    pub const PAYMENTS: Self = Self {
        processor: "payments",
        pair: "payment",
        provider: "payment-provider",
        request: "PaymentRequested",
        void_request: "PaymentVoidRequested",
        undo_request: "RefundRequested",
        accepted: "PaymentApproved",
        declined: "PaymentDeclined",
        failed: "PaymentFailed",
        voided: "PaymentVoided",
        undone: "PaymentRefunded",
        undo_refused: "RefundRefused",
        account: ["captured", "refunded"],
        totals: &["captured_won", "refunded_won", "refunds_retrying"],
    };
}
