//! The real binary from outside: as a child process, met through the official Fluvio client, HTTP and signals only.

mod bad_input;
mod breaker;
mod cluster;
mod commands;
mod crash;
mod demo;
mod disk;
mod dlq;
mod followers;
mod http;
mod load;
mod mask_shop;
mod metrics;
mod mongodb;
mod movie_booking;
mod path;
mod payments;
mod python;
mod reset;
mod start;
mod stop;
mod support;
mod traces;
mod webhook;
mod why;
