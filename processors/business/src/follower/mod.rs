//! Followers: whoever goes on with what is established (a kitchen, a ticket printer, a courier), step by step, as people command.
//!
//! A follower decides by its own state, which follows the front's events; where a cancellation crosses one of its steps, the front's word is final and the follower compensates. It may be
//! down for an hour: nothing waits for it. Start reading at [`decide`] (the rules), then the processor.

pub mod decide;
mod parking;
mod processor;
pub mod state;

pub use processor::{Follower, spec};

/// The names of a follower, and the commands that it takes.
#[derive(Debug, Clone, Copy)]
pub struct FollowerNames {
    /// Name of its processor: `store`.
    pub processor: &'static str,
    /// Middle of the name of the topic for what happens there: `store`.
    pub events: &'static str,
    /// Collection to whose members its commands are sent: `orders`.
    pub collection: &'static str,
    /// What it is called in a sentence: `the store`.
    pub title: &'static str,
    /// Event when an aggregate reaches it: `TicketIssued`. `None`: that is no news.
    pub opened: Option<&'static str>,
    /// Events when an aggregate that it has is cancelled: `StoreOrderCancelled`, `DeliveryCancelled`.
    pub cancelled: &'static [&'static str],
    /// Reason code for a command to what is not established yet: `OrderNotPlaced`.
    pub not_established: &'static str,
    /// Reason code when too many commands wait for aggregates that it does not know: `StoreOverloaded`. It ends with [`OVERLOADED`](crate::front::commands::OVERLOADED), by which senders
    /// are told to try again later.
    pub overloaded: &'static str,
    /// Name of the total that counts commands which wait: `store_commands_parked`.
    pub totals: &'static [&'static str; 1],
    /// What it can be told to do.
    pub commands: &'static [StageCommand],
}

/// A command to a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageCommand {
    /// Command type: `StartCooking`.
    pub kind: &'static str,
    /// What is done to a member of the collection: `start-cooking`.
    pub verb: &'static str,
    /// Event: `CookingStarted`. That of the stage to which it leads.
    pub event: &'static str,
    /// The stage in which it is possible, from 0: the one before that to which it leads.
    pub stage: u8,
    /// Reason code for a later command while this one is left out: `CookingNotStarted`.
    pub missing: &'static str,
    /// Reason code for this one once it was taken: `CookingAlreadyStarted`.
    pub taken: &'static str,
    /// It does not lead on, but says that the follower will not take it: reason code for the front (`StoreDeclined`), and the code with which all that comes later is refused
    /// (`OrderAlreadyDeclined`).
    pub declines: Option<(&'static str, &'static str)>,
}

impl FollowerNames {
    /// Returns the reason code if an event says that the follower does not take an aggregate.
    pub(crate) fn declines(&self, event: &str) -> Option<&'static str> {
        self.commands.iter().find(|command| command.event == event)?.declines.map(|(reason, _)| reason)
    }
}
