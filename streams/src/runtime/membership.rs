//! Connects a [`Member`] with the assignment topic: reads, writes, and tells the runners what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::watches::Watches;
use super::{AssignmentOptions, Options, Statuses, TaskStatus, WAIT_FIRST, WAIT_MAX};
use crate::assignment::{Announcement, Duty, Member, MemberConfig, TaskId, holds_assignment};
use crate::limits::ASSIGNMENT_RECORDS_MAX;
use crate::log::{Fetched, LogError, Writer};
use crate::record::NewRecord;
use crate::telemetry::{Event, Phase, with_sources};

/// How often a member is asked what to write while nothing is read.
const TICK: Duration = Duration::from_millis(50);
/// How long saying goodbye may take.
const LEAVE_MAX: Duration = Duration::from_millis(200);

/// The membership of an instance in the group of its application.
pub(super) struct Membership {
    pub(super) application: String,
    pub(super) options: Options,
    pub(super) duties: BTreeMap<TaskId, watch::Sender<Duty>>,
    pub(super) finished: mpsc::UnboundedReceiver<TaskId>,
    pub(super) statuses: Arc<watch::Sender<Statuses>>,
    /// All tasks of this instance have ended.
    pub(super) ended: CancellationToken,
}

impl Membership {
    /// Takes part until all tasks have ended. An instance that shares with nobody only keeps its duties.
    pub(super) async fn run(mut self) {
        let Some(assignment) = self.options.assignment.clone() else {
            return self.ended.cancelled().await;
        };
        self.report(Phase::Waiting, Some("waits for its share of the tasks".to_owned()));
        let began = Instant::now();
        let mut wait = WAIT_FIRST;
        let mut member = None;
        let ended = self.ended.clone();
        while !ended.is_cancelled() {
            let problem = match self.take_part(&assignment, &mut member, began).await {
                Ok(()) => break,
                Err(problem) => problem,
            };
            // Its tasks go on: what they must not do, their fences see to.
            tracing::warn!(application = self.application, error = &problem as &dyn std::error::Error, "assignment topic cannot be used");
            self.report(Phase::Waiting, Some(with_sources(&problem)));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ended.cancelled() => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Name under which it tells how it is.
    fn id(&self) -> String {
        format!("{}-assignment", self.application)
    }

    fn report(&self, phase: Phase, problem: Option<String>) {
        let status = TaskStatus { phase, problem };
        self.statuses.send_if_modified(|statuses| statuses.insert(self.id(), status.clone()) != Some(status));
    }

    fn config(&self, assignment: &AssignmentOptions) -> MemberConfig {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut processors = BTreeMap::new();
        for task in self.duties.keys() {
            let partitions: &mut u32 = processors.entry(task.processor.clone()).or_default();
            *partitions = (*partitions).max(task.partition + 1);
        }
        MemberConfig {
            instance: self.options.instance.clone(),
            processors,
            standbys: assignment.standbys,
            heartbeat_ms: ms(assignment.heartbeat),
            session_ms: ms(assignment.session),
            release_ms: ms(assignment.release),
            lifeline: assignment.lifeline.as_ref().map(|lifeline| lifeline.name().to_owned()),
        }
    }

    /// Reads and writes until the tasks have ended.
    async fn take_part(&mut self, assignment: &AssignmentOptions, member: &mut Option<(Member, i64)>, began: Instant) -> Result<(), LogError> {
        let log = self.options.log.clone();
        let (topic, now_ms) = (&assignment.topic, move || began.elapsed().as_millis() as u64);
        let offsets = log.offsets(topic, 0).await?;
        let (mut state, mut next) = match member.take() {
            // Retention may have overtaken it meanwhile.
            Some((state, next)) if (offsets.start..=offsets.end).contains(&next) => (state, next),
            _ => {
                // The last assignment is near the end; where it is not, everything that is left is read.
                let config = self.config(assignment);
                let near = offsets.start.max(offsets.end - 2 * ASSIGNMENT_RECORDS_MAX);
                let fetched = if near > offsets.start { read_all(&self.options, topic, near, offsets.end).await? } else { Vec::new() };
                let is_found = holds_assignment(&fetched);
                let from = if is_found { near } else { offsets.start };
                (Member::new(&format!("{}#{:08x}", config.instance, random()), config, !is_found), from)
            }
        };
        let mut reader = log.read(topic, 0, next, None).await?;
        let writer = log.writer(topic, 0).await?;
        let mut watches = Watches::default();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let result = loop {
            let read = tokio::select! {
                fetched = reader.next() => fetched.map(Some),
                _ = tick.tick() => Ok(None),
                Some(task) = self.finished.recv() => {
                    state.finished(&task);
                    Ok(None)
                }
                member = watches.next() => {
                    tracing::info!(application = self.application, member, "process of another instance has ended");
                    state.ended(&member);
                    Ok(None)
                }
                () = self.ended.cancelled() => break self.leave(&mut state, &*writer).await,
            };
            match read {
                Ok(Some(Fetched { records, next_offset, .. })) => {
                    for record in records {
                        if let Some(announcement) = Announcement::decode(&record.value) {
                            state.admit(record.offset, &announcement, now_ms());
                        }
                    }
                    next = next_offset;
                }
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            if next < offsets.end {
                continue;
            }
            watches.follow(state.group(), &state.id());
            state.set_warm(self.warm());
            if let Err(error) = append(&*writer, state.tick(now_ms())).await {
                break Err(error);
            }
            self.carry_out(&state, now_ms());
        };
        *member = Some((state, next));
        result
    }

    /// Tasks that are followed to their ends.
    fn warm(&self) -> BTreeSet<TaskId> {
        let statuses = self.statuses.borrow();
        let is_warm = |task: &TaskId| statuses.get(&self.status_of(task)).is_some_and(|status| status.phase == Phase::Standby);
        self.duties.keys().filter(|task| is_warm(task)).cloned().collect()
    }

    /// Returns true if the runner of every task that is this instance's to do has taken notice.
    fn has_begun(&self) -> bool {
        let statuses = self.statuses.borrow();
        self.duties.iter().all(|(task, duty)| *duty.borrow() == Duty::Idle || statuses.contains_key(&self.status_of(task)))
    }

    fn status_of(&self, task: &TaskId) -> String {
        format!("{}-{}-{}", self.application, task.processor, task.partition)
    }

    fn carry_out(&self, member: &Member, now_ms: u64) {
        for (task, sender) in &self.duties {
            let duty = member.duty(task, now_ms);
            sender.send_if_modified(|present| std::mem::replace(present, duty) != duty);
        }
        let (application, group) = (&self.application, member.group());
        self.options.observer.observe(&Event::Assigned { application, generation: group.generation(), members: group.members().len() });
        if member.is_settled() && self.has_begun() {
            self.report(Phase::Running, None);
        }
    }

    async fn leave(&self, member: &mut Member, writer: &dyn Writer) -> Result<(), LogError> {
        let goodbye = append(writer, member.leave().into_iter().collect());
        // If it cannot be said in time, the others will notice.
        tokio::time::timeout(LEAVE_MAX, goodbye).await.unwrap_or(Ok(()))
    }
}

/// Eight random hex digits tell members of one instance apart.
fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() as u32
}

async fn read_all(options: &Options, topic: &str, from: i64, end: i64) -> Result<Vec<(i64, Announcement)>, LogError> {
    let mut reader = options.log.read(topic, 0, from, None).await?;
    let (mut next, mut announcements) = (from, Vec::new());
    while next < end {
        let fetched = reader.next().await?;
        announcements.extend(fetched.records.iter().filter_map(|record| Some((record.offset, Announcement::decode(&record.value)?))));
        next = fetched.next_offset;
    }
    Ok(announcements)
}

async fn append(writer: &dyn Writer, announcements: Vec<Announcement>) -> Result<(), LogError> {
    if !announcements.is_empty() {
        let records = announcements.iter().map(|announcement| NewRecord { key: None, value: announcement.encode().into() });
        writer.append(records.collect()).await?;
    }
    Ok(())
}
