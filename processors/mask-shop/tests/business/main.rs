//! The mask shop as a whole, on the test driver: everything that an order and a product can live through, and the same with a kill at every place where a task can die.
//!
//! Start reading at [`support`] (the world around the topology and the law of the stock), then the rows of the delivery step in [`delivery_step`], then [`stock`].

mod delivery_step;
mod lifecycle;
mod outages;
mod random;
mod stock;
mod support;
