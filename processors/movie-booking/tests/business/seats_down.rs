//! The seats do not answer: customers are told to wait, nobody is asked for money, and everything catches up when the seats are back; and a follower that is down holds up nobody.

use fluvio_streams::testing::TestDriver;
use movie_booking::Config;
use serde_json::json;

use crate::support::*;

#[test]
fn a_booking_waits_for_seats_that_are_down_and_is_booked_when_they_are_back() {
    killed_everywhere(|world| {
        world.driver.take_down("seats");
        world.book("b-1", "kim", &["1A"]);
        world.book("b-2", "lee", &["1A"]);
        world.driver.advance(609);
        world.assert_status("b-1", "PaymentPending");
        world.driver.advance(1);
        for booking in ["b-1", "b-2"] {
            world.assert_status(booking, "PaymentDeferred");
            assert_eq!(world.event(booking, "PaymentDeferred")["reason"], "SeatsUnavailable");
            assert!(world.asked(booking).is_empty(), "nobody is asked for money");
        }
        world.driver.advance(59_000);
        world.driver.bring_up("seats");
        world.driver.advance(300);
        world.assert_status("b-1", "Booked");
        world.assert_status("b-2", "Rejected");
        assert_eq!(world.event("b-2", "BookingRejected")["reason"], "SeatsTaken");
        // The wait for the seats is over: nothing comes of its end.
        world.driver.advance(700_000);
        world.assert_status("b-1", "Booked");
    });
}

#[test]
fn a_booking_ends_if_the_seats_do_not_come_back_and_leaves_nothing_held() {
    killed_everywhere(|world| {
        world.driver.take_down("seats");
        world.book("b-1", "kim", &["1A"]);
        world.driver.advance(610 + 599_999);
        world.assert_status("b-1", "PaymentDeferred");
        world.driver.advance(1);
        world.assert_status("b-1", "Rejected");
        assert_eq!(world.event("b-1", "BookingRejected")["reason"], "SeatsUnavailable");
        world.book("b-2", "lee", &["1A"]);
        world.driver.bring_up("seats");
        world.driver.advance(300);
        world.assert_status("b-1", "Rejected");
        world.assert_status("b-2", "Booked");
        assert!(world.asked("b-1").is_empty());
    });
}

/// Cancelled before the seats have even heard of it: what was asked comes to them in its order.
#[test]
fn a_booking_that_is_cancelled_while_the_seats_are_down_leaves_nothing_held() {
    for cancel_after_ms in [0, 10, 1_000] {
        killed_everywhere(|world| {
            world.driver.take_down("seats");
            world.book("b-1", "kim", &["1A"]);
            world.driver.advance(cancel_after_ms);
            world.send("CancelBooking", "b-1", json!({}));
            world.driver.advance(5_000);
            world.assert_status("b-1", "Cancelled");
            world.driver.bring_up("seats");
            world.driver.advance(300);
            world.assert_status("b-1", "Cancelled");
            assert_eq!(world.driver.kinds(SEATS_EVENTS, SHOWING), ["SeatHeld", "SeatFreed"]);
            assert!(world.asked("b-1").is_empty());
        });
    }
}

/// The booking is forgotten before the seats have answered: what they say then is about nobody, and no dead letter.
#[test]
fn an_answer_to_a_forgotten_booking_is_nothing() {
    let world = || world_of(&Config { retention_ms: 1_000, ..Config::default() }, 1);
    business::testing::killed_everywhere(world, |world| {
        world.driver.take_down("seats");
        world.book("b-1", "kim", &["1A"]);
        world.driver.run_until_idle();
        world.send("CancelBooking", "b-1", json!({}));
        world.driver.advance(3_000);
        assert_eq!(world.aggregate("b-1"), None, "forgotten");
        // Its id is used again, for another seat: that the first one's are held is nothing to it.
        world.book("b-1", "lee", &["1B"]);
        world.driver.run_until_idle();
        world.driver.bring_up("seats");
        world.driver.advance(300);
        world.assert_status("b-1", "Booked");
        assert_eq!(world.seat("1A").0, "Free");
        assert_eq!(world.driver.distinct_events(DEAD_LETTERS), []);
        laws_hold(world);
    });
}

#[test]
fn a_confirmation_waits_for_seats_that_went_down_meanwhile() {
    killed_everywhere(|world| {
        world.book("b-1", "kim", &["1A"]);
        world.driver.run_until_idle();
        world.driver.take_down("seats");
        world.driver.advance(60_000);
        world.assert_status("b-1", "Booked");
        assert_eq!(world.seat("1A").0, "Held");
        world.driver.bring_up("seats");
        world.driver.run_until_idle();
        assert_eq!(world.seat("1A").0, "Sold");
    });
}

/// Tickets only follow: bookings go through while they are down, and they catch up.
#[test]
fn bookings_go_on_without_tickets() {
    killed_everywhere(|world| {
        world.driver.take_down("tickets");
        world.book("b-1", "kim", &["1A"]);
        world.book("b-2", "lee", &["1B"]);
        world.driver.advance(60_000);
        world.send("CancelBooking", "b-2", json!({}));
        world.driver.advance(60_000);
        world.assert_status("b-1", "Booked");
        world.assert_status("b-2", "Cancelled");
        world.driver.bring_up("tickets");
        world.driver.run_until_idle();
        assert_eq!((world.ticket("b-1").as_deref(), world.ticket("b-2").as_deref()), (Some("Waiting"), Some("Void")));
        world.send("PrintTicket", "b-1", json!({}));
        world.driver.run_until_idle();
        world.assert_status("b-1", "TicketReceived");
    });
}

/// Nobody runs the seats at all: nothing is established, and nothing else is held up.
#[test]
fn nothing_is_booked_without_seats() {
    let mut topology = system_of(&Config::default()).topology;
    topology.processors.retain(|processor| processor.name != "seats");
    let mut driver = TestDriver::new(topology, 1);
    driver.pipe(
        "movie-booking-commands",
        "b-1",
        &json!({"type": "BookSeats", "bookingId": "b-1", "movieName": SHOWING, "seat": "1A", "totalPrice": 1}).to_string(),
    );
    driver.advance(700_000);
    assert_eq!(driver.kinds(BOOKINGS_EVENTS, "b-1"), ["BookingRequested", "PaymentDeferred", "BookingRejected"]);
    assert_eq!(driver.events("movie-booking-payment-requests"), []);
}
