//! Who gets a seat: held before the money is asked for, sold when it is paid, free again when the booking ends without; and the same with a kill at every place where a task can die.

use fluvio_streams::partitioner::partition_for;
use movie_booking::Config;
use movie_booking::limits::{SEATS_PER_BOOKING_MAX, SEATS_PER_SHOWING_MAX};
use movie_booking::seats::key;
use serde_json::json;

use crate::support::*;

const PARTITIONS: u32 = 3;

fn seat(status: &str, booking: &str) -> (String, String) {
    (status.to_owned(), booking.to_owned())
}

#[test]
fn seats_are_held_before_the_money_is_asked_for_and_sold_when_it_is_paid() {
    killed_everywhere(|world| {
        world.book("b-1", "kim", &["1A", "1B"]);
        world.driver.run_until_idle();
        world.assert_status("b-1", "PaymentPending");
        assert_eq!((world.seat("1A"), world.seat("1B")), (seat("Held", "b-1"), seat("Held", "b-1")));
        assert_eq!(world.asked("b-1"), ["PaymentRequested"]);
        world.driver.advance(200);
        world.assert_status("b-1", "Booked");
        assert_eq!((world.seat("1A"), world.seat("1B")), (seat("Sold", "b-1"), seat("Sold", "b-1")));
        assert_eq!(world.driver.kinds(SEATS_EVENTS, SHOWING), ["SeatHeld", "SeatHeld", "SeatSold", "SeatSold"]);
        assert_eq!(world.kinds("b-1"), ["BookingRequested", "Booked"]);
    });
}

#[test]
fn a_seat_that_somebody_has_is_refused_and_nobody_is_asked_for_money() {
    for (customer, status) in [("kim", "Sold"), ("simulate-stall", "Held")] {
        killed_everywhere(|world| {
            world.book("b-1", customer, &["1A", "1B"]);
            world.driver.advance(1_000);
            assert_eq!(world.seat("1B"), seat(status, "b-1"));
            world.book("b-2", "lee", &["1B", "1C"]);
            world.driver.advance(300);
            world.assert_status("b-2", "Rejected");
            let rejected = world.event("b-2", "BookingRejected");
            assert_eq!((&rejected["reason"], &rejected["detail"]), (&json!("SeatsTaken"), &json!("taken at showing `Parasite`: 1B")));
            assert!(world.asked("b-2").is_empty(), "{:?}", world.asked("b-2"));
            assert_eq!((world.seat("1B"), world.seat("1C")), (seat(status, "b-1"), seat("Free", "")), "all or nothing");
            // The rest of what was refused is free for the next.
            world.book("b-3", "lee", &["1C"]);
            world.driver.advance(200);
            world.assert_status("b-3", "Booked");
        });
    }
}

/// Bookings of several partitions want the seat at the same time, in any order of work.
#[test]
fn of_many_who_want_a_seat_one_gets_it() {
    let bookings: Vec<String> = (0..8).map(|number| format!("b-{number}")).collect();
    let mut winners = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut world = world_with_seed(&Config::default(), PARTITIONS, seed);
        for booking in &bookings {
            world.book(booking, "kim", &["1A"]);
        }
        world.driver.advance(300);
        let booked: Vec<&String> = bookings.iter().filter(|booking| world.status(booking) == Some("Booked")).collect();
        assert_eq!(booked.len(), 1, "seed {seed}");
        let refused =
            bookings.iter().filter(|booking| world.status(booking) == Some("Rejected") && world.event(booking, "BookingRejected")["reason"] == "SeatsTaken");
        assert_eq!(refused.count(), bookings.len() - 1, "seed {seed}");
        assert_eq!(world.books().accepted.len(), 1, "one of them pays");
        winners.insert(booked[0].clone());
        world.look();
        laws_hold(&world);
    }
    let partitions: std::collections::BTreeSet<u32> = winners.iter().map(|booking| partition_for(booking.as_bytes(), PARTITIONS)).collect();
    assert!(partitions.len() > 1, "the order of work decides: {winners:?}");
}

/// Two want the same two seats, named in another order: nobody ends up with one of them.
#[test]
fn whoever_wants_several_seats_gets_all_or_none() {
    for seed in 0..40 {
        let mut world = world_with_seed(&Config::default(), PARTITIONS, seed);
        world.book("b-1", "kim", &["1A", "1B", "1C"]);
        world.book("b-2", "lee", &["1C", "1B"]);
        world.driver.advance(300);
        let (first, second) = (world.status("b-1"), world.status("b-2"));
        assert!(matches!((first, second), (Some("Booked"), Some("Rejected")) | (Some("Rejected"), Some("Booked"))), "seed {seed}: {first:?}, {second:?}");
        laws_hold(&world);
    }
}

#[test]
fn seats_of_another_showing_are_other_seats() {
    let mut world = world_of(&Config::default(), PARTITIONS);
    for (booking, movie, showing) in
        [("b-1", "Parasite", json!(null)), ("b-2", "Parasite", json!("evening")), ("b-3", "Minari", json!(null)), ("b-4", "Minari", json!("Parasite"))]
    {
        world.send("BookSeats", booking, json!({"movieName": movie, "showingId": showing, "seat": "1a", "totalPrice": 1}));
    }
    world.driver.advance(300);
    let statuses = ["b-1", "b-2", "b-3"].map(|booking| world.status(booking));
    assert_eq!(statuses, [Some("Booked"); 3]);
    world.assert_status("b-4", "Rejected");
    let documents = world.documents("seats");
    assert_eq!(documents.keys().collect::<Vec<_>>(), [&key("Minari", "1A"), &key("Parasite", "1A"), &key("evening", "1A")]);
    world.look();
    laws_hold(&world);
}

/// However a booking ends unpaid, its seats are free in the same moment, and the next can have them.
#[test]
fn seats_are_free_again_when_the_booking_ends_unpaid() {
    // Customer, when the customer cancels, when it has ended, how.
    for (customer, cancel_after_ms, ends_after_ms, reason) in [
        ("simulate-decline", None, 100, Some("PaymentDeclined")),
        ("simulate-stall", None, 30_000, Some("PaymentTimedOut")),
        ("simulate-stall", Some(0), 0, None),
        ("simulate-stall", Some(5_000), 5_000, None),
        ("simulate-too-late", None, 30_000, Some("PaymentTimedOut")),
    ] {
        killed_everywhere(|world| {
            world.book("b-1", customer, &["1A"]);
            world.driver.run_until_idle();
            assert_eq!(world.seat("1A"), seat("Held", "b-1"));
            match cancel_after_ms {
                Some(after_ms) => {
                    world.driver.advance(after_ms);
                    world.send("CancelBooking", "b-1", json!({}));
                    world.driver.run_until_idle();
                }
                None => world.driver.advance(ends_after_ms),
            }
            world.assert_status("b-1", if reason.is_some() { "Rejected" } else { "Cancelled" });
            assert_eq!(reason.map(|reason| world.event("b-1", "BookingRejected")["reason"] == reason), reason.map(|_| true));
            assert_eq!(world.seat("1A"), seat("Free", ""));
            world.book("b-2", "lee", &["1A"]);
            world.driver.advance(300);
            world.assert_status("b-2", "Booked");
            assert_eq!(world.seat("1A"), seat("Sold", "b-2"));
            // An approval that comes now is paid back, and takes no seat from anybody.
            world.driver.advance(120_000);
            assert_eq!(world.seat("1A"), seat("Sold", "b-2"));
            assert_eq!((world.total("live_won"), world.total("open_won")), (PRICE_WON, 0));
        });
    }
}

#[test]
fn an_approval_after_giving_up_is_refunded_and_the_seats_stay_free() {
    killed_everywhere(|world| {
        world.book("b-1", "simulate-too-late", &["1A"]);
        world.driver.advance(120_000);
        world.assert_status("b-1", "Rejected");
        assert_eq!(world.kinds("b-1"), ["BookingRequested", "PaymentDeferred", "BookingRejected", "PaymentUnwanted", "BookingRefunded"]);
        assert_eq!(world.seat("1A"), seat("Free", ""));
        assert_eq!(world.driver.kinds(SEATS_EVENTS, SHOWING), ["SeatHeld", "SeatFreed"]);
        let books = world.books();
        assert_eq!(books.undone.keys().collect::<Vec<_>>(), ["movie-booking/b-1/1/undo@0-0"]);
    });
}

#[test]
fn a_late_approval_sells_what_is_still_held() {
    killed_everywhere(|world| {
        world.book("b-1", "simulate-late", &["1A"]);
        world.driver.advance(700);
        world.assert_status("b-1", "PaymentDeferred");
        assert_eq!(world.event("b-1", "PaymentDeferred")["reason"], "PaymentTimedOut");
        assert_eq!(world.seat("1A"), seat("Held", "b-1"));
        world.driver.advance(5_000);
        world.assert_status("b-1", "Booked");
        assert_eq!(world.event("b-1", "Booked")["late"], true);
        assert_eq!(world.seat("1A"), seat("Sold", "b-1"));
    });
}

#[test]
fn seats_stay_held_while_the_provider_is_not_available() {
    let world = || world_of(&touchy(5_000), 1);
    business::testing::killed_everywhere(world, |world| {
        for (booking, row) in [("b-8", "8A"), ("b-9", "9A")] {
            world.book(booking, "simulate-fail", &[row]);
        }
        world.driver.advance(100);
        for booking in ["b-8", "b-9"] {
            world.send("CancelBooking", booking, json!({}));
        }
        world.book("b-1", "kim", &["1A"]);
        world.driver.run_until_idle();
        world.assert_status("b-1", "PaymentDeferred");
        assert_eq!(world.event("b-1", "PaymentDeferred")["reason"], "PaymentUnavailable");
        assert_eq!(world.seat("1A"), seat("Held", "b-1"));
        world.driver.advance(8_000);
        world.assert_status("b-1", "Booked");
        laws_hold(world);
    });
}

/// A booking id is used again, also for the same seat, when the booking that had it is forgotten: the seats know the two apart.
#[test]
fn seats_know_bookings_of_one_id_apart() {
    let world = || world_of(&Config { retention_ms: 1_000, ..Config::default() }, 1);
    business::testing::killed_everywhere(world, |world| {
        world.book("b-1", "kim", &["1A"]);
        world.driver.advance(200);
        world.send("PrintTicket", "b-1", json!({}));
        world.driver.advance(3_000);
        assert_eq!(world.aggregate("b-1"), None, "forgotten");
        assert_eq!(world.seat("1A"), seat("Sold", "b-1"), "but not whose the seat is");
        world.book("b-1", "lee", &["1A"]);
        world.driver.advance(200);
        world.assert_status("b-1", "Rejected");
        world.driver.advance(3_000);
        world.book("b-1", "lee", &["1B"]);
        world.driver.advance(200);
        world.send("CancelBooking", "b-1", json!({}));
        world.driver.advance(200);
        assert_eq!((world.seat("1A"), world.seat("1B")), (seat("Sold", "b-1"), seat("Free", "")));
        world.driver.advance(3_000);
        laws_hold(world);
    });
}

#[test]
fn more_seats_than_a_showing_may_have_are_refused() {
    let mut world = world_of(&Config::default(), 1);
    let names: Vec<String> = (0..SEATS_PER_SHOWING_MAX + 1).map(|number| format!("S{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (fitting, last) = names.split_at(SEATS_PER_SHOWING_MAX);
    for (number, seats) in fitting.chunks(SEATS_PER_BOOKING_MAX).enumerate() {
        world.book(&format!("b-{number}"), "kim", seats);
    }
    world.driver.advance(500);
    assert_eq!(world.driver.total("seats", "seats_sold"), SEATS_PER_SHOWING_MAX as i64);
    world.book("b-last", "kim", last);
    world.driver.advance(500);
    assert_eq!(world.event("b-last", "BookingRejected")["reason"], "ShowingFull");
    world.send("CancelBooking", "b-0", json!({}));
    world.book("b-next", "kim", last);
    world.driver.advance(500);
    world.assert_status("b-next", "Booked");
    world.look();
    laws_hold(&world);
}

/// Whoever writes requests for seats by hand gets no seat that somebody has, frees none, and disturbs nobody.
#[test]
fn strange_requests_move_nobody_s_seat() {
    let mut world = world_of(&Config::default(), 1);
    world.book("b-1", "kim", &["1A"]);
    world.driver.advance(300);
    let request = |kind: &str, seats: serde_json::Value| {
        json!({"type": kind, "bookingId": "b-7", "incarnation": "9-9", "showingId": SHOWING, "seats": seats}).to_string()
    };
    let strange = [
        request("ConfirmSeats", json!(["1A"])),
        request("ConfirmSeats", json!(["1B"])),
        request("HoldSeats", json!([])),
        request("HoldSeats", json!(["1b"])),
        request("HoldSeats", json!(["1B", "1B"])),
        request("HoldSeats", json!(["1/B"])),
        request("HoldSeats", json!("1B")),
    ];
    for request in &strange {
        world.driver.pipe(SEAT_REQUESTS, SHOWING, request);
    }
    world.driver.pipe(SEAT_REQUESTS, SHOWING, &request("ReleaseSeats", json!(["1A"])));
    world.driver.advance(300);
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS).len(), strange.len());
    assert_eq!((world.seat("1A"), world.seat("1B")), (seat("Sold", "b-1"), seat("Free", "")));
    world.book("b-2", "lee", &["1B"]);
    world.driver.advance(300);
    world.assert_status("b-2", "Booked");
    laws_hold(&world);
}

/// Two tasks must not know of one showing: a request that was written to the wrong partition is forwarded.
#[test]
fn a_request_in_the_wrong_partition_finds_its_showing() {
    let mut world = world_of(&Config::default(), PARTITIONS);
    world.book("b-1", "kim", &["1A"]);
    world.driver.advance(300);
    let request = json!({"type": "HoldSeats", "bookingId": "b-7", "incarnation": "9-9", "showingId": SHOWING, "seats": ["1A"]}).to_string();
    let wrong = (partition_for(SHOWING.as_bytes(), PARTITIONS) + 1) % PARTITIONS;
    world.driver.pipe_to(SEAT_REQUESTS, wrong, None, request.as_bytes());
    world.driver.advance(300);
    assert_eq!(world.driver.kinds(SEAT_REPLIES, "b-7"), ["SeatsRefused"]);
    laws_hold(&world);
}
