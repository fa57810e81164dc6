//! Movie booking in the world of [`business::testing`], and the laws that only this business has.

use std::collections::{BTreeMap, BTreeSet};

use business::testing;
use fluvio_streams::system::System;
use movie_booking::seats::{Seat, key};
use movie_booking::{Config, MovieBooking, system};
use serde_json::{Value, json};

pub(crate) use business::testing::{text, touchy};

pub(crate) const BOOKINGS_EVENTS: &str = "movie-booking-bookings-events";
pub(crate) const SEATS_EVENTS: &str = "movie-booking-seats-events";
pub(crate) const SEAT_REQUESTS: &str = "movie-booking-seat-requests";
pub(crate) const SEAT_REPLIES: &str = "movie-booking-seat-replies";
pub(crate) const TICKETS_EVENTS: &str = "movie-booking-tickets-events";
pub(crate) const DEAD_LETTERS: &str = "movie-booking-dead-letters";

/// Price of the bookings that [`Book::book`] sends, in won.
pub(crate) const PRICE_WON: i64 = 30_000;
/// Showing of the bookings that [`Book::book`] sends.
pub(crate) const SHOWING: &str = "Parasite";

pub(crate) type World = testing::World<MovieBooking>;

pub(crate) fn system_of(config: &Config) -> System {
    system(config).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn world_of(config: &Config, partitions: u32) -> World {
    World::new(system_of(config), partitions, None)
}

pub(crate) fn world_with_seed(config: &Config, partitions: u32, seed: u64) -> World {
    World::new(system_of(config), partitions, Some(seed))
}

pub(crate) trait Book {
    /// Books seats of [`SHOWING`].
    fn book(&mut self, booking: &str, customer: &str, seats: &[&str]) -> String;

    /// Status of a seat of [`SHOWING`] as the view shows it, and whose it is; `Free` of nobody if nobody ever had it.
    fn seat(&self, seat: &str) -> (String, String);

    /// Status of a ticket as the view shows it.
    fn ticket(&self, booking: &str) -> Option<String>;
}

impl Book for World {
    fn book(&mut self, booking: &str, customer: &str, seats: &[&str]) -> String {
        self.send("BookSeats", booking, json!({"customerId": customer, "movieName": SHOWING, "seats": seats, "totalPrice": PRICE_WON}))
    }

    fn seat(&self, seat: &str) -> (String, String) {
        self.documents("seats")
            .get(&key(SHOWING, seat))
            .map_or_else(|| ("Free".to_owned(), String::new()), |seat| (text(seat, "status"), text(seat, "bookingId")))
    }

    fn ticket(&self, booking: &str) -> Option<String> {
        self.documents("tickets").get(booking).map(|ticket| text(ticket, "status"))
    }
}

/// Plays a story on a topology with one partition, undisturbed and then killed at every place: nobody may see a difference, and the laws hold.
pub(crate) fn killed_everywhere(story: impl Fn(&mut World)) {
    let world = || world_of(&Config::default(), 1);
    testing::killed_everywhere(world, |world| {
        story(world);
        laws_hold(world);
    });
}

/// Checks what movie booking promises beside the laws of all businesses. The topology is at rest.
pub(crate) fn laws_hold(world: &World) {
    seats_are_wanted(world, &seats_are_nobody_elses(world));
    tickets_follow(world);
}

/// (showing, seat).
type SeatId = (String, String);
/// (booking, incarnation).
type Holder = (String, String);
/// Seats that are held, or sold (true).
type Occupied = BTreeMap<SeatId, (Holder, bool)>;

/// A seat of a showing is never held or sold twice at a time. The events say so, and the state and the view say what the events say.
fn seats_are_nobody_elses(world: &World) -> Occupied {
    let (mut occupied, mut ever) = (Occupied::new(), BTreeMap::new());
    for event in world.driver.distinct_events(SEATS_EVENTS) {
        let seat = (text(&event.data, "showingId"), text(&event.data, "seat"));
        let holder = (text(&event.data, "bookingId"), text(&event.data, "incarnation"));
        assert_eq!(event.subject, seat.0, "keyed by showing");
        ever.insert(seat.clone(), event.partition);
        match (event.kind.as_str(), occupied.get(&seat)) {
            ("SeatHeld", None) => drop(occupied.insert(seat, (holder, false))),
            ("SeatSold", Some((by, false))) if *by == holder => drop(occupied.insert(seat, (holder, true))),
            ("SeatFreed", Some((by, _))) if *by == holder => drop(occupied.remove(&seat)),
            (kind, had) => panic!("{kind} {seat:?} for {holder:?}, though it was {had:?}"),
        }
    }
    let documents = world.documents("seats");
    for (seat, partition) in ever {
        let (key, expected) = (key(&seat.0, &seat.1), occupied.get(&seat));
        let state: Option<Seat> = world.driver.with_context("seats", partition, |cx| cx.get("seats", &key).unwrap_or_else(|error| panic!("{error}")));
        let state = state.map(|seat| ((seat.booking_id, seat.incarnation), seat.sold));
        assert_eq!(state.as_ref(), expected, "{seat:?}, as the state and the events say");
        let status = expected.map_or("Free", |(_, sold)| if *sold { "Sold" } else { "Held" });
        assert_eq!(
            (&documents[&key]["status"], documents[&key].get("bookingId")),
            (&json!(status), expected.map(|((id, _), _)| json!(id)).as_ref()),
            "{seat:?}"
        );
    }
    let count = |wanted: bool| occupied.values().filter(|(_, sold)| *sold == wanted).count() as i64;
    assert_eq!(["seats_held", "seats_sold"].map(|total| world.driver.total("seats", total)), [count(false), count(true)], "held, sold");
    occupied
}

/// A seat is held or sold exactly while its booking wants it.
fn seats_are_wanted(world: &World, occupied: &Occupied) {
    let bookings = world.driver.distinct_events(BOOKINGS_EVENTS);
    // A booking that waits wants its seats from when they were held for it.
    let replies = world.driver.distinct_events(SEAT_REPLIES).into_iter().filter(|reply| reply.kind == "SeatsHeld");
    let held: BTreeSet<Holder> = replies.map(|reply| (reply.subject, text(&reply.data, "incarnation"))).collect();
    let mut wanted = Occupied::new();
    for id in bookings.iter().map(|event| event.subject.clone()).collect::<BTreeSet<_>>() {
        let Some(booking) = world.aggregate(&id) else { continue };
        let holder = (id, booking.incarnation);
        if booking.status.is_live() || (booking.status.is_waiting() && held.contains(&holder)) {
            let of = |seat| ((booking.details.showing_id.clone(), seat), (holder.clone(), booking.status.is_live()));
            wanted.extend(booking.details.seats.into_iter().map(of));
        }
    }
    // What somebody has a printed ticket for stays sold, also when the booking is forgotten.
    for event in bookings.iter().filter(|event| event.data["status"] == "TicketReceived") {
        let holder = (event.subject.clone(), text(&event.data, "incarnation"));
        for seat in event.data["seats"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            wanted.insert((text(&event.data, "showingId"), seat.to_owned()), (holder.clone(), true));
        }
    }
    assert_eq!(*occupied, wanted, "what is held or sold, and what is wanted");
}

/// A ticket is there for every booking that was paid, printed when the customer has it, and void when the booking was cancelled.
fn tickets_follow(world: &World) {
    let events = world.driver.distinct_events(BOOKINGS_EVENTS);
    for id in events.iter().map(|event| event.subject.as_str()).collect::<BTreeSet<_>>() {
        let Some(booking) = world.aggregate(id) else { continue };
        let was_booked = events.iter().any(|event| event.subject == id && event.kind == "Booked" && event.data["incarnation"] == booking.incarnation.as_str());
        let expected = match world.status(id) {
            Some("Booked") => "Waiting",
            Some("TicketReceived") => "Printed",
            Some("Cancelled") if was_booked => "Void",
            _ => continue,
        };
        assert_eq!(world.ticket(id).as_deref(), Some(expected), "ticket of {id}");
    }
}
