//! What every business here shares, written once: a *front* that takes what customers ask for and establishes nothing before its partner says yes; the *partner* that is asked over a pair of
//! topics and asks an outside provider in turn; *followers* that go on with what is established.
//!
//! What it is: pure rules, which a business completes with its names ([`Names`]) and its own rules ([`Business`]). What it is not: it is no business, and it knows no clock, randomness,
//! Fluvio, database or HTTP.
//!
//! Where to start reading: [`Business`] (what a business says), then [`front`], [`partner`], [`follower`], then [`system()`] (everything wired). `docs/adding-a-business.md` leads through one.

mod config;
pub mod fields;
pub mod follower;
pub mod front;
pub mod limits;
mod names;
pub mod partner;
mod rules;
pub mod schema;
mod system;
pub mod testing;
pub mod topics;
pub mod view;

pub use config::{Config, ConfigError};
pub use follower::{FollowerNames, StageCommand};
pub use names::{Names, PartnerNames, Stage, Words};
pub use rules::{Business, Followed, Opening};
pub use system::system;
