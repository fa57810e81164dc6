//! Drives the broker as its users do: with the official `fluvio` crate, and with raw sockets where a correct client
//! would not go.

mod consume;
mod disk;
mod durability;
mod harness;
mod hostile;
mod offsets;
mod produce;
mod smartmodules;
mod topics;
mod watch;
