//! SmartModules: storing and removing them.

use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::{
    Status,
    objects::{ListFilter, ListFilters, Metadata},
    smartmodule::{SmartModulePackageKey, SmartModuleSpec, SmartModuleStatus},
};
use tokio::task::spawn_blocking;

use super::{Control, status};
use crate::{
    catalogue::{Refused, SmartModule},
    limits::SMARTMODULE_NAME_BYTES_MAX,
    smartmodule,
};

/// Stores a SmartModule under its package's name if it has one, else under `name`.
pub(super) async fn create(control: &Control, name: String, mut spec: SmartModuleSpec, dry_run: bool) -> Status {
    let store_id = match &spec.meta {
        Some(meta) if !meta.package.is_valid() => {
            return status(name, Err(Refused::new(ErrorCode::SmartModuleError, "invalid SmartModule package")));
        }
        Some(meta) => meta.store_id(),
        None => name,
    };
    let valid = match validate_name(&store_id) {
        Ok(()) => validate_code(control, &store_id, &spec).await,
        refused => refused,
    };
    if valid.is_err() {
        return status(store_id, valid);
    }
    // Summaries are made for lists; a stored one could only become wrong.
    spec.summary = None;
    let stored = if dry_run { Ok(()) } else { control.catalogue.put_smartmodule(&store_id, spec).await };
    status(store_id, stored)
}

/// Names become file names, so they are held to a plain alphabet.
fn validate_name(name: &str) -> Result<(), Refused> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    let is_valid =
        (1..=SMARTMODULE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !is_valid {
        let message = format!(
            "invalid SmartModule name: it starts with a letter or digit, holds only letters, digits and '-_.+', and \
             is at most {SMARTMODULE_NAME_BYTES_MAX} bytes long"
        );
        return Err(Refused::new(ErrorCode::SmartModuleError, message));
    }
    Ok(())
}

async fn validate_code(control: &Control, name: &str, spec: &SmartModuleSpec) -> Result<(), Refused> {
    let (gzipped, bytes_max) = (spec.wasm.payload.clone(), control.limits.smartmodule_wasm_bytes_max);
    let checked = spawn_blocking(move || smartmodule::check(&gzipped, bytes_max)).await;
    checked.unwrap_or_else(|error| Err(error.to_string())).map_err(|error| {
        let message = format!("SmartModule '{name}' cannot be run: {error}");
        Refused::new(ErrorCode::SmartModuleInvalid { error, name: Some(name.to_owned()) }, message)
    })
}

/// Removes a SmartModule that is named with or without group and version.
pub(super) async fn delete(control: &Control, name: String) -> Status {
    let store_id = SmartModulePackageKey::from_qualified_name(&name).map(|key| key.store_id());
    let store_id = store_id.unwrap_or_else(|_| name.clone());
    let deleted = control.catalogue.delete_smartmodule(&store_id).await;
    status(name, deleted)
}

/// A SmartModule as clients see it, with or without its code.
pub(super) fn describe(name: String, smartmodule: &SmartModule, summary: bool) -> Metadata<SmartModuleSpec> {
    let described = Metadata { name, spec: smartmodule.spec.clone(), status: SmartModuleStatus };
    if summary { described.summary() } else { described }
}

/// Lists the SmartModules that match one of the filters, or all if there is none.
pub(super) fn list(control: &Control, filters: ListFilters, summary: bool) -> Vec<Metadata<SmartModuleSpec>> {
    let filters: Vec<ListFilter> = filters.into();
    let is_wanted = |name: &str, smartmodule: &SmartModule| {
        let package = smartmodule.spec.meta.as_ref().map(|meta| &meta.package);
        filters.is_empty() || filters.iter().any(|filter| SmartModulePackageKey::from_qualified_name(&filter.name).is_ok_and(|key| key.is_match(name, package)))
    };
    let all = control.catalogue.smartmodules().into_iter();
    all.filter(|(name, smartmodule)| is_wanted(name, smartmodule)).map(|(name, smartmodule)| describe(name, &smartmodule, summary)).collect()
}
