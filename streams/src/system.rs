//! A business as data: its topology, its commands and other records, what outcomes mean, and its views.
//!
//! A row of the workspace (`processors/<business>`) exports one [`System`]; the binary lists them. The HTTP layer makes routes of it without knowing the business.

use std::sync::Arc;

use crate::projection::Projection;
use crate::topology::Topology;

/// A field of a command that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, for example `items[0].price`; empty for the body as a whole.
    pub field: String,
    /// What is wrong with it, as a sentence.
    pub detail: String,
}

/// A command that people may send.
#[derive(Clone)]
pub struct CommandSpec {
    /// Command type, for example `CancelOrder`.
    pub kind: &'static str,
    /// Collection that it is sent to, for example `orders`.
    pub collection: &'static str,
    /// What is done to a member of the collection, for example `cancel`; `None` creates one.
    pub verb: Option<&'static str>,
    /// Field that holds the aggregate id, for example `orderId`.
    pub subject_field: &'static str,
    /// Prefix of ids that the system assigns when a creating command has none, for example `o`.
    pub id_prefix: &'static str,
    /// Checks the command object (with `type` and the id filled in) before it is sent: the same rules by which the processor reads it.
    pub check: fn(&serde_json::Value) -> Result<(), FieldError>,
    /// Returns the JSON Schema (2020-12) of the command object, given its type: what senders may rely on. See [`RecordSpec::schema`].
    pub schema: fn(kind: &str) -> serde_json::Value,
}

/// Who writes records of a type, and so who reads them and must be able to after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The system: anybody may read them.
    System,
    /// Anybody: the system reads them.
    Outside,
    /// Both sides are the system's own, and anybody may take either: requests and their replies.
    Either,
}

/// A type of records in a topic: part of the contract with everybody outside.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSpec {
    /// Topic.
    pub topic: String,
    /// Event or command type.
    pub kind: String,
    /// Who writes them.
    pub writer: Writer,
    /// Name of the follower that brings them with it, and takes them with it when it goes.
    pub follower: Option<&'static str>,
    /// JSON Schema (2020-12) of an event's `data`, or of a whole command object; `description` says what it is. Members that it does not name are allowed and ignored. `x-version` counts
    /// deliberate breaks; 1 if it is left out.
    pub schema: serde_json::Value,
}

/// What an event or rejection means to the sender of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The new aggregate is established, or the command is done.
    Done,
    /// Not yet; the system will tell.
    Deferred,
    /// The guarded partner said no.
    Declined,
    /// A rule said no.
    Refused,
    /// Too much is waiting already: nothing was done, and it may be asked again.
    Overloaded,
    /// There is no such aggregate.
    Unknown,
    /// The command was taken before; its outcome stands.
    Repeated,
}

/// Reads an event (type, payload) as the outcome of a command (type) that it correlates with, and the reason code if there is one; `None`: it goes on.
pub type OutcomeReader = fn(command: &str, event: &str, data: &serde_json::Value) -> Option<(Outcome, Option<String>)>;

/// A way to read a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewSpec {
    /// Path segment and collection, for example `orders`.
    pub collection: &'static str,
    /// Filters that a list takes as query parameters, for example `customerId`.
    pub filters: &'static [&'static str],
    /// True if single documents are served at `/<collection>/{id}`.
    pub by_id: bool,
    /// Other collections' members that own documents of this one: (`stores`, `storeId`) serves `/stores/{storeId}/<collection>`.
    pub owned_by: &'static [(&'static str, &'static str)],
}

/// A business.
#[derive(Clone)]
pub struct System {
    /// Name, which is also the prefix of its topics and paths, for example `food-delivery`.
    pub name: &'static str,
    /// Its processors.
    pub topology: Topology,
    /// Topic for commands.
    pub commands_topic: String,
    /// What people may send.
    pub commands: Vec<CommandSpec>,
    /// Topics in which outcomes of commands appear (events with the command's correlation id), the rejections and dead letters among them.
    pub outcome_topics: Vec<String>,
    /// Reads events of the outcome topics.
    pub outcome: OutcomeReader,
    /// Its views.
    pub projections: Vec<Arc<dyn Projection>>,
    /// How they are served.
    pub views: Vec<ViewSpec>,
    /// Topics that its followers bring with them, each as the YAML that `fluvio topic create --config` takes: they go when the follower goes. Its own stand below `topics/`.
    pub follower_topics: Vec<&'static str>,
    /// Types of records beside its [`System::commands`].
    pub records: Vec<RecordSpec>,
}

impl System {
    /// Returns every type of records that anybody outside may read or write, the commands among them.
    pub fn contract(&self) -> Vec<RecordSpec> {
        let of_command = |command: &CommandSpec| RecordSpec {
            topic: self.commands_topic.clone(),
            kind: command.kind.to_owned(),
            writer: Writer::Outside,
            follower: None,
            schema: (command.schema)(command.kind),
        };
        self.commands.iter().map(of_command).chain(self.records.iter().cloned()).collect()
    }
}
