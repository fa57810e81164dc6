//! The names of movie booking, as the contract fixes them.

use business::{FollowerNames, Names, PartnerNames, Stage, StageCommand, words};

/// Names of the system and of its front.
pub const NAMES: Names = Names {
    system: "movie-booking",
    collection: "bookings",
    id_field: "bookingId",
    id_prefix: "b",
    amount_field: Some("totalPrice"),
    open: "BookSeats",
    retry: None,
    cancel: "CancelBooking",
    words: words!("Booking", "Payment", established: "Booked", undone: "BookingRefunded", already_established: "BookingAlreadyPaid"),
    stages: &[
        Stage { status: "Booked", event: "", too_late: None },
        Stage { status: "TicketReceived", event: "TicketPrinted", too_late: Some("TicketAlreadyPrinted") },
    ],
    partner: PartnerNames::PAYMENTS,
    totals: Names::PAYMENT_TOTALS,
};

/// Names of the ticket desk, which issues a ticket for every booking that is paid and prints it when told to.
pub const TICKETS: FollowerNames = FollowerNames {
    processor: "tickets",
    events: "tickets",
    collection: "tickets",
    title: "the ticket desk",
    opened: Some(TICKET_ISSUED),
    cancelled: &[TICKET_VOIDED],
    not_established: "BookingNotPaid",
    overloaded: "TicketsOverloaded",
    totals: &["ticket_commands_parked"],
    commands: &[StageCommand {
        kind: "PrintTicket",
        verb: "print",
        event: TICKET_PRINTED,
        stage: 0,
        missing: "TicketNotPrinted",
        taken: "TicketAlreadyPrinted",
        declines: None,
    }],
};

/// Event: there is a ticket, which waits to be printed.
pub const TICKET_ISSUED: &str = "TicketIssued";
/// Event: the ticket is printed.
pub const TICKET_PRINTED: &str = "TicketPrinted";
/// Event: the booking was cancelled, and nobody gets in with its ticket.
pub const TICKET_VOIDED: &str = "TicketVoided";

/// Statuses of bookings with the codes that the original gave them.
pub const STATUS_CODES: [(&str, i64); 3] = [("Booked", 1), ("TicketReceived", 2), ("Cancelled", 9)];

/// Reason code: the seats did not answer in time, or not at all.
pub const SEATS_UNAVAILABLE: &str = "SeatsUnavailable";
/// Reason code: somebody else has one of the seats.
pub const SEATS_TAKEN: &str = "SeatsTaken";
/// Reason code: no more seats of the showing are taken on.
pub const SHOWING_FULL: &str = "ShowingFull";
