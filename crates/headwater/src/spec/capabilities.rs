//! Grants of the host's capabilities, from the settings of a service.

use std::path::Path;

use headwater_config::{CapabilityKey, Service};
use headwater_runtime::Capabilities;
use headwater_runtime::capability::{Grants, Key};

use crate::cli::CapabilityFlag;
use crate::diagnostics::{Diagnostic, Diagnostics, EntryDiagnostics};
use crate::spec::config_location::Misplaced;

/// Returns the keys that the services of a file may have.
pub(crate) fn keys() -> Vec<CapabilityKey> {
    let keys = headwater_capabilities::all();
    let keys = keys.keys().map(|key| {
        let Key {
            name,
            about,
            schema,
            flag: _,
        } = key;
        CapabilityKey {
            name,
            about,
            schema,
        }
    });
    keys.collect()
}

/// Returns the grants of a service. `folder` is the folder of its file.
pub(crate) fn of_service(
    service: &Service,
    folder: &Path,
    capabilities: &Capabilities,
    found: &mut EntryDiagnostics<'_>,
) -> Grants {
    let mut grants = capabilities.nothing();
    for (key, value) in &service.capabilities {
        if let headwater_config::Guest::Module(_) = service.guest() {
            let error = anyhow::anyhow!(
                "`{key}` is for components, but this is a WAGI module: leave it out"
            );
            let key = key.clone();
            found.keep(Err::<(), _>(Misplaced { key, error }));
            continue;
        }
        let grant = capabilities.read(key, value, folder);
        let grant = grant.map(|grant| {
            grant.map_err(|error| {
                let key = match error.path() {
                    "" => key.clone(),
                    path => format!("{key}.{path}"),
                };
                let error = error.into();
                Misplaced { key, error }
            })
        });
        if let Some(grant) = grant.and_then(|grant| found.keep(grant)) {
            grants.set(grant);
        }
    }
    grants
}

pub(crate) fn of_flags(
    flags: &[CapabilityFlag],
    capabilities: &Capabilities,
    found: &mut Diagnostics,
) -> Grants {
    let mut grants = capabilities.nothing();
    for CapabilityFlag { long, values } in flags {
        let usage = |error| Diagnostic::usage(format!("--{long}: {error}"));
        let grant = capabilities.read_flag(long, values);
        let grant = grant.map(|grant| grant.map_err(usage));
        if let Some(grant) = grant.and_then(|grant| found.keep(grant)) {
            grants.set(grant);
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/reference")
            .join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn the_page_of_settings_is_what_the_types_say() {
        assert!(
            document("configuration.md") == headwater_config::reference(&keys()),
            "settings have changed: renew their page with `headwater reference > docs/reference/configuration.md`"
        );
    }

    #[test]
    fn the_schema_in_the_documents_is_that_of_the_types() {
        assert!(
            document("headwater.schema.json") == headwater_config::schema(&keys()),
            "settings have changed: renew their schema with `headwater schema > docs/reference/headwater.schema.json`"
        );
    }
}
