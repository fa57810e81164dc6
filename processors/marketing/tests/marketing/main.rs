//! Marketing on the test driver: what becomes of orders, whoever is killed when.

mod popular;
mod recommendations;
mod support;
mod system;
