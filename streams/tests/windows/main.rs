//! Windows, joins and the examples, on the production task: what is told in the end is the same whoever is killed when.

mod examples;
mod joins;
mod restart;
mod support;
