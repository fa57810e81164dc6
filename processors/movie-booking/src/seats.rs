//! The seats of showings: who has which, one task for all seats of a showing, so that a seat is never held or sold twice at a time.
//!
//! A booking's front asks over `movie-booking-seat-requests`, keyed by showing: to hold all of its seats or none, to sell what it holds, to give it back. It is answered over
//! `movie-booking-seat-replies`, keyed by booking. Whatever is asked twice is done once, and nobody gives back or sells another's seat.
//! What it is not: it knows no customer and no money, and no time: a seat is held until its booking says otherwise.

use std::sync::Arc;

use business::schema::records::{event, message};
use business::schema::{Object, id, list, text};
use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::projection::Projection;
use fluvio_streams::state::StateError;
use fluvio_streams::system::RecordSpec;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, names};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::limits::{SEAT_BYTES_MAX, SEATS_PER_BOOKING_MAX, SEATS_PER_SHOWING_MAX};
use crate::names::{NAMES, SEATS_TAKEN, SHOWING_FULL};

/// Name of the processor, and of the store with an entry for each seat that is not free: `<showing>/<seat>`.
pub const NAME: &str = "seats";

/// Request: to hold these seats, all or none.
pub const HOLD: &str = "HoldSeats";
/// Request: they are paid.
pub const CONFIRM: &str = "ConfirmSeats";
/// Request: the booking has ended.
pub const RELEASE: &str = "ReleaseSeats";

/// Reply: all are held.
pub const HELD: &str = "SeatsHeld";
/// Reply: none is.
pub const REFUSED: &str = "SeatsRefused";

/// Event: a seat is held.
pub const SEAT_HELD: &str = "SeatHeld";
/// Event: a seat that was held is sold.
pub const SEAT_SOLD: &str = "SeatSold";
/// Event: a seat that was held or sold is free.
pub const SEAT_FREED: &str = "SeatFreed";

/// Store with the number of seats that are not free, by showing.
const OCCUPIED: &str = "occupied";
/// Totals: seats held, seats sold.
const TOTALS: &[&str; 2] = &["seats_held", "seats_sold"];

/// What a booking asks of the seats of a showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Which booking.
    pub booking_id: String,
    /// Which booking of this id.
    pub incarnation: String,
    /// Of which showing.
    pub showing_id: String,
    /// Which seats.
    pub seats: Vec<String>,
}

impl Request {
    fn has_seats(&self) -> bool {
        let is_seat = |(index, seat): (usize, &String)| name(seat).as_ref() == Some(seat) && !self.seats[..index].contains(seat);
        (1..=SEATS_PER_BOOKING_MAX).contains(&self.seats.len()) && self.seats.iter().enumerate().all(is_seat)
    }
}

/// What a booking is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Which booking.
    pub booking_id: String,
    /// Which booking of this id.
    pub incarnation: String,
    /// Of which showing.
    pub showing_id: String,
    /// Reason code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Who has a seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Which booking.
    pub booking_id: String,
    /// Which booking of this id.
    pub incarnation: String,
    /// True once it is paid.
    pub sold: bool,
}

impl Seat {
    fn belongs_to(&self, request: &Request) -> bool {
        self.booking_id == request.booking_id && self.incarnation == request.incarnation
    }
}

/// Returns the topic for what is asked of seats.
pub fn requests_topic() -> String {
    topics::requests(NAMES.system, "seat")
}

/// Returns the topic for what bookings are answered.
pub fn replies_topic() -> String {
    topics::replies(NAMES.system, "seat")
}

/// Returns the topic for what happens to seats.
pub fn events_topic() -> String {
    topics::events(NAMES.system, NAME)
}

/// Returns the key of a seat in the store and among documents. No seat's name has a slash, so it is one seat's only.
pub fn key(showing: &str, seat: &str) -> String {
    format!("{showing}/{seat}")
}

/// Returns the name of a seat as it is written everywhere, if `text` is one: `1a` and ` 1A ` are one seat.
pub fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let is_name = (1..=SEAT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| text.to_ascii_uppercase())
}

/// The processor of seats.
#[derive(Debug)]
pub struct Seats {
    replies: String,
    events: String,
}

/// Returns the seats as part of the topology.
pub fn spec() -> ProcessorSpec {
    ProcessorSpec {
        name: NAME.to_owned(),
        // A request that went astray is forwarded: two tasks must not know of one showing.
        sources: vec![Source::commands(&requests_topic(), "showingId", Routing::Types(names(&[HOLD, CONFIRM, RELEASE])))],
        sinks: vec![events_topic(), replies_topic()],
        journal: topics::journal(NAMES.system, NAME),
        stores: vec![StoreSpec::of::<Seat>(NAME).keyed_by("showingId/seat"), StoreSpec::of::<usize>(OCCUPIED).keyed_by("showingId")],
        calls: Vec::new(),
        rejections: topics::rejections(NAMES.system),
        dead_letters: topics::dead_letters(NAMES.system),
        logic: Arc::new(Seats { replies: replies_topic(), events: events_topic() }),
    }
}

/// Returns what is asked of seats, what is answered, and what happens to them.
pub fn records() -> Vec<RecordSpec> {
    let showing = || id("Of which showing.");
    let about =
        || Object::default().must("bookingId", id("Which booking.")).must("incarnation", text("Which booking of this id.")).must("showingId", showing());
    let request = |kind, what| message(&requests_topic(), kind, about().must("seats", list(1, text("A seat."), "Which seats, in capitals, each once.")), what);
    let event = |kind, what| event(&events_topic(), kind, about().must("seat", text("Which seat.")), what);
    let refused = about().must("reason", text("Reason code. Others may be added.")).may("detail", text("Why, for people."));
    vec![
        request(HOLD, "To hold all of these seats, or none."),
        request(CONFIRM, "They are paid."),
        request(RELEASE, "The booking has ended: whatever it has of them is free."),
        message(&replies_topic(), HELD, about(), "All are held."),
        message(&replies_topic(), REFUSED, refused, "None is held."),
        event(SEAT_HELD, "A seat is held."),
        event(SEAT_SOLD, "A seat that was held is sold."),
        event(SEAT_FREED, "A seat that was held or sold is free."),
    ]
}

impl Processor for Seats {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Input::Message(message) = input else { return Ok(()) };
        let request: Request = message.decode()?;
        let unreadable = |why: String| Failure::from(Unreadable(format!("{}: {why}", message.kind)));
        if message.subject.as_deref() != Some(request.showing_id.as_str()) {
            return Err(unreadable("it is not keyed by field `showingId`".to_owned()));
        }
        if !request.has_seats() {
            return Err(unreadable(format!("field `seats` must be 1 to {SEATS_PER_BOOKING_MAX} seats, each once and in capitals")));
        }
        match message.kind.as_str() {
            HOLD => Ok(self.hold(cx, &request)?),
            CONFIRM => self.confirm(cx, &request)?.map_err(unreadable),
            RELEASE => Ok(self.release(cx, &request)?),
            _ => Err(unreadable("the seats take no such request".to_owned())),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        TOTALS
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

impl Seats {
    /// Holds all seats or none, and says which.
    fn hold(&self, cx: &mut Context<'_>, request: &Request) -> Result<(), StateError> {
        let Request { showing_id, seats, .. } = request;
        let (mut free, mut taken) = (Vec::new(), Vec::new());
        for name in seats {
            match cx.get::<Seat>(NAME, &key(showing_id, name))? {
                None => free.push(name),
                Some(seat) if seat.belongs_to(request) => {}
                Some(_) => taken.push(name.as_str()),
            }
        }
        if !taken.is_empty() {
            self.reply(cx, request, Some((SEATS_TAKEN, format!("taken at showing `{showing_id}`: {}", taken.join(", ")))));
            return Ok(());
        }
        let occupied = cx.get::<usize>(OCCUPIED, showing_id)?.unwrap_or_default() + free.len();
        if occupied > SEATS_PER_SHOWING_MAX {
            self.reply(cx, request, Some((SHOWING_FULL, format!("showing `{showing_id}` has at most {SEATS_PER_SHOWING_MAX} seats"))));
            return Ok(());
        }
        for name in &free {
            let Request { booking_id, incarnation, .. } = request;
            let seat = Seat { booking_id: booking_id.clone(), incarnation: incarnation.clone(), sold: false };
            cx.put(NAME, &key(showing_id, name), &seat);
            self.emit(cx, SEAT_HELD, request, name);
        }
        cx.put(OCCUPIED, showing_id, &occupied);
        cx.add_total(TOTALS[0], free.len() as i64)?;
        self.reply(cx, request, None);
        Ok(())
    }

    /// Sells what the booking holds; says so if it does not hold it.
    fn confirm(&self, cx: &mut Context<'_>, request: &Request) -> Result<Result<(), String>, StateError> {
        for name in &request.seats {
            let key = key(&request.showing_id, name);
            let Some(seat) = cx.get::<Seat>(NAME, &key)?.filter(|seat| seat.belongs_to(request)) else {
                return Ok(Err(format!("booking `{}` does not hold {name}", request.booking_id)));
            };
            if !seat.sold {
                cx.put(NAME, &key, &Seat { sold: true, ..seat });
                cx.add_total(TOTALS[0], -1)?;
                cx.add_total(TOTALS[1], 1)?;
                self.emit(cx, SEAT_SOLD, request, name);
            }
        }
        Ok(Ok(()))
    }

    /// Frees what the booking has, which is nothing if it was refused.
    fn release(&self, cx: &mut Context<'_>, request: &Request) -> Result<(), StateError> {
        let Request { showing_id, seats, .. } = request;
        let mut freed = 0;
        for name in seats {
            let key = key(showing_id, name);
            let Some(seat) = cx.get::<Seat>(NAME, &key)?.filter(|seat| seat.belongs_to(request)) else { continue };
            cx.delete(NAME, &key);
            cx.add_total(TOTALS[usize::from(seat.sold)], -1)?;
            self.emit(cx, SEAT_FREED, request, name);
            freed += 1;
        }
        if freed > 0 {
            match cx.get::<usize>(OCCUPIED, showing_id)?.unwrap_or_default().saturating_sub(freed) {
                0 => cx.delete(OCCUPIED, showing_id),
                occupied => cx.put(OCCUPIED, showing_id, &occupied),
            }
        }
        Ok(())
    }

    fn reply(&self, cx: &mut Context<'_>, request: &Request, refused: Option<(&str, String)>) {
        let kind = if refused.is_some() { REFUSED } else { HELD };
        let (reason, detail) = refused.map(|(reason, detail)| (reason.to_owned(), detail)).unzip();
        let Request { booking_id, incarnation, showing_id, .. } = request.clone();
        let reply = Reply { booking_id, incarnation, showing_id, reason, detail };
        cx.emit(&self.replies, kind, &request.booking_id, &reply);
    }

    fn emit(&self, cx: &mut Context<'_>, kind: &str, request: &Request, seat: &str) {
        let Request { booking_id, incarnation, showing_id, .. } = request;
        let data = json!({"showingId": showing_id, "seat": seat, "bookingId": booking_id, "incarnation": incarnation});
        cx.emit(&self.events, kind, showing_id, &data);
    }
}

/// Projection of the seats that somebody ever had, one document each: showingId, seat, status (`Held`, `Sold`, `Free`), bookingId unless it is free, updatedAt.
#[derive(Debug, Clone, Copy)]
pub struct View;

/// What is needed of an event of a seat.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    showing_id: String,
    seat: String,
    booking_id: String,
}

impl Projection for View {
    fn collection(&self) -> &'static str {
        NAME
    }

    fn topic(&self) -> String {
        events_topic()
    }

    fn routing(&self) -> Routing {
        Routing::Types(names(&[SEAT_HELD, SEAT_SOLD, SEAT_FREED]))
    }

    fn indexes(&self) -> &'static [&'static str] {
        &["showingId", "status"]
    }

    fn document_id(&self, event: &Message) -> Result<Option<String>, Unreadable> {
        let Change { showing_id, seat, .. } = event.decode()?;
        Ok(Some(key(&showing_id, &seat)))
    }

    fn fold(&self, _current: Option<Value>, event: &Message) -> Result<Value, Unreadable> {
        let Change { showing_id, seat, booking_id } = event.decode()?;
        let status = match event.kind.as_str() {
            SEAT_HELD => "Held",
            SEAT_SOLD => "Sold",
            SEAT_FREED => "Free",
            kind => return Err(Unreadable(format!("`{kind}` is no event of seats"))),
        };
        let mut document =
            Map::from_iter([("showingId".to_owned(), json!(showing_id)), ("seat".to_owned(), json!(seat)), ("status".to_owned(), json!(status))]);
        if event.kind != SEAT_FREED {
            document.insert("bookingId".to_owned(), json!(booking_id));
        }
        document.insert("updatedAt".to_owned(), json!(format_rfc3339(event.time_ms)));
        Ok(Value::Object(document))
    }
}
