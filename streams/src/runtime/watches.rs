//! Holds on to the lifelines of the other members.

use std::collections::BTreeMap;

use tokio::task::{AbortHandle, JoinSet};

use crate::assignment::group::Group;
use crate::lifeline;

/// The lifelines in hand. Dropping it lets go of them.
#[derive(Default)]
pub(super) struct Watches {
    watching: JoinSet<String>,
    members: BTreeMap<String, AbortHandle>,
}

impl Watches {
    /// Holds on to everybody in the group but oneself, and to nobody else.
    pub(super) fn follow(&mut self, group: &Group, own: &str) {
        self.members.retain(|member, watch| {
            let stays = group.is_member(member);
            if !stays {
                watch.abort();
            }
            stays
        });
        for seen in group.members() {
            let (member, lifeline) = (&seen.listed.member, &seen.listed.lifeline);
            if let Some(lifeline) = lifeline.clone().filter(|_| member != own && !self.members.contains_key(member)) {
                let watched = member.clone();
                let watch = self.watching.spawn(async move {
                    lifeline::torn(&lifeline).await;
                    watched
                });
                self.members.insert(member.clone(), watch);
            }
        }
    }

    /// Returns the next member whose process has ended. Cancel-safe; never returns while there is none.
    pub(super) async fn next(&mut self) -> String {
        loop {
            match self.watching.join_next().await {
                Some(Ok(member)) => return member,
                // Let go of.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}
