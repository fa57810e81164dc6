//! SmartModules: uploaded once, and again only when their content has changed.

use fluvio::metadata::smartmodule::{SmartModuleSpec, SmartModuleWasm};

use super::Control;
use crate::fluvio::limits::SMARTMODULE_BYTES_MAX;
use crate::log::LogError;

impl Control {
    /// Makes the server hold exactly this SmartModule under the name.
    pub(in crate::fluvio) async fn ensure_smartmodule(&self, name: &str, wasm: &[u8]) -> Result<(), LogError> {
        let refused = |detail: String| LogError::Refused { action: format!("uploading SmartModule `{name}`"), detail };
        if wasm.len() > SMARTMODULE_BYTES_MAX {
            return Err(refused(format!("it has {} bytes, at most {SMARTMODULE_BYTES_MAX} are allowed", wasm.len())));
        }
        let packed = SmartModuleWasm::from_raw_wasm_bytes(wasm).map_err(|error| refused(format!("packing failed: {error}")))?;
        let found =
            self.call("listing SmartModules", |admin| async move { admin.list_with_params::<SmartModuleSpec, String>(vec![name.to_owned()], false).await });
        let found = found.await?.into_iter().find(|module| module.name == name);
        // Packing is deterministic within one version of the packer; with another one the upload is repeated, which does no harm.
        if found.is_some_and(|module| module.spec.wasm == packed) {
            return Ok(());
        }
        tracing::info!(name, bytes = wasm.len(), "uploading SmartModule");
        let spec = SmartModuleSpec { meta: None, summary: None, wasm: packed };
        let created = self.call("uploading a SmartModule", |admin| {
            let (name, spec) = (name.to_owned(), spec.clone());
            async move { admin.create(name, false, spec).await }
        });
        created.await.map_err(|error| match error {
            super::ControlError::Refused { detail, .. } => refused(detail),
            super::ControlError::Log(error) => error,
        })
    }
}
