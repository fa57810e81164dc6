//! The official admin client, and whether it is still of use.
//!
//! A request on a connection that has already broken is not answered before a long timeout runs out. A watch of the servers ends with the connection, so it tells in time.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fluvio::metadata::spu::SpuSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use futures_util::StreamExt;
use tokio::task::AbortHandle;

use crate::fluvio::Settings;
use crate::fluvio::telemetry::{Event, Purpose};

/// A client that was connected once.
pub(super) struct Admin {
    client: Arc<FluvioAdmin>,
    is_open: Arc<AtomicBool>,
    settings: Arc<Settings>,
    watch: AbortHandle,
}

impl Admin {
    /// Connects. The error is the client's own text.
    pub(super) async fn connect(settings: &Arc<Settings>) -> Result<Self, String> {
        let mut config = FluvioClusterConfig::new(&settings.endpoint);
        config.use_spu_local_address = settings.use_spu_local_address;
        config.client_id = Some(settings.client_id.clone());
        let client = FluvioAdmin::connect_with_config(&config).await.map_err(|error| format!("{error:#}"))?;
        settings.observer.observe(&Event::Connected { endpoint: &settings.endpoint, purpose: Purpose::Control });
        let (client, is_open) = (Arc::new(client), Arc::new(AtomicBool::new(true)));
        let watch = tokio::spawn(watch(Arc::clone(&client), Arc::clone(&is_open), Arc::clone(settings))).abort_handle();
        Ok(Self { client, is_open, settings: Arc::clone(settings), watch })
    }

    /// Returns true as long as the connection is known to be good.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }
}

impl Deref for Admin {
    type Target = FluvioAdmin;

    fn deref(&self) -> &FluvioAdmin {
        &self.client
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.watch.abort();
        note_end(&self.is_open, &self.settings, "nobody needs it any more");
    }
}

async fn watch(client: Arc<FluvioAdmin>, is_open: Arc<AtomicBool>, settings: Arc<Settings>) {
    if let Ok(mut changes) = client.watch::<SpuSpec>().await {
        while let Some(Ok(_)) = changes.next().await {}
    }
    note_end(&is_open, &settings, "the server closed the connection");
}

fn note_end(is_open: &AtomicBool, settings: &Settings, detail: &str) {
    if is_open.swap(false, Ordering::Relaxed) {
        let endpoint = &settings.endpoint;
        tracing::debug!(endpoint, detail, "control connection closed");
        settings.observer.observe(&Event::Disconnected { endpoint, purpose: Purpose::Control, detail });
    }
}
