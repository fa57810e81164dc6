//! The control plane: topics, SmartModules, and which server leads which partition.
//!
//! It goes through the official admin client. That client never reconnects by itself, so a call that fails for another reason than the server's answer is made once more with a new one.

mod admin;
mod smartmodules;
mod topics;

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::ApiError;
use tokio::time::timeout;

use self::admin::Admin;
use super::Settings;
use super::slot::Slot;
use super::target::{Target, bounded};
use crate::log::LogError;

/// The control plane of one cluster.
pub(super) struct Control {
    settings: Arc<Settings>,
    admin: Slot<Admin>,
    /// Leaders by partition, per topic.
    leaders: Mutex<HashMap<String, Arc<[Option<String>]>>>,
}

impl Control {
    pub(super) fn new(settings: &Arc<Settings>) -> Self {
        Self { settings: Arc::clone(settings), admin: Slot::default(), leaders: Mutex::new(HashMap::new()) }
    }

    /// Connects, so that a wrong address is found out early.
    pub(super) async fn connect(&self) -> Result<(), LogError> {
        self.admin(None).await.map(drop)
    }

    /// Returns the address of a partition's leader, from the cache if possible.
    pub(super) async fn leader(&self, target: &Target) -> Result<String, LogError> {
        let cached = self.cache().get(&target.topic).cloned();
        let leaders = match cached {
            Some(leaders) if leaders.get(target.partition as usize).is_some_and(Option::is_some) => leaders,
            _ => self.refresh(&target.topic).await?,
        };
        match leaders.get(target.partition as usize) {
            Some(Some(endpoint)) => Ok(endpoint.clone()),
            Some(None) => Err(self.unreachable(format!("{target} has no leader"))),
            None => Err(target.refused("looking up", format!("the topic has {} partitions", leaders.len()))),
        }
    }

    /// Asks the control plane who leads the partitions of a topic.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] if the topic has no partitions.
    pub(super) async fn refresh(&self, topic: &str) -> Result<Arc<[Option<String>]>, LogError> {
        // Filters of lists match parts of names.
        let filter = topic.to_owned();
        let partitions = self.call("listing partitions", |admin| {
            let filter = filter.clone();
            async move { admin.list::<PartitionSpec, String>(vec![filter]).await }
        });
        let servers = self.call("listing servers", |admin| async move { admin.all::<SpuSpec>().await });
        let (partitions, servers) = (partitions.await?, servers.await?);
        let endpoints: HashMap<i32, String> = servers.into_iter().filter_map(|server| Some((server.spec.id, self.endpoint_of(&server.spec)?))).collect();
        let mut leaders = vec![None; partitions.iter().filter(|partition| partition_index(&partition.name, topic).is_some()).count()];
        for partition in partitions {
            // Partitions are numbered without holes; until all are there, the later ones have no place yet.
            if let Some(leader) = partition_index(&partition.name, topic).and_then(|index| leaders.get_mut(index)) {
                *leader = endpoints.get(&partition.spec.leader).cloned();
            }
        }
        if leaders.is_empty() {
            self.cache().remove(topic);
            return Err(LogError::NoTopic { topic: topic.to_owned() });
        }
        let leaders: Arc<[Option<String>]> = leaders.into();
        self.cache().insert(topic.to_owned(), Arc::clone(&leaders));
        Ok(leaders)
    }

    fn endpoint_of(&self, server: &SpuSpec) -> Option<String> {
        if let Some(local) = server.public_endpoint_local.as_ref().filter(|_| self.settings.use_spu_local_address) {
            return Some(format!("{}:{}", local.host, local.port));
        }
        let host = server.public_endpoint.host()?;
        Some(format!("{host}:{}", server.public_endpoint.port))
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, Arc<[Option<String>]>>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, a second time on a new connection if the first one broke. Callers make sure that doing it twice does no harm.
    async fn call<T, E, F>(&self, action: &'static str, call: impl Fn(Arc<Admin>) -> F) -> Result<T, ControlError>
    where
        E: AsRef<dyn Error + Send + Sync>,
        F: Future<Output = Result<T, E>>,
    {
        let mut broken = None;
        loop {
            let admin = self.admin(broken.as_ref()).await?;
            let detail = match timeout(self.settings.timeouts.request, call(Arc::clone(&admin))).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => match error.as_ref().downcast_ref::<ApiError>() {
                    Some(ApiError::Code(code, detail)) => {
                        let detail = bounded(detail.clone().unwrap_or_else(|| code.to_string()));
                        return Err(ControlError::Refused { action, code: Some(code.clone()), detail });
                    }
                    Some(other) => return Err(ControlError::Refused { action, code: None, detail: bounded(other.to_string()) }),
                    None => format!("{action} failed: {}", error.as_ref()),
                },
                Err(_) => format!("{action} was not answered within {} ms", self.settings.timeouts.request.as_millis()),
            };
            if broken.is_some() {
                self.admin.empty(&admin).await;
                return Err(self.unreachable(bounded(detail)).into());
            }
            broken = Some(admin);
        }
    }

    /// Returns the admin client, a new one if there is none or it is the broken one.
    async fn admin(&self, broken: Option<&Arc<Admin>>) -> Result<Arc<Admin>, LogError> {
        let usable = |admin: &Arc<Admin>| admin.is_open() && !broken.is_some_and(|broken| Arc::ptr_eq(admin, broken));
        let limit = self.settings.timeouts.connect;
        let open = async {
            let connected = timeout(limit, Admin::connect(&self.settings)).await;
            let connected = connected.map_err(|_| self.unreachable(format!("connecting took more than {} ms", limit.as_millis())))?;
            connected.map(Arc::new).map_err(|error| self.unreachable(bounded(format!("connecting failed: {error}"))))
        };
        self.admin.get(usable, open).await
    }

    pub(super) fn unreachable(&self, detail: String) -> LogError {
        LogError::Unreachable { endpoint: self.settings.endpoint.clone(), detail }
    }
}

/// What a call to the control plane came to.
#[derive(Debug)]
enum ControlError {
    /// The server said no.
    Refused { action: &'static str, code: Option<ErrorCode>, detail: String },
    /// There was no answer.
    Log(LogError),
}

impl From<LogError> for ControlError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<ControlError> for LogError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Refused { action, detail, .. } => Self::Refused { action: action.to_owned(), detail },
            ControlError::Log(error) => error,
        }
    }
}

/// Returns the index of a partition object called `<topic>-<index>`, if it is one of this topic.
fn partition_index(name: &str, topic: &str) -> Option<usize> {
    name.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()
}
