//! Every bound of this crate, in one place.

/// Most seats that one booking takes.
pub const SEATS_PER_BOOKING_MAX: usize = 20;
/// Most seats of one showing that are held or sold at a time. No hall has more.
pub const SEATS_PER_SHOWING_MAX: usize = 10_000;
/// Longest name of a seat, in bytes.
pub const SEAT_BYTES_MAX: usize = 8;
