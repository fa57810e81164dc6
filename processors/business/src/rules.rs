//! What a business says of itself.

use std::fmt::Debug;

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::state::StateError;
use fluvio_streams::system::{CommandSpec, FieldError, Outcome};
use fluvio_streams::topology::Source;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::front::event::Event;
use crate::front::state::Aggregate;
use crate::names::Names;
use crate::schema::Described;

/// What a customer asks to have established.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening<D> {
    /// Who asks.
    pub customer_id: String,
    /// What is paid for it, in won; 1 where no money is involved.
    pub amount: i64,
    /// What the business remembers of it.
    pub details: D,
    /// What is told once, with the first event, and not remembered.
    pub told: Map<String, Value>,
}

/// What a message from another processor of the business means for an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// What [`Business::prepare`] waited for is there: the partner is asked.
    Ready,
    /// It will not be established.
    Reject {
        /// Reason code.
        reason: String,
        /// Why, for people.
        detail: Option<String>,
    },
    /// It is cancelled, though it was established.
    Cancel {
        /// Reason code.
        reason: String,
    },
    /// Nothing.
    Nothing,
}

/// A business: its names, and the rules in which it differs from others. Everything has a default but its names and what it opens.
pub trait Business: Debug + Send + Sync + 'static {
    /// What the front remembers of an aggregate beside what all fronts do: only what a rule, an effect or a follower needs. Its members stand in every event.
    type Details: Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + 'static;

    /// Every name.
    const NAMES: Names;

    /// Reason code of what is deferred, and in the end rejected, because what [`Business::prepare`] waits for does not come.
    const UNPREPARED: &'static str = Self::NAMES.words.unavailable;

    /// Reads the command that opens an aggregate.
    ///
    /// # Errors
    /// [`FieldError`] naming the field that is missing or wrong.
    fn open(fields: Fields<'_>) -> Result<Opening<Self::Details>, FieldError>;

    /// Describes what the business adds to commands and events that all businesses have.
    fn describe() -> Described {
        Described::default()
    }

    /// Returns what the partner must know beside the id, the customer and the amount.
    fn request(_aggregate: &Aggregate<Self::Details>) -> Map<String, Value> {
        Map::new()
    }

    /// Prepares the question to the partner. False: it must wait until [`Business::follow`] says [`Followed::Ready`].
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    fn prepare(_cx: &mut Context<'_>, _id: &str, _aggregate: &Aggregate<Self::Details>) -> Result<bool, StateError> {
        Ok(true)
    }

    /// Adds what an event means for other processors of the business. The aggregate includes the event.
    fn changed(_cx: &mut Context<'_>, _id: &str, _aggregate: &Aggregate<Self::Details>, _event: &Event) {}

    /// Returns what else the front reads: topics with events about aggregates, keyed by their id.
    fn sources() -> Vec<Source> {
        Vec::new()
    }

    /// Returns what else the front writes.
    fn sinks() -> Vec<String> {
        Vec::new()
    }

    /// Reads a message of [`Business::sources`].
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    fn follow(message: &Message, _aggregate: &Aggregate<Self::Details>) -> Result<Followed, Failure> {
        Err(Unreadable(format!("nothing is known of `{}`", message.kind)).into())
    }

    /// Returns the commands that only this business has, and that none of its followers takes.
    fn commands() -> Vec<CommandSpec> {
        Vec::new()
    }

    /// Reads an event as the outcome of one of [`Business::commands`].
    fn outcome(_command: &str, _event: &str, _data: &Value) -> Option<(Outcome, Option<String>)> {
        None
    }

    /// Completes the document of an aggregate after an event was folded in.
    fn complete(_document: &mut Map<String, Value>) {}
}
