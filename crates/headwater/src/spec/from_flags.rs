//! Makes the specification of a single guest, with the grants of the command line.

use headwater_config::RouteConfig;
use headwater_config::settings::ServiceSettings;
use headwater_egress::GrantSource;

use crate::cli::Serve;
use crate::diagnostics::{Diagnostic, Diagnostics, Position};
use crate::input;
use crate::spec::capabilities;
use crate::spec::config_location::ConfigLocations;
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
    let service = PreparedService {
        is_in_file: input::is_in_file(&arguments.file),
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
    HostSpec::of(vec![service])
}
