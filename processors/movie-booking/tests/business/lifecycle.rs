//! What people do with a booking: in order, out of order, at the wrong time, twice; and what customers see of it.

use movie_booking::Config;
use serde_json::{Value, json};

use crate::support::*;

const PARTITIONS: u32 = 3;

fn world() -> World {
    world_of(&Config::default(), PARTITIONS)
}

/// Returns a world in which booking `b-1` of seat 1A has come to `status`.
fn world_at(status: &str) -> World {
    let mut world = world();
    let customer = match status {
        "PaymentPending" | "PaymentDeferred" => "simulate-stall",
        "Rejected" => "simulate-decline",
        _ => "kim",
    };
    world.book("b-1", customer, &["1A"]);
    world.driver.advance(if status == "PaymentDeferred" { 700 } else { 200 });
    let command = match status {
        "TicketReceived" => Some("PrintTicket"),
        "Cancelled" => Some("CancelBooking"),
        _ => None,
    };
    if let Some(command) = command {
        world.send(command, "b-1", json!({}));
        world.driver.advance(200);
    }
    world.assert_status("b-1", status);
    world
}

#[test]
fn a_booking_is_paid_printed_and_shown() {
    killed_everywhere(|world| {
        let fields = json!({"customerId": "kim", "movieName": SHOWING, "seat": "2a, 1B", "qty": 2, "totalPrice": 30_000});
        world.send("BookSeats", "b-1", fields);
        world.driver.advance(200);
        assert_eq!(world.ticket("b-1").as_deref(), Some("Waiting"));
        world.send("PrintTicket", "b-1", json!({}));
        world.driver.advance(200);
        world.assert_status("b-1", "TicketReceived");
        assert_eq!(world.kinds("b-1"), ["BookingRequested", "Booked", "BookingStatusChanged"]);
        assert_eq!(world.driver.kinds(TICKETS_EVENTS, "b-1"), ["TicketIssued", "TicketPrinted"]);
        let document = &world.documents("bookings")["b-1"];
        for (field, expected) in [
            ("bookingId", json!("b-1")),
            ("customerId", json!("kim")),
            ("movieName", json!("Parasite")),
            ("showingId", json!("Parasite")),
            ("seats", json!(["2A", "1B"])),
            ("qty", json!(2)),
            ("totalPrice", json!(30_000)),
            ("status", json!("TicketReceived")),
            ("statusCode", json!(2)),
            ("payment", json!({"attempts": 1, "captured": 30_000, "refunded": 0})),
        ] {
            assert_eq!(document[field], expected, "{field} of {document}");
        }
        assert_eq!(world.ticket("b-1").as_deref(), Some("Printed"));
    });
}

#[test]
fn every_status_has_the_code_that_it_had() {
    for (status, code) in
        [("PaymentPending", None), ("PaymentDeferred", None), ("Rejected", None), ("Booked", Some(1)), ("TicketReceived", Some(2)), ("Cancelled", Some(9))]
    {
        let document = &world_at(status).documents("bookings")["b-1"];
        assert_eq!((document["status"].as_str(), document.get("statusCode").and_then(Value::as_i64)), (Some(status), code));
    }
}

/// Goal: one table says what every command means at every status. Read a row as: at this status, `BookSeats`, `CancelBooking`, `PrintTicket`; then the booking, its seat and its ticket.
#[test]
fn every_command_at_every_status_has_one_outcome() {
    let table = [
        // The command for the ticket waits until it is known that there is none to print yet.
        ("PaymentPending", ["BookingExists", "Cancelled", "BookingNotPaid"]),
        ("PaymentDeferred", ["BookingExists", "Cancelled", "BookingNotPaid"]),
        ("Booked", ["BookingExists", "Cancelled", "TicketReceived"]),
        ("TicketReceived", ["BookingExists", "TicketAlreadyPrinted", "TicketAlreadyPrinted"]),
        ("Cancelled", ["BookingExists", "BookingAlreadyCancelled", "BookingAlreadyCancelled"]),
        ("Rejected", ["BookingExists", "BookingAlreadyRejected", "BookingAlreadyRejected"]),
    ];
    for (status, expected) in table {
        for (kind, expected) in ["BookSeats", "CancelBooking", "PrintTicket"].into_iter().zip(expected) {
            let mut world = world_at(status);
            let fields = if kind == "BookSeats" { json!({"movieName": "Minari", "seat": "9Z", "totalPrice": 1}) } else { json!({}) };
            let command = world.send(kind, "b-1", fields);
            // As long as a ticket's command waits for a booking that it does not know.
            world.driver.advance(1_000);
            match world.refusals(&command).as_slice() {
                [] => world.assert_status("b-1", expected),
                refusals => assert_eq!(refusals, [expected], "{kind} at {status}"),
            }
            world.look();
            laws_hold(&world);
        }
    }
    let mut world = world();
    let commands = ["CancelBooking", "PrintTicket"].map(|kind| world.send(kind, "b-404", json!({})));
    world.driver.advance(2_000);
    assert_eq!(commands.map(|command| world.refusals(&command)), [["BookingUnknown"]; 2]);
}

#[test]
fn a_cancelled_booking_is_refunded_its_seats_are_free_and_its_ticket_is_void() {
    killed_everywhere(|world| {
        world.book("b-1", "kim", &["1A", "1B"]);
        world.driver.advance(200);
        world.send("CancelBooking", "b-1", json!({"reason": "ill"}));
        world.driver.advance(500);
        world.assert_status("b-1", "Cancelled");
        assert_eq!(world.kinds("b-1"), ["BookingRequested", "Booked", "BookingCancelled", "BookingRefunded"]);
        assert_eq!(world.event("b-1", "BookingRefunded")["amount"], PRICE_WON);
        assert_eq!(world.driver.kinds(TICKETS_EVENTS, "b-1"), ["TicketIssued", "TicketVoided"]);
        assert_eq!((world.seat("1A").0.as_str(), world.seat("1B").0.as_str()), ("Free", "Free"));
        assert_eq!(world.ticket("b-1").as_deref(), Some("Void"));
        let document = &world.documents("bookings")["b-1"];
        assert_eq!((&document["statusCode"], &document["cancelReason"]), (&json!(9), &json!("ill")));
        assert_eq!(world.books().undone.len(), 1);
    });
}

#[test]
fn a_customer_who_cancels_while_waiting_gets_the_money_back() {
    for (customer, cancel_after_ms) in [("kim", 5), ("simulate-twice", 5), ("simulate-late", 1_000), ("simulate-refund-fail-once", 5)] {
        killed_everywhere(|world| {
            world.book("b-1", customer, &["1A"]);
            world.driver.advance(cancel_after_ms);
            world.send("CancelBooking", "b-1", json!({}));
            world.driver.advance(10_000);
            world.assert_status("b-1", "Cancelled");
            let told = if cancel_after_ms < 610 { "PaymentAbandoned" } else { "PaymentDeferred" };
            assert_eq!(world.kinds("b-1"), ["BookingRequested", told, "BookingCancelled", "PaymentUnwanted", "BookingRefunded"]);
            assert_eq!(world.books().undone.keys().collect::<Vec<_>>(), ["movie-booking/b-1/1/undo@0-0"]);
            assert_eq!(world.ticket("b-1"), None);
        });
    }
}

/// The customer cancels while the desk prints the ticket: the front's word is final, and the ticket that was printed is void.
#[test]
fn a_ticket_that_is_printed_while_the_customer_cancels_is_void() {
    let mut printed = 0;
    for seed in 0..60 {
        let mut world = world_with_seed(&Config::default(), PARTITIONS, seed);
        world.book("b-1", "kim", &["1A"]);
        world.driver.advance(200);
        let print = world.send("PrintTicket", "b-1", json!({}));
        let cancel = world.send("CancelBooking", "b-1", json!({}));
        world.driver.advance(500);
        world.assert_status("b-1", "Cancelled");
        assert_eq!((world.refusals(&cancel), world.refusals(&print)), (vec![], vec!["BookingAlreadyCancelled".to_owned()]), "seed {seed}");
        assert_eq!((world.seat("1A").0.as_str(), world.ticket("b-1").as_deref()), ("Free", Some("Void")), "seed {seed}");
        printed += usize::from(world.driver.kinds(TICKETS_EVENTS, "b-1") == ["TicketIssued", "TicketPrinted", "TicketVoided"]);
        world.look();
        laws_hold(&world);
    }
    assert!(printed > 0, "the two cross");
}

#[test]
fn commands_sent_in_one_go_wait_for_their_booking() {
    killed_everywhere(|world| {
        world.book("b-1", "kim", &["1A"]);
        world.send("PrintTicket", "b-1", json!({}));
        world.driver.advance(500);
        world.assert_status("b-1", "TicketReceived");
        assert_eq!(world.driver.total("tickets", "ticket_commands_parked"), 0);
    });
}

#[test]
fn a_command_sent_twice_has_the_effect_of_once() {
    killed_everywhere(|world| {
        let fields = json!({"movieName": SHOWING, "seats": ["1A"], "totalPrice": 7});
        for (id, kind, fields) in [("c-a", "BookSeats", fields), ("c-b", "PrintTicket", json!({}))] {
            for _ in 0..2 {
                world.send_as(id, kind, "b-1", fields.clone());
                world.driver.advance(300);
            }
            assert_eq!(world.refusals(id), ["DuplicateCommand"]);
        }
        assert_eq!(world.driver.kinds(SEATS_EVENTS, SHOWING), ["SeatHeld", "SeatSold"]);
        assert_eq!(world.books().accepted.len(), 1);
    });
}

#[test]
fn an_id_is_assigned_and_keeps_later_commands_together() {
    let mut world = world();
    world.driver.pipe_to(
        "movie-booking-commands",
        1,
        None,
        json!({"type": "BookSeats", "movieName": SHOWING, "seat": "1A", "totalPrice": 1}).to_string().as_bytes(),
    );
    world.driver.advance(200);
    let booked = world.driver.distinct_events(BOOKINGS_EVENTS).into_iter().find(|event| event.kind == "Booked").expect("it is booked");
    assert!(booked.subject.starts_with("b-") && booked.partition == 1, "{booked:?}");
    world.send("PrintTicket", &booked.subject, json!({}));
    world.driver.advance(200);
    world.assert_status(&booked.subject, "TicketReceived");
    laws_hold(&world);
}
