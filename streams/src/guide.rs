//! A guide: from one function to an application on a cluster.
//!
//! # A processor
//!
//! What you write is a [`Processor`](crate::processor::Processor): a function from one input and the state to changes and events. It is synchronous, it reads no clock and talks to nobody;
//! it asks its [`Context`](crate::processor::Context). Which topics it reads and writes is data, a [`Topology`](crate::topology::Topology). The
//! [test driver](crate::testing::TestDriver) runs it without a broker, and what it runs is what a cluster runs.
//!
//! ```
//! use std::sync::Arc;
//!
//! use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection};
//! use fluvio_streams::testing::TestDriver;
//! use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};
//!
//! #[derive(serde::Deserialize)]
//! struct Lend {
//!     book: String,
//!     reader: String,
//! }
//!
//! /// Lends each book to one reader at a time, and reminds them after two weeks.
//! struct Library;
//!
//! impl Processor for Library {
//!     fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
//!         match input {
//!             Input::Message(message) => {
//!                 let lend: Lend = message.decode()?; // what cannot be read goes to the dead letters
//!                 if cx.get::<String>("lent", &lend.book)?.is_some() {
//!                     return Err(Rejection::new("BookLent", "somebody else has it").into()); // an outcome, written to the rejections
//!                 }
//!                 cx.put("lent", &lend.book, &lend.reader);
//!                 cx.set_timer("due", &lend.book, cx.now_ms() + 14 * 24 * 60 * 60 * 1_000)?;
//!                 cx.emit("books", "BookLent", &lend.book, &lend.reader);
//!             }
//!             Input::Timer(timer) => {
//!                 let reader: Option<String> = cx.get("lent", &timer.key)?;
//!                 cx.emit("books", "BookDue", &timer.key, &reader);
//!             }
//!             Input::CallResult(_) => {}
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let library = ProcessorSpec {
//!     name: "library".into(),
//!     sources: vec![Source::commands("wishes", "book", Routing::Except(vec![]))],
//!     sinks: vec!["books".into()],
//!     journal: "library-journal".into(),
//!     stores: vec!["lent".into()],
//!     calls: vec![],
//!     rejections: "rejections".into(),
//!     dead_letters: "dead-letters".into(),
//!     logic: Arc::new(Library),
//! };
//! let mut driver = TestDriver::new(Topology { application: "library".into(), processors: vec![library] }, 2);
//! driver.pipe("wishes", "dune", r#"{"type":"Lend","book":"dune","reader":"kim"}"#);
//! driver.pipe("wishes", "dune", r#"{"type":"Lend","book":"dune","reader":"lee"}"#);
//! driver.run_until_idle();
//! driver.kill("library", 0); // nothing is lost that was committed
//! driver.kill("library", 1);
//! driver.advance(15 * 24 * 60 * 60 * 1_000);
//! assert_eq!(driver.kinds("books", "dune"), ["BookLent", "BookDue"]);
//! assert_eq!(driver.events("rejections")[0].data["reason"], "BookLent");
//! ```
//!
//! Everything that one input changes, and everything that it emits, is one transaction: all of it happens, or none, and it happens once, whoever is killed when. So test your processor
//! by killing it: [`TestDriver::crash_at`](crate::testing::TestDriver::crash_at) every step in turn, and compare what comes out.
//!
//! # State, and what is built on it
//!
//! Stores are ordered maps from text to JSON, each partition's its own. What is needed again and again comes as values that work on the context:
//!
//! | for | use | it keeps |
//! |---|---|---|
//! | something that must happen later | [`Context::set_timer`](crate::processor::Context::set_timer) | the timer, over restarts and moves |
//! | an outside system | [`Context::call`](crate::processor::Context::call), a [`CallHandler`](crate::runtime::CallHandler) | the call until it is answered; the id is the idempotency key |
//! | a question to another processor with a deadline | [`Guard`](crate::guard::Guard), which has a [`Breaker`](crate::breaker::Breaker) | attempts, the queue, the breaker |
//! | counts and sums over time | [`WindowedAggregate`](crate::window::WindowedAggregate) | one value a key and open window |
//! | what happened close to something else of the same key | [`StreamStream`](crate::join::StreamStream) | the records that may still find a partner |
//! | what another topic says of the same key | [`StreamTable`](crate::join::StreamTable), [`TableTable`](crate::join::TableTable) | the table |
//! | figures for operators | [`Context::add_total`](crate::processor::Context::add_total) | the total, which is exported |
//!
//! # The next version
//!
//! What was stored stays. A store names the versions of its values, with a function from each to the next ([`crate::topology::StoreSpec`]), and programs that are compatible take turns on the same
//! state. One that is not says so by the name of the store when it takes a task over, and changes nothing.
//!
//! # By another key
//!
//! A task sees the records of its partition, and the partition comes from the key. What must meet must have the same key; if it has not, one processor emits it under the key that it should
//! have to a topic between the two, and another one takes it from there:
//!
//! ```
//! use fluvio_streams::processor::{Context, Failure, Input};
//!
//! fn split(input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
//!     let Input::Message(line) = input else { return Ok(()) };
//!     for word in line.decode::<String>()?.split_whitespace() {
//!         cx.emit("words", "WordSaid", word, &1); // to the partition of the word
//!     }
//!     Ok(())
//! }
//! ```
//!
//! All topics of a processor must have the same number of partitions; a runtime refuses to start otherwise, and names them. `examples/word_count.rs` does this on a broker,
//! `examples/windowed.rs` joins, repartitions and gathers in windows.
//!
//! # On a cluster
//!
//! A [`Runtime`](crate::runtime::Runtime) runs the topology on a [`Log`](crate::log::Log): [`FluvioLog`](crate::fluvio::FluvioLog) is a Fluvio cluster. The topics must exist, the journals
//! among them; sources that are routed need the SmartModule `thin-map` there ([`FluvioLog::ensure_smartmodule`](crate::fluvio::FluvioLog::ensure_smartmodule)). Local stores
//! ([`FjallStores`](crate::state::store::FjallStores)) are caches of the journals: any may be deleted.
//!
//! # Where the promises end
//!
//! A reader outside may see an event twice after a crash, under the same CloudEvents id; processors of this library drop the second one by themselves. A call to an outside system may be
//! made twice, with the same id. The time of a step is the machine's clock, journaled: what must not depend on it takes the time of the record instead ([`crate::window`]).
