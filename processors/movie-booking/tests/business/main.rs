//! Movie booking as a whole, on the test driver: everything that a booking, its seats and its ticket can live through, and the same with a kill at every place where a task can die.
//!
//! Start reading at [`support`] (the world around the topology, and what is promised about seats and tickets in every run), then [`seats`].

mod lifecycle;
mod random;
mod seats;
mod seats_down;
mod support;
