//! What customers read: a table for each business that is known, and plain words for any other.
//!
//! A line applies to a status, or to an event type (of what is undone, the status says nothing); the first that fits counts. In the text, `{id}` is the id of what it is about.

use business::Names;

/// (status or event type, reason code or "" for any, text)
type Line = (&'static str, &'static str, &'static str);

/// Returns the sentence for a customer: `subject` is a status or, of an undoing, the type of the event.
pub fn sentence(names: &Names, subject: &str, reason: Option<&str>, id: &str) -> String {
    let fits = |(line, code, _): &&Line| *line == subject && (code.is_empty() || Some(*code) == reason);
    match table(names.system).iter().find(fits) {
        Some((_, _, text)) => text.replace("{id}", id),
        None => plain(names, subject, id),
    }
}

fn table(system: &str) -> &'static [Line] {
    match system {
        "food-delivery" => FOOD_DELIVERY,
        "movie-booking" => MOVIE_BOOKING,
        "mask-shop" => MASK_SHOP,
        _ => &[],
    }
}

const FOOD_DELIVERY: &[Line] = &[
    ("PaymentPending", "", "We received order {id} and are taking the payment."),
    ("PaymentDeferred", "", "The payment of order {id} takes longer. We will tell you."),
    ("Placed", "", "Order {id} is placed."),
    ("Accepted", "", "The store accepted order {id}."),
    ("Cooking", "", "Order {id} is being cooked."),
    ("Delivering", "", "Order {id} is on its way."),
    ("Delivered", "", "Order {id} was delivered."),
    ("Cancelled", "", "Order {id} was cancelled."),
    ("Rejected", "PaymentDeclined", "Order {id} was not placed: the payment was declined."),
    ("Rejected", "StoreDeclined", "The store could not take order {id}."),
    ("Rejected", "", "Order {id} was not placed: the payment did not succeed in time."),
    ("OrderRefunded", "", "Your payment for order {id} was refunded."),
];

const MOVIE_BOOKING: &[Line] = &[
    ("PaymentPending", "", "We received booking {id} and are taking the payment."),
    ("PaymentDeferred", "", "Booking {id} takes longer. We will tell you."),
    ("Booked", "", "Booking {id} is confirmed. You can print the ticket."),
    ("TicketReceived", "", "The ticket of booking {id} is printed. Enjoy the movie."),
    ("Cancelled", "", "Booking {id} was cancelled."),
    ("Rejected", "SeatsTaken", "Booking {id} was not possible: the seats are taken."),
    ("Rejected", "PaymentDeclined", "Booking {id} was not possible: the payment was declined."),
    ("Rejected", "", "Booking {id} was not possible in time."),
    ("BookingRefunded", "", "Your payment for booking {id} was refunded."),
];

const MASK_SHOP: &[Line] = &[
    ("DeliveryPending", "", "We received order {id} and are asking the delivery team."),
    ("DeliveryDeferred", "", "The delivery of order {id} is not arranged yet. We will tell you."),
    ("Placed", "", "Order {id} is placed."),
    ("Delivered", "", "Order {id} was delivered."),
    ("Cancelled", "OutOfStock", "Order {id} was cancelled: there are not enough masks."),
    ("Cancelled", "", "Order {id} was cancelled."),
    ("Rejected", "DeliveryDeclined", "Order {id} was not placed: the delivery team cannot take it."),
    ("Rejected", "", "Order {id} was not placed: the delivery could not be arranged in time."),
    ("DeliveryCancelled", "", "The delivery of order {id} was called off."),
];

/// Says it of a business that nobody wrote sentences for: `Order o-1: payment deferred.`
fn plain(names: &Names, subject: &str, id: &str) -> String {
    let mut words = String::new();
    for letter in subject.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    format!("{} {id}: {words}.", names.words.noun)
}
