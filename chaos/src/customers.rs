//! Those who send commands: over HTTP and with the official client. Whoever gets no answer sends again under the same id, until there is one, and writes down what was sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fluvio::{Fluvio, RecordKey, TopicProducerConfigBuilder, TopicProducerPool};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::{Doing as _, Error};
use crate::ledger::{SYSTEM, Sent};
use crate::limits::{ANSWER_LIMIT, CLIENT_LIMIT, RESEND_PAUSE, SENDS_MAX};
use crate::plan::{self, Command};
use crate::reader;

/// Every so many customers (or orders, of an open load), one writes records instead of asking over HTTP.
pub(crate) const WRITERS_EVERY: usize = 3;

/// How far the customers are, and how far they may go.
pub(crate) struct Progress {
    orders: usize,
    next: AtomicUsize,
    done: watch::Sender<usize>,
    gate: watch::Sender<usize>,
    /// Sendings without an answer.
    pub(crate) doubtful: AtomicU64,
    pub(crate) sendings: AtomicU64,
}

impl Progress {
    pub(crate) fn new(orders: usize) -> Self {
        let (next, done, gate) = (AtomicUsize::new(0), watch::Sender::new(0), watch::Sender::new(0));
        Self { orders, next, done, gate, doubtful: AtomicU64::new(0), sendings: AtomicU64::new(0) }
    }

    /// Lets orders up to this number be placed.
    pub(crate) fn allow(&self, orders: usize) {
        self.gate.send_if_modified(|gate| std::mem::replace(gate, orders.max(*gate)) < orders);
    }

    /// Returns of how many orders the story is told.
    pub(crate) fn done(&self) -> usize {
        *self.done.borrow()
    }

    /// Waits until the stories of so many orders are told.
    pub(crate) async fn reached(&self, orders: usize) {
        let _ = self.done.subscribe().wait_for(|done| *done >= orders.min(self.orders)).await;
    }

    /// Takes the next order's number, once it may be placed; none after the last one.
    async fn take(&self) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut gate = self.gate.subscribe();
        if number < self.orders {
            gate.wait_for(|gate| *gate > number).await.ok()?;
        }
        (number < self.orders).then_some(number)
    }
}

/// What was sent.
pub(crate) struct SentLog {
    known: Mutex<(Known, File)>,
}

/// Orders and ids of commands, and whether they are known to be on record.
type Known = BTreeMap<(String, String), bool>;

impl SentLog {
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).doing(|| format!("cannot create `{}`", path.display()))?;
        Ok(Self { known: Mutex::new((Known::new(), file)) })
    }

    pub(crate) fn note(&self, order: &str, id: &str, is_acknowledged: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, file) = &mut *known;
        // What is proved is proved by the list; the file is for people.
        let _ = writeln!(file, "{}", json!({"order": order, "id": id, "isAcknowledged": is_acknowledged}));
        *all.entry((order.to_owned(), id.to_owned())).or_default() |= is_acknowledged;
    }

    pub(crate) fn all(&self) -> Vec<Sent> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.iter().map(|((order, id), is_acknowledged)| Sent { order: order.clone(), id: id.clone(), is_acknowledged: *is_acknowledged }).collect()
    }
}

/// Where customers find what they need.
#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) seed: u64,
    pub(crate) sc: String,
    pub(crate) api: watch::Receiver<String>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sent: Arc<SentLog>,
}

/// Plays customers until all orders are told.
pub(crate) async fn play(counter: &Counter, customers: usize) -> Result<(), Error> {
    let http = client()?;
    let tasks = (0..customers).map(|number| tokio::spawn(Customer::new(counter, &http, number % WRITERS_EVERY == WRITERS_EVERY - 1).live()));
    for ended in try_join_all(tasks).await.doing(|| "a customer panicked".to_owned())? {
        ended?;
    }
    Ok(())
}

/// Returns a client for customers who ask over HTTP.
pub(crate) fn client() -> Result<reqwest::Client, Error> {
    reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build().doing(|| "no HTTP client".to_owned())
}

/// Somebody who sends commands.
pub(crate) struct Customer {
    counter: Counter,
    http: reqwest::Client,
    writer: Option<Writer>,
}

impl Customer {
    /// Returns somebody who writes records, or asks over HTTP.
    pub(crate) fn new(counter: &Counter, http: &reqwest::Client, writes_records: bool) -> Self {
        Self { counter: counter.clone(), http: http.clone(), writer: writes_records.then(Writer::default) }
    }

    async fn live(self) -> Result<(), Error> {
        while let Some(number) = self.counter.progress.take().await {
            self.tell(number).await?;
        }
        Ok(())
    }

    /// Tells the story of the order of this number.
    pub(crate) async fn tell(&self, number: usize) -> Result<(), Error> {
        let Counter { seed, progress, .. } = &self.counter;
        let story = plan::story(*seed, number, self.writer.is_some());
        for step in &story.steps {
            try_join_all(step.iter().flat_map(|command| (0..command.copies).map(move |_| command)).map(|command| self.send(command))).await?;
        }
        if let (Some((key, value)), Some(writer)) = (&story.garbage, &self.writer) {
            // Whether it is on record is not known if it fails; if it is, it has an outcome.
            let _ = writer.write(&self.counter.sc, key.as_deref(), value.clone()).await;
        }
        progress.done.send_modify(|done| *done += 1);
        Ok(())
    }

    /// Sends a command until it is known to be on record.
    async fn send(&self, command: &Command) -> Result<(), Error> {
        let Counter { progress, sent, .. } = &self.counter;
        if let Some(id) = &command.id {
            sent.note(&command.order, id, false);
        }
        for _ in 0..SENDS_MAX {
            progress.sendings.fetch_add(1, Ordering::Relaxed);
            let place = match &self.writer {
                Some(writer) => writer.write(&self.counter.sc, command.key.as_deref(), command.record().into_bytes()).await,
                None => self.ask(command).await?,
            };
            if let Some(place) = place {
                sent.note(&command.order, command.id.as_deref().unwrap_or(&place), true);
                return Ok(());
            }
            progress.doubtful.fetch_add(1, Ordering::Relaxed);
            sleep(RESEND_PAUSE).await;
        }
        Err(Error::new(format!("{} of `{}` was sent {SENDS_MAX} times without an answer", command.kind, command.order)))
    }

    /// Asks over HTTP; none if it is not known whether the command is on record.
    async fn ask(&self, command: &Command) -> Result<Option<String>, Error> {
        let (path, body) = command.request();
        let url = format!("http://{}{path}", *self.counter.api.borrow());
        let id = command.id.clone().unwrap_or_default();
        let answer = self.http.post(url).header("content-type", "application/json").header("idempotency-key", &id).body(body.to_string()).send().await;
        let Ok(answer) = answer else { return Ok(None) };
        match answer.status().as_u16() {
            200..=202 | 402 | 404 | 409 => Ok(Some(id)),
            500..=599 => Ok(None),
            status => {
                let said = answer.text().await.unwrap_or_default();
                Err(Error::new(format!("{} of `{}` was answered {status}: {said}", command.kind, command.order)))
            }
        }
    }
}

/// Who writes records. After a failure it connects anew: the client does not recover from everything.
#[derive(Default)]
struct Writer {
    connection: tokio::sync::Mutex<Option<(Fluvio, Arc<TopicProducerPool>)>>,
}

impl Writer {
    /// Writes a record and returns where it stands; none if that is not known.
    async fn write(&self, sc: &str, key: Option<&str>, value: Vec<u8>) -> Option<String> {
        let written = timeout(CLIENT_LIMIT, self.try_write(sc, key, value)).await.ok().flatten();
        if written.is_none() {
            *self.connection.lock().await = None;
        }
        written
    }

    async fn try_write(&self, sc: &str, key: Option<&str>, value: Vec<u8>) -> Option<String> {
        let topic = format!("{SYSTEM}-commands");
        let producer = {
            let mut connection = self.connection.lock().await;
            if connection.is_none() {
                let client = reader::connect(sc).await.ok()?;
                let config = TopicProducerConfigBuilder::default().linger(std::time::Duration::ZERO).build().ok()?;
                let producer = client.topic_producer_with_config(&topic, config).await.ok()?;
                *connection = Some((client, Arc::new(producer)));
            }
            Arc::clone(&connection.as_ref()?.1)
        };
        let key = key.map_or(RecordKey::NULL, RecordKey::from);
        let sending = producer.send(key, value).await.ok()?;
        producer.flush().await.ok()?;
        let written = sending.wait().await.ok()?;
        Some(format!("{topic}/{}/{}", written.partition_id(), written.offset()))
    }
}
