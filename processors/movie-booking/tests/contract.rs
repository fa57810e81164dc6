//! What the HTTP layer and senders of commands rely on: which field is wrong, how seats are written, and what an event means to a sender.

use fluvio_streams::system::{FieldError, Outcome, System};
use fluvio_streams::topology::Routing;
use movie_booking::limits::SEATS_PER_BOOKING_MAX;
use movie_booking::names::{NAMES, TICKETS};
use movie_booking::{Config, MovieBooking, system};
use serde_json::{Value, json};

fn movie_booking() -> System {
    system(&Config::default()).expect("the default settings work")
}

/// Checks a command as the HTTP layer does before it is sent.
#[track_caller]
fn check(body: &Value) -> Result<(), FieldError> {
    let kind = body["type"].as_str().expect("a type");
    let commands = movie_booking().commands;
    let spec = commands.iter().find(|spec| spec.kind == kind).unwrap_or_else(|| panic!("`{kind}` is a command"));
    (spec.check)(body)
}

fn book(fields: Value) -> Value {
    let mut body = json!({"type": "BookSeats", "bookingId": "b-1", "movieName": "Parasite", "seats": ["1A"], "totalPrice": 15_000});
    let object = body.as_object_mut().expect("an object");
    object.extend(fields.as_object().expect("an object").clone());
    object.retain(|_, value| !value.is_null());
    body
}

/// Returns the showing and the seats that a command is read as.
fn read(fields: Value) -> (String, Vec<String>) {
    match business::front::commands::read::<MovieBooking>("BookSeats", &book(fields)).expect("readable") {
        Some(business::front::commands::Command::Open(opening)) => (opening.details.showing_id, opening.details.seats),
        other => panic!("{other:?}"),
    }
}

#[test]
fn little_is_enough_to_book_seats() {
    let many: Vec<String> = (0..SEATS_PER_BOOKING_MAX).map(|number| format!("{number}A")).collect();
    for fields in [
        json!({}),
        json!({"bookingId": null}),
        json!({"customerId": "kim", "showingId": "evening", "qty": 1, "commandId": "c-1"}),
        json!({"movieName": "기생충", "totalPrice": 0}),
        json!({"seats": null, "seat": "1A,2B", "qty": 2}),
        json!({"seats": many, "nobody": {"asks": "for this"}}),
    ] {
        assert_eq!(check(&book(fields.clone())), Ok(()), "{fields}");
    }
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let many: Vec<String> = (0..=SEATS_PER_BOOKING_MAX).map(|number| format!("{number}A")).collect();
    for (fields, field) in [
        (json!({"movieName": null}), "movieName"),
        (json!({"movieName": ""}), "movieName"),
        (json!({"movieName": "  "}), "movieName"),
        (json!({"movieName": "a\nb"}), "movieName"),
        (json!({"movieName": "x".repeat(257)}), "movieName"),
        (json!({"showingId": ""}), "showingId"),
        (json!({"showingId": 7}), "showingId"),
        (json!({"seats": null}), "seats"),
        (json!({"seats": []}), "seats"),
        (json!({"seats": "1A"}), "seats"),
        (json!({"seats": [1]}), "seats"),
        (json!({"seats": ["1A", "1a"]}), "seats"),
        (json!({"seats": [""]}), "seats"),
        (json!({"seats": ["1/A"]}), "seats"),
        (json!({"seats": ["1 A"]}), "seats"),
        (json!({"seats": ["123456789"]}), "seats"),
        (json!({"seats": many}), "seats"),
        (json!({"seat": "1A"}), "seat"),
        (json!({"seats": null, "seat": ""}), "seat"),
        (json!({"seats": null, "seat": "1A,"}), "seat"),
        (json!({"seats": null, "seat": "1A, 1A"}), "seat"),
        (json!({"seats": null, "seat": ["1A"]}), "seat"),
        (json!({"qty": 2}), "qty"),
        (json!({"qty": "1"}), "qty"),
        (json!({"totalPrice": null}), "totalPrice"),
        (json!({"totalPrice": -1}), "totalPrice"),
        (json!({"totalPrice": 1_000_000_000_001_i64}), "totalPrice"),
        (json!({"customerId": ""}), "customerId"),
        (json!({"bookingId": ""}), "bookingId"),
    ] {
        assert_eq!(check(&book(fields.clone())).map_err(|error| error.field), Err(field.to_owned()), "{fields}");
    }
    for kind in ["CancelBooking", "PrintTicket"] {
        assert_eq!(check(&json!({"type": kind, "bookingId": "b-1"})), Ok(()));
        assert_eq!(check(&json!({"type": kind})).map_err(|error| error.field), Err("bookingId".to_owned()));
    }
}

/// `1a` and ` 1A ` are one seat, or it would be sold twice; and the only showing of a movie goes by the movie's name.
#[test]
fn a_seat_is_written_in_one_way() {
    assert_eq!(read(json!({"seats": null, "seat": " 1a ,2B"})), ("Parasite".to_owned(), vec!["1A".to_owned(), "2B".to_owned()]));
    assert_eq!(read(json!({"movieName": " Parasite "})), ("Parasite".to_owned(), vec!["1A".to_owned()]));
    assert_eq!(read(json!({"showingId": "evening", "seats": ["vip-1"]})), ("evening".to_owned(), vec!["VIP-1".to_owned()]));
}

#[test]
fn an_event_is_an_outcome_to_the_sender_of_a_command() {
    let outcome = movie_booking().outcome;
    let reason = |reason: &str| json!({ "reason": reason });
    let because = |reason: &str| Some(reason.to_owned());
    for (command, event, data, expected) in [
        ("BookSeats", "BookingRequested", json!({}), None),
        ("BookSeats", "Booked", json!({}), Some((Outcome::Done, None))),
        ("BookSeats", "PaymentDeferred", reason("PaymentTimedOut"), Some((Outcome::Deferred, because("PaymentTimedOut")))),
        ("BookSeats", "PaymentDeferred", reason("SeatsUnavailable"), Some((Outcome::Deferred, because("SeatsUnavailable")))),
        ("BookSeats", "BookingRejected", reason("PaymentDeclined"), Some((Outcome::Declined, because("PaymentDeclined")))),
        ("BookSeats", "BookingRejected", reason("SeatsTaken"), Some((Outcome::Refused, because("SeatsTaken")))),
        ("BookSeats", "BookingRejected", reason("ShowingFull"), Some((Outcome::Refused, because("ShowingFull")))),
        ("BookSeats", "CommandRejected", reason("BookingExists"), Some((Outcome::Refused, because("BookingExists")))),
        ("BookSeats", "PaymentAbandoned", reason("BookingCancelled"), Some((Outcome::Refused, because("BookingCancelled")))),
        ("CancelBooking", "BookingCancelled", json!({}), Some((Outcome::Done, None))),
        ("CancelBooking", "BookingRefunded", json!({}), None),
        ("CancelBooking", "CommandRejected", reason("TicketAlreadyPrinted"), Some((Outcome::Refused, because("TicketAlreadyPrinted")))),
        ("PrintTicket", "BookingStatusChanged", json!({}), Some((Outcome::Done, None))),
        ("PrintTicket", "CommandRejected", reason("BookingUnknown"), Some((Outcome::Unknown, because("BookingUnknown")))),
        ("PrintTicket", "CommandRejected", reason("DuplicateCommand"), Some((Outcome::Repeated, because("DuplicateCommand")))),
    ] {
        assert_eq!(outcome(command, event, &data), expected, "{command}: {event} {data}");
    }
}

#[test]
fn routes_and_views_are_those_of_the_contract() {
    let system = movie_booking();
    let commands: Vec<_> = system.commands.iter().map(|spec| (spec.kind, spec.collection, spec.verb)).collect();
    assert_eq!(commands, [("BookSeats", "bookings", None), ("CancelBooking", "bookings", Some("cancel")), ("PrintTicket", "tickets", Some("print"))]);
    let views: Vec<_> = system.views.iter().map(|view| (view.collection, view.by_id, view.owned_by)).collect();
    let seats: &[(&str, &str)] = &[("showings", "showingId")];
    assert_eq!(views, [("bookings", true, &[][..]), ("seats", false, seats), ("tickets", true, &[][..])]);
    assert!(system.views[0].filters.contains(&"customerId"));
}

/// Of the records that people write, each is owned by one processor.
#[test]
fn one_processor_owns_the_garbage_of_a_topic() {
    let topology = movie_booking().topology;
    let sources = topology.processors.iter().flat_map(|processor| &processor.sources);
    for topic in ["movie-booking-commands", "movie-booking-payment-replies"] {
        let owners = sources.clone().filter(|source| source.topic == topic && matches!(source.routing, Routing::Except(_)));
        assert_eq!(owners.count(), 1, "{topic}");
    }
    assert_eq!(topology.check(), Ok(()));
    assert_eq!((NAMES.system, TICKETS.processor), ("movie-booking", "tickets"));
}
