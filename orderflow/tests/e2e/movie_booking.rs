//! Movie booking over HTTP: seats, money, tickets, and what is shown of them.

use serde_json::{Value, json};

use crate::support::{Instance, producer, send, until};

const BOOKINGS: &str = "/movie-booking/bookings";

fn booking(id: &str, customer: &str, seats: &[&str]) -> Value {
    json!({ "bookingId": id, "customerId": customer, "movieName": "Parasite", "seats": seats, "totalPrice": 30_000 })
}

#[tokio::test]
async fn a_seat_is_booked_once_and_its_ticket_printed() {
    let instance = Instance::start(&["--systems=movie-booking"]).await;
    let (status, booked) = instance.post(BOOKINGS, &json!({ "movieName": "Parasite", "seat": "1A,2B", "qty": 2, "totalPrice": 30_000 })).await;
    assert_eq!((status, &booked["status"], &booked["statusCode"]), (201, &json!("Booked"), &json!(1)), "{booked}");
    assert_eq!((&booked["seats"], &booked["showingId"]), (&json!(["1A", "2B"]), &json!("Parasite")));
    let id = booked["bookingId"].as_str().expect("the answer tells the id").to_owned();

    let (status, taken) = instance.post(BOOKINGS, &booking("b-taken", "lee", &["2B", "3C"])).await;
    assert_eq!((status, &taken["reason"]), (409, &json!("SeatsTaken")), "{taken}");
    assert!(taken["detail"].as_str().is_some_and(|detail| detail.contains("2B") && !detail.contains("3C")), "{taken}");
    let (status, declined) = instance.post(BOOKINGS, &booking("b-declined", "simulate-decline", &["3C"])).await;
    assert_eq!((status, &declined["reason"]), (402, &json!("PaymentDeclined")), "{declined}");
    let (status, wrong) = instance.post(BOOKINGS, &json!({ "movieName": "Parasite", "seats": ["3C"], "qty": 2, "totalPrice": 1 })).await;
    assert_eq!(status, 422, "{wrong}");

    let (status, ticket) = instance.post(&format!("/movie-booking/tickets/{id}/print"), &json!({})).await;
    assert_eq!((status, &ticket["status"]), (200, &json!("Printed")), "{ticket}");
    let (status, late) = instance.post(&format!("{BOOKINGS}/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &late["reason"]), (409, &json!("TicketAlreadyPrinted")), "{late}");
    let received = instance.get(&format!("{BOOKINGS}/{id}")).await.1;
    assert_eq!((&received["status"], &received["statusCode"]), (&json!("TicketReceived"), &json!(2)));
}

/// The seat of a booking that is deferred is held; cancelled, it is free within a second, and the next one gets it.
#[tokio::test]
async fn a_held_seat_is_shown_and_free_again_after_a_cancellation() {
    let instance = Instance::start(&["--systems=movie-booking"]).await;
    let (status, deferred) = instance.post(BOOKINGS, &booking("b-1", "simulate-stall", &["1A"])).await;
    assert_eq!((status, &deferred["reason"]), (202, &json!("PaymentTimedOut")), "{deferred}");
    let seats = "/movie-booking/showings/Parasite/seats";
    let status_of_1a = async || instance.get(seats).await.1["items"][0]["status"].clone();
    until("the seat is shown to be held", async || status_of_1a().await == "Held").await;
    assert_eq!(instance.post(BOOKINGS, &booking("b-2", "lee", &["1A"])).await.1["reason"], "SeatsTaken");
    let (status, cancelled) = instance.post(&format!("{BOOKINGS}/b-1/cancel"), &json!({})).await;
    assert_eq!((status, &cancelled["statusCode"]), (200, &json!(9)), "{cancelled}");
    until("the seat is free", async || status_of_1a().await == "Free").await;
    let (status, booked) = instance.post(BOOKINGS, &booking("b-3", "lee", &["1A"])).await;
    assert_eq!(status, 201, "{booked}");
    until("the seat is sold", async || status_of_1a().await == "Sold").await;
    let told = async || instance.get("/movie-booking/notifications?customerId=lee").await.1;
    until("lee is told", async || told().await["items"].as_array().is_some_and(|told| told.iter().any(|told| told["status"] == "Booked"))).await;
}

/// What is written to the topic directly is decided as what comes over HTTP. A booking that is paid for and cancelled gives back its money, its seats and its ticket.
#[tokio::test]
async fn commands_from_the_client_book_cancel_and_print() {
    let instance = Instance::start(&["--systems=movie-booking"]).await;
    let producer = producer(&instance.client().await, "movie-booking-commands").await;
    let command = async |kind: &str, id: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        fields["bookingId"] = json!(id);
        send(&producer, Some(id.as_bytes()), fields.to_string()).await;
    };
    let becomes = async |path: String, status: &str| {
        until(&format!("{path} is {status}"), async || instance.get(&path).await.1["status"] == status).await;
        instance.get(&path).await.1
    };
    let seat = async |status: &str| {
        let seats = "/movie-booking/showings/Parasite/seats";
        until(&format!("1A is {status}"), async || instance.get(seats).await.1["items"][0]["status"] == status).await;
    };
    command("BookSeats", "b-1", booking("b-1", "kim", &["1A"])).await;
    becomes(format!("{BOOKINGS}/b-1"), "Booked").await;
    seat("Sold").await;
    becomes("/movie-booking/tickets/b-1".to_owned(), "Waiting").await;
    command("BookSeats", "b-2", booking("b-2", "lee", &["1A"])).await;
    let rejected = becomes(format!("{BOOKINGS}/b-2"), "Rejected").await;
    assert_eq!(rejected["reason"], "SeatsTaken", "{rejected}");

    command("CancelBooking", "b-1", json!({})).await;
    becomes(format!("{BOOKINGS}/b-1"), "Cancelled").await;
    becomes("/movie-booking/tickets/b-1".to_owned(), "Void").await;
    seat("Free").await;
    until("the money is back", async || instance.get(&format!("{BOOKINGS}/b-1")).await.1["payment"]["refunded"] == 30_000).await;

    command("BookSeats", "b-3", booking("b-3", "lee", &["1A"])).await;
    becomes(format!("{BOOKINGS}/b-3"), "Booked").await;
    command("PrintTicket", "b-3", json!({})).await;
    becomes("/movie-booking/tickets/b-3".to_owned(), "Printed").await;
    becomes(format!("{BOOKINGS}/b-3"), "TicketReceived").await;
}
