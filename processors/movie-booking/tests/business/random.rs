//! Any evening at the cinema, see [`business::testing::evening`].

use business::testing::evening::{CUSTOMERS, Drawn, Evenings, pick};
use fluvio_streams::testing::Random;
use movie_booking::MovieBooking;
use movie_booking::names::NAMES;
use serde_json::json;

use crate::support::*;

const EVENINGS: u64 = 200;
const COMMANDS: [&str; 8] = ["BookSeats", "BookSeats", "BookSeats", "BookSeats", "CancelBooking", "CancelBooking", "PrintTicket", "PrintTicket"];
const SEATS: [&str; 4] = ["1A", "1B", "1C", "1D"];

fn evenings() -> Evenings<MovieBooking> {
    Evenings { system: system_of, command, law: laws_hold }
}

#[test]
fn the_laws_hold_on_any_evening() {
    evenings().everything_happens(EVENINGS);
}

#[test]
fn an_evening_replays_exactly() {
    evenings().replays_exactly(3);
}

/// Six bookings are after four seats of each of two showings.
fn command(random: &mut Random) -> Drawn {
    let id = format!("b-{}", random.below(6));
    let kind = pick(random, &COMMANDS);
    let fields = if kind == "BookSeats" {
        let first = random.below(4) as usize;
        let seats = &SEATS[first..(first + 1 + random.below(2) as usize).min(SEATS.len())];
        let movie = pick(random, &["Parasite", "Minari"]);
        json!({"movieName": movie, "seats": seats, "totalPrice": 1 + random.below(9), "customerId": pick(random, &CUSTOMERS)})
    } else {
        json!({})
    };
    Drawn { kind, id_field: NAMES.id_field, id, fields }
}
