//! What this crate tells the outside about itself: typed events, handed to an [`Observer`].
//!
//! Not metrics and not logs: the program maps events to whatever it exports. Events are emitted per batch or request, never per record, and carry no ids of aggregates.

use std::time::Duration;

use fluvio_streams::envelope::Message;
use fluvio_streams::log::LogError;
use fluvio_streams::system::Outcome;
use fluvio_streams::trace::{Span, TraceContext};

use crate::sink::SinkError;
use crate::view::View;

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A sink begins to follow a partition, at the start or after a failure.
    ViewStarted {
        /// View.
        view: &'a View,
        /// Partition of its topic.
        partition: u32,
        /// Records that are to be read: the view's lag.
        behind: i64,
    },
    /// A sink has written a batch.
    ViewAdvanced {
        /// View.
        view: &'a View,
        /// Partition of its topic.
        partition: u32,
        /// Records of the batch, those that routing left out among them.
        records: usize,
        /// Documents written.
        documents: usize,
        /// Records that are still to be read: the view's lag.
        behind: i64,
        /// Time of the last event folded in, ms since the Unix epoch; `None` if the batch had none.
        last_event_ms: Option<i64>,
        /// How long reading documents, folding and writing took.
        elapsed: Duration,
    },
    /// Events of a batch that a sink has written, one by one. Told only to who asks for it ([`Observer::wants_traces`]).
    EventsTraced {
        /// View.
        view: &'a View,
        /// The events.
        events: &'a [EventViewed],
        /// How long the batch took, which was written now.
        took: Duration,
    },
    /// A sink has something to do and has not gone on for a while.
    ViewWaits {
        /// View.
        view: &'a View,
        /// Partition of its topic.
        partition: u32,
        /// Records that are still to be read: the view's lag.
        behind: i64,
        /// For how long, about; zero if nothing is to be read.
        waiting: Duration,
    },
    /// A sink cannot go on at the moment and tries again.
    ViewStalled {
        /// View.
        view: &'a View,
        /// Partition of its topic; `None` if it concerns all of them.
        partition: Option<u32>,
        /// Why.
        error: &'a SinkError,
        /// When it tries again.
        retry_in: Duration,
    },
    /// A sink has dead-lettered records that do not fold into its view.
    RecordsRefused {
        /// View.
        view: &'a View,
        /// Partition of its topic.
        partition: u32,
        /// How many.
        records: usize,
        /// What is wrong with the first of them.
        first_error: &'a str,
    },
    /// Records were removed from the log (retention) before a sink had read them.
    RecordsMissed {
        /// View.
        view: &'a View,
        /// Partition of its topic.
        partition: u32,
        /// First missing offset.
        from: i64,
        /// First offset that is still there.
        to: i64,
    },
    /// A batch of commands was appended.
    CommandsAppended {
        /// Commands topic.
        topic: &'a str,
        /// How many.
        records: usize,
        /// How long the log took.
        elapsed: Duration,
    },
    /// A batch of commands could not be appended, or it is not known whether it was.
    AppendFailed {
        /// Commands topic.
        topic: &'a str,
        /// How many commands.
        records: usize,
        /// Why.
        error: &'a LogError,
    },
    /// A command over HTTP has its outcome.
    CommandDecided {
        /// System.
        system: &'a str,
        /// Command type.
        command: &'a str,
        /// Outcome; `None` if none came in time.
        outcome: Option<Outcome>,
        /// Its place in its trace.
        trace: TraceContext,
        /// The span of whoever sent it, if it said so.
        parent: Option<Span>,
        /// From the request to the outcome.
        elapsed: Duration,
    },
    /// The connection of the API to a system's topics broke and is tried again.
    SystemUnreachable {
        /// System.
        system: &'a str,
        /// Why.
        error: &'a LogError,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A request was answered.
    RequestServed {
        /// Method, for example `GET`; `other` for unusual ones.
        method: &'a str,
        /// Route as a template, for example `/food-delivery/orders/{id}`; `unmatched` if there is none.
        route: &'a str,
        /// HTTP status.
        status: u16,
        /// From the request's head to the answer's head.
        elapsed: Duration,
    },
}

/// What an event in a view was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventViewed {
    /// Its trace, and the span of its being written.
    pub context: TraceContext,
    /// The span that wrote it to its topic.
    pub parent: Option<Span>,
    /// Event type.
    pub what: String,
    /// Where it stands.
    pub position: String,
    /// Id of the document that it changed.
    pub document: String,
}

impl EventViewed {
    pub(crate) fn of(view: &View, partition: u32, message: &Message, document: &str) -> Self {
        let trace = message.trace.trace;
        Self {
            context: trace.at(view.span(trace, partition, &message.id)),
            parent: message.trace.span,
            what: message.kind.clone(),
            position: message.position.to_string(),
            document: document.to_owned(),
        }
    }
}

/// Takes events. Called on the path of records and requests: must be quick and must not block.
pub trait Observer: Send + Sync + 'static {
    /// Takes one event.
    fn observe(&self, event: Event<'_>);

    /// Returns true if it wants to be told of each event that a view takes, and that commands name the request that brought them as their parent.
    fn wants_traces(&self) -> bool {
        false
    }
}

/// Takes nothing in.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: Event<'_>) {}
}
