//! Grants of the host's capabilities, from the settings of a service.

use std::path::Path;

use headwater_capabilities::{ContextAccess, ContextGrant};
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
    let is_module = matches!(service.guest(), headwater_config::Guest::Module(_));
    let mut grants = capabilities.nothing();
    for (key, value) in &service.capabilities {
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
            if is_module && !grant.is_for_modules() {
                let error = anyhow::anyhow!(
                    "`{key}` is for components, but this is a WAGI module: leave it out"
                );
                let key = key.clone();
                found.keep(Err::<(), _>(Misplaced { key, error }));
                continue;
            }
            grants.set(grant);
        }
    }
    if let Some(context) = grants.of::<ContextAccess>() {
        check_context(context, is_module, found);
    }
    grants
}

/// Checks the parts of a grant of context values that depend on the guest.
fn check_context(context: &ContextGrant, is_module: bool, found: &mut EntryDiagnostics<'_>) {
    let mut wrong = |key: String, why: String| {
        let error = anyhow::anyhow!(why);
        let key = format!("context.{key}");
        found.keep(Err::<(), _>(Misplaced { key, error }));
    };
    if let Some((key, why)) = context.without_effect(is_module) {
        wrong(key.to_owned(), why.to_owned());
        return;
    }
    #[cfg(feature = "wagi")]
    for variable in context.variables.keys() {
        // A link that identifies the client may set these two.
        let is_identity = ["AUTH_TYPE", "REMOTE_USER"].contains(&variable.as_str());
        if headwater_wagi::SET_BY_HOST.contains(&variable.as_str()) && !is_identity {
            let why = format!(
                "`{variable}` describes the request, and only the host sets it: name another"
            );
            wrong(format!("variables.{variable}"), why);
        }
    }
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
