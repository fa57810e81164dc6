//! Everything of a business wired.

use std::sync::Arc;

use fluvio_streams::guard::Guard;
use fluvio_streams::system::{System, ViewSpec};
use fluvio_streams::topology::Topology;

use crate::config::{Config, ConfigError};
use crate::follower::{self, FollowerNames};
use crate::front::{self, commands};
use crate::names::Names;
use crate::partner;
use crate::rules::Business;
use crate::schema::records;
use crate::topics;
use crate::view::Documents;

/// Returns a business with its front, its partner and these followers; `view` says how the front's documents are served. What else it has, it adds to the [`System`].
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn system<B: Business>(config: &Config, followers: &[FollowerNames], view: ViewSpec) -> Result<System, ConfigError> {
    config.check()?;
    let Names { system, collection, .. } = B::NAMES;
    let guard = Guard::new(config.guard(&B::NAMES))?;
    let mut processors = vec![front::spec::<B>(guard, config, followers), partner::spec(B::NAMES, config.retention_ms)];
    processors.extend(followers.iter().map(|names| follower::spec::<B>(*names, config)));
    Ok(System {
        name: system,
        topology: Topology { application: system.to_owned(), processors },
        commands_topic: topics::commands(system),
        commands: commands::specs::<B>(followers),
        outcome_topics: vec![topics::events(system, collection), topics::rejections(system), topics::dead_letters(system)],
        outcome: commands::outcome::<B>,
        projections: vec![Arc::new(Documents::<B>::new(view.filters))],
        views: vec![view],
        follower_topics: Vec::new(),
        records: records::of_business::<B>(followers),
    })
}
