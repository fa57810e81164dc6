//! Food delivery as a whole, on the test driver: everything that an order can live through, and the same with a kill at every place where a task can die.
//!
//! Start reading at [`support`] (the world around the topology and the laws that hold in every run), then the rows of the payment step in [`synchronous_step`].

mod lifecycle;
mod operator;
mod orders_away;
mod random;
mod reused_ids;
mod support;
mod synchronous_step;
