//! What customers book: seats of a showing, which are held before the customer is asked for the money.
//!
//! | reason code | when |
//! |---|---|
//! | `SeatsTaken` | somebody else has one of the seats |
//! | `ShowingFull` | the showing has as many seats held or sold as are taken on |
//! | `SeatsUnavailable` | the seats did not answer in time (deferred), or not at all (rejected) |
//!
//! The rest are those of every front, see [`business::front::decide`].

use business::fields::Fields;
use business::front::event::Event;
use business::front::state::Aggregate;
use business::limits::AMOUNT_WON_MAX;
use business::schema::{Described, Object, free_text, id, integer, list, text, won};
use business::{Business, Followed, Names, Opening};
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::state::StateError;
use fluvio_streams::system::FieldError;
use fluvio_streams::topology::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::limits::{SEAT_BYTES_MAX, SEATS_PER_BOOKING_MAX};
use crate::names::SEATS_UNAVAILABLE;
use crate::seats::{self, CONFIRM, HOLD, RELEASE, Reply, Request};

/// Customer of a booking that names none.
pub const CUSTOMER_ID_DEFAULT: &str = "guest";

/// Movie booking.
#[derive(Debug)]
pub struct MovieBooking;

/// What is remembered of a booking. The movie's name is not: no rule needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Of which showing.
    pub showing_id: String,
    /// Which seats, in capitals, each once.
    pub seats: Vec<String>,
}

impl Business for MovieBooking {
    type Details = Details;

    const NAMES: Names = crate::names::NAMES;
    const UNPREPARED: &'static str = SEATS_UNAVAILABLE;

    fn open(fields: Fields<'_>) -> Result<Opening<Details>, FieldError> {
        let movie_name = fields.identifier("movieName")?.map(str::trim).filter(|name| !name.is_empty());
        let movie_name = movie_name.ok_or_else(|| fields.wrong("movieName", "must say which movie"))?;
        // The only showing of a movie goes by its name.
        let showing_id = fields.identifier("showingId")?.unwrap_or(movie_name).to_owned();
        let seats = seats(fields)?;
        if fields.integer("qty", 1, SEATS_PER_BOOKING_MAX as i64)?.is_some_and(|qty| qty != seats.len() as i64) {
            return Err(fields.wrong("qty", format!("must be the number of seats, which is {}", seats.len())));
        }
        let amount = fields.integer("totalPrice", 0, AMOUNT_WON_MAX)?.ok_or_else(|| fields.wrong("totalPrice", "is missing"))?;
        Ok(Opening {
            customer_id: fields.identifier("customerId")?.unwrap_or(CUSTOMER_ID_DEFAULT).to_owned(),
            amount,
            told: Map::from_iter([("movieName".to_owned(), Value::from(movie_name)), ("qty".to_owned(), Value::from(seats.len()))]),
            details: Details { showing_id, seats },
        })
    }

    fn describe() -> Described {
        let showing = || id("Of which showing; the movie's only one goes by its name.");
        let mut seats = list(1, text("A seat, such as `1A`."), "Which seats. Either this or `seat`.");
        seats["maxItems"] = json!(SEATS_PER_BOOKING_MAX);
        let movie = || id("Which movie.");
        let qty = || integer(1, SEATS_PER_BOOKING_MAX as i64, "The number of seats.");
        Described {
            command: Object::default()
                .may("customerId", id("Who books."))
                .must("movieName", movie())
                .may("showingId", showing())
                .may("seats", seats)
                .may("seat", free_text("The seats with commas between them, such as `1A,1B`."))
                .may("qty", qty())
                .must("totalPrice", won("What is paid for all seats.")),
            details: Object::default()
                .must("showingId", id("Of which showing."))
                .must("seats", list(1, text("A seat."), "Which seats, in capitals, each once.")),
            told: Object::default().must("movieName", movie()).must("qty", qty()),
            request: Object::default(),
        }
    }

    /// Has the seats held: the customer is asked for the money when they are.
    fn prepare(cx: &mut Context<'_>, id: &str, booking: &Aggregate<Details>) -> Result<bool, StateError> {
        ask_seats(cx, HOLD, id, booking);
        Ok(false)
    }

    /// Tells the seats what becomes of them. What is asked of a showing arrives there in the order in which a booking asks it, so nothing overtakes the holding.
    fn changed(cx: &mut Context<'_>, id: &str, booking: &Aggregate<Details>, event: &Event) {
        match event {
            Event::Established { .. } => ask_seats(cx, CONFIRM, id, booking),
            Event::Rejected { .. } | Event::Cancelled { .. } => ask_seats(cx, RELEASE, id, booking),
            _ => {}
        }
    }

    fn sources() -> Vec<Source> {
        vec![Source::events(&seats::replies_topic(), &[seats::HELD, seats::REFUSED])]
    }

    fn sinks() -> Vec<String> {
        vec![seats::requests_topic()]
    }

    fn follow(message: &Message, _booking: &Aggregate<Details>) -> Result<Followed, Failure> {
        let Reply { reason, detail, .. } = message.decode()?;
        match message.kind.as_str() {
            seats::HELD => Ok(Followed::Ready),
            seats::REFUSED => {
                let reason = reason.ok_or_else(|| Unreadable(format!("{}: field `reason` is missing", message.kind)))?;
                Ok(Followed::Reject { reason, detail })
            }
            kind => Err(Unreadable(format!("the seats do not answer `{kind}`")).into()),
        }
    }

    fn complete(document: &mut Map<String, Value>) {
        let code = crate::names::STATUS_CODES.iter().find(|(status, _)| document.get("status").is_some_and(|now| now == status));
        match code {
            Some((_, code)) => drop(document.insert("statusCode".to_owned(), Value::from(*code))),
            None => drop(document.remove("statusCode")),
        }
    }
}

fn ask_seats(cx: &mut Context<'_>, kind: &str, id: &str, booking: &Aggregate<Details>) {
    let Details { showing_id, seats } = &booking.details;
    let request = Request { booking_id: id.to_owned(), incarnation: booking.incarnation.clone(), showing_id: showing_id.clone(), seats: seats.clone() };
    cx.emit(&seats::requests_topic(), kind, showing_id, &request);
}

/// Reads either the list `seats` or the text `seat` of names with commas between them.
fn seats(fields: Fields<'_>) -> Result<Vec<String>, FieldError> {
    let (field, names): (&str, Vec<&str>) = match (fields.get("seats"), fields.text("seat")?) {
        (Some(_), Some(_)) => return Err(fields.wrong("seat", "must be left out when there is a list `seats`")),
        (Some(list), None) => {
            let names = list.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<&str>>>());
            ("seats", names.flatten().ok_or_else(|| fields.wrong("seats", "must be a list of seats such as \"1A\""))?)
        }
        (None, Some(text)) => ("seat", text.split(',').collect()),
        (None, None) => return Err(fields.wrong("seats", "is missing: say which seats, such as [\"1A\", \"1B\"]")),
    };
    if !(1..=SEATS_PER_BOOKING_MAX).contains(&names.len()) {
        return Err(fields.wrong(field, format!("must name 1 to {SEATS_PER_BOOKING_MAX} seats")));
    }
    let mut seats: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let seat = seats::name(name).ok_or_else(|| fields.wrong(field, format!("names a seat that is not 1 to {SEAT_BYTES_MAX} letters, digits or dashes")))?;
        if seats.contains(&seat) {
            return Err(fields.wrong(field, format!("names the seat {seat} twice")));
        }
        seats.push(seat);
    }
    Ok(seats)
}
