//! Makes the specification of a single guest, with the grants of the command line.

use std::path::Path;

use headwater_chain::{ChainError, MAX_MIDDLEWARES};
use headwater_config::RouteConfig;
use headwater_config::settings::ServiceSettings;
use headwater_core::CONTEXT_VARIABLE;
use headwater_egress::GrantSource;
use headwater_runtime::Role;

use crate::cli::Serve;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::input;
use crate::spec::capabilities;
use crate::spec::chain::{ChainPlace, LinkSettings};
use crate::spec::config_location::ConfigLocations;
use crate::spec::from_file::{self, Wanted};
use crate::spec::host_spec::HostSpec;
use crate::spec::internal_grants::idle_grant;
use crate::spec::prepared::{Binary, PreparedService};
use crate::spec::service_spec::{KeptHeaders, ServiceSpec, ServiceSummary};

/// Returns the guest, at every path.
pub(super) fn single(
    arguments: &Serve,
    settings: ServiceSettings,
    guest: Binary,
    found: &mut Diagnostics,
) -> HostSpec {
    let connecting = &arguments.services.connecting;
    if connecting.no_proxy.is_some() && connecting.proxy.is_none() {
        found.error(Diagnostic::usage(
            "--no-proxy has no effect without a proxy: name one with --proxy",
        ));
    }
    let given = arguments.grants.environment.iter();
    for (name, _) in given.filter(|(name, _)| name.starts_with(CONTEXT_VARIABLE)) {
        found.error(Diagnostic::usage(format!(
            "--env {name}: it would look like a value of the request's context, which it is not: name it otherwise"
        )));
    }
    let capabilities = headwater_capabilities::all();
    let granted = capabilities::of_flags(&arguments.capabilities, &capabilities, found);
    let stem = arguments.file.file_stem();
    let name = stem.map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
    let grants = &arguments.grants;
    let outline = ServiceSummary {
        grants: grants.allow_outgoing.iter().cloned().collect(),
        environment: grants.environment.clone(),
        directories: grants.directories.clone(),
        unverified: grants.danger_no_verify.clone(),
        ..ServiceSummary::new(&*name, arguments.file.clone(), granted)
    };
    let (guest, binary) = guest.into_parts();
    let spec = ServiceSpec {
        settings,
        identities: grants.client_cert.clone(),
        headers: KeptHeaders {
            forbidden: grants.forbid_header.clone(),
            allowed: grants.allow_header.clone(),
        },
        ..ServiceSpec::new(outline, guest)
    };
    let everywhere = vec![RouteConfig::path("/...")];
    let (mut services, names) = middlewares(arguments, &name, found);
    let service = PreparedService {
        is_in_file: input::is_in_file(&arguments.file),
        chain: ChainPlace::Service(names),
        ..PreparedService::new(
            spec,
            binary,
            everywhere,
            GrantSource::Flag,
            &mut found.flags(&ConfigLocations::default()),
        )
    };
    for grant in &grants.allow_outgoing {
        let place = Position::entry("--allow-outgoing");
        found.warnings.extend(idle_grant(grant, &[&*name], place));
    }
    services.push(service);
    HostSpec::of(services)
}

/// Returns the middlewares, each once, and their names in the order of the flags. They are granted nothing.
fn middlewares(
    arguments: &Serve,
    service: &str,
    found: &mut Diagnostics,
) -> (Vec<PreparedService>, Vec<String>) {
    let files = &arguments.grants.middleware;
    let mut prepared: Vec<PreparedService> = Vec::new();
    let mut names = Vec::new();
    if files.len() > MAX_MIDDLEWARES {
        found.error(Diagnostic::usage(format!(
            "--middleware: {}",
            ChainError(files.len())
        )));
        return (prepared, names);
    }
    for file in files {
        if let Some(same) = prepared.iter().find(|it| it.spec.outline.file == *file) {
            names.push(same.spec.outline.name.to_string());
            continue;
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let is_taken = |name: &str| name == service || names.iter().any(|it| it == name);
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut candidates = std::iter::once(stem.to_string()).chain(numbered);
        let name = candidates.find(|name| !is_taken(name)).unwrap_or_default();
        let middleware = middleware(arguments, file, &name, found);
        if let Some(middleware) = found.keep(middleware) {
            prepared.push(middleware);
            names.push(name);
        }
    }
    (prepared, names)
}

fn middleware(
    arguments: &Serve,
    file: &Path,
    name: &str,
    found: &mut Diagnostics,
) -> Result<PreparedService, Diagnostic> {
    let binary = from_file::read_as(file, Wanted::Middleware)
        .map_err(|error| Diagnostic::of(Kind::File, Position::entry("--middleware"), &error))?;
    let (guest, binary) = binary.into_parts();
    let nothing = headwater_capabilities::all().nothing();
    let spec = ServiceSpec {
        settings: arguments.services.clone(),
        role: Role::Middleware,
        ..ServiceSpec::new(ServiceSummary::new(name, file.to_owned(), nothing), guest)
    };
    let nowhere = ConfigLocations::default();
    let found = &mut found.flags(&nowhere);
    let mut prepared = PreparedService::new(spec, binary, Vec::new(), GrantSource::Flag, found);
    prepared.chain = ChainPlace::Middleware(LinkSettings::default());
    Ok(prepared)
}
