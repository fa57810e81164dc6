//! Notifications of a business that they do not know: what customers are told, and how it is delivered, with a kill at every place where a task can die.
//!
//! Start reading at [`support`] (a tea house), then [`told`], then [`delivered`].

mod delivered;
mod support;
mod told;
