//! Reads FILE of `headwater serve`, and its flags.

use std::path::{Path, PathBuf};

use anyhow::Result;
use headwater_config::settings::ServiceSettings;
use headwater_config::{File, SecretSource};
use headwater_runtime::Artifact;

use crate::cli::{self, Serve};
use crate::convert;
use crate::convert::connecting;
use crate::convert::outgoing;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::input;
use crate::spec::builtins;
use crate::spec::capabilities;
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::{HostSettings, HostSpec, Routing, SpecSource};
use crate::spec::internal_grants::idle_grant;
use crate::spec::prepared::Binary;
use crate::spec::{from_file, from_flags, routes};

impl SpecSource for Serve {
    fn read(&self, found: &mut Diagnostics) -> Option<HostSpec> {
        let content = found.keep(input::read(&self.file))?;
        of_content(self, content, found)
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.file.clone())
    }
}

/// Returns the specification for a FILE with this content.
pub(crate) fn of_content(
    arguments: &Serve,
    content: Vec<u8>,
    found: &mut Diagnostics,
) -> Option<HostSpec> {
    let settings = of_flags(&arguments.services, found);
    let artifact = Artifact::recognise(content).map_err(|error| {
        let error = anyhow::Error::from(error);
        let error = error.context(format!("cannot serve `{}`", arguments.file.display()));
        Diagnostic::of(Kind::File, Position::default(), &error)
    });
    let guest = found.keep(artifact);
    let spec = guest.and_then(|guest| match guest {
        Artifact::Toml(text) => several(arguments, settings, &text, found),
        Artifact::Component(binary) => {
            let guest = Binary::Component(binary);
            Some(from_flags::single(arguments, settings, guest, found))
        }
        Artifact::Module(binary) => {
            let guest = Binary::Module(binary);
            Some(from_flags::single(arguments, settings, guest, found))
        }
    });
    let variables = spec.as_ref().map(|spec| spec.variables.clone());
    let unknown = cli::unknown_variables("serve", &variables.unwrap_or_default());
    found.warnings.extend(unknown);
    spec
}

/// Returns the services of a headwater.toml.
fn several(
    arguments: &Serve,
    flags: ServiceSettings,
    text: &str,
    found: &mut Diagnostics,
) -> Option<HostSpec> {
    let path = &arguments.file;
    let capabilities = headwater_capabilities::all();
    let of_capability = arguments.capabilities.first();
    let of_capability = of_capability.map(|flag| format!("--{}", flag.long));
    let first_given = arguments.grants.first_given().map(ToOwned::to_owned);
    if let Some(flag) = first_given.or(of_capability) {
        found.error(Diagnostic::usage(format!(
            "{flag} is for a single guest, but `{}` names several services: write the grant into the \
             service that needs it",
            path.display()
        )));
    }
    let (file, errors) = File::read(text, &capabilities::keys());
    // A service that could not be read may be the one that a grant names.
    let is_whole = errors.is_empty();
    for error in errors {
        found.error(Diagnostic::config(path, error));
    }
    let file = file?.within(path.parent().unwrap_or(Path::new("")));
    let locations = ConfigLocations::new(path, file.source());
    for warning in file.warnings() {
        found.warn(Diagnostic::warning(path, warning));
    }
    let defaults = flags.or(of_section(&file, &locations, found));
    check_sections(&file, &locations, found);
    routes::check(&file, &locations, found);
    let secrets = file.service.iter().flat_map(|it| it.secrets.values());
    let middlewares = file.middleware.iter();
    let secrets = secrets.chain(middlewares.flat_map(|it| it.secrets.values()));
    let variables = secrets.filter_map(SecretSource::variable);
    let variables = variables.map(ToOwned::to_owned).collect();
    let names: Vec<_> = file.service.iter().map(|it| &*it.name).collect();
    let mut services = Vec::new();
    for (index, service) in file.service.iter().enumerate() {
        let what = format!("service `{}`", service.name);
        let mut entry = found.entry(&locations, &what, "service", index);
        services.extend(from_file::service(
            service,
            &defaults,
            path,
            &capabilities,
            &mut entry,
        ));
        for (at, grant) in service.allow_outgoing.iter().enumerate() {
            let place = entry.place(&format!("allow_outgoing.{at}"));
            let grant = grant.parse().ok().filter(|_| is_whole);
            entry.warn(grant.and_then(|grant| idle_grant(&grant, &names, place)));
        }
    }
    // In front: they are still needed when the services are not.
    let middlewares = file.middleware.iter().enumerate();
    let middlewares = middlewares.filter_map(|(index, middleware)| {
        let what = format!("middleware `{}`", middleware.name);
        let mut entry = found.entry(&locations, &what, "middleware", index);
        for (at, grant) in middleware.allow_outgoing.iter().enumerate() {
            let place = entry.place(&format!("allow_outgoing.{at}"));
            let grant = grant.parse().ok().filter(|_| is_whole);
            entry.warn(grant.and_then(|grant| idle_grant(&grant, &names, place)));
        }
        from_file::middleware(middleware, &defaults, path, &capabilities, &mut entry)
    });
    let services = middlewares.collect::<Vec<_>>().into_iter().chain(services);
    let services = services.collect();
    Some(HostSpec {
        services,
        routing: Routing::Specific,
        builtins: builtins::of(&file, defaults.middleware.as_deref(), &locations, found),
        host: HostSettings {
            listeners: file.listener,
            server: file.server,
            admin: file.admin,
            access_log: file.access_log,
            reload: file.reload,
            telemetry: file.telemetry,
        },
        locations,
        variables,
    })
}

/// Returns the settings of flags and variables for all services, without wrong ones.
pub(super) fn of_flags(settings: &ServiceSettings, found: &mut Diagnostics) -> ServiceSettings {
    if settings.pool.check().is_err() {
        found.error(Diagnostic::usage(
            "--serial and --attribution serial both mean one request at a time: leave \
             --max-concurrent-per-instance out (HEADWATER_SERIAL, HEADWATER_ATTRIBUTION, \
             HEADWATER_MAX_CONCURRENT_PER_INSTANCE)",
        ));
    }
    sensible(settings, |key, error| {
        let (kind, flag) = match key {
            "proxy" => (Kind::Usage, "--proxy, or HEADWATER_PROXY"),
            "outgoing.h2c" => (Kind::Usage, "--h2c, or HEADWATER_H2C"),
            // The name may be right, whatever is wrong with the file.
            _ => (Kind::Setting, "--ca, or HEADWATER_CA"),
        };
        found.error(Diagnostic::of(kind, Position::entry(flag), &error));
    })
}

/// Returns the settings of the section `[defaults]`, without wrong ones.
fn of_section(
    file: &File,
    locations: &ConfigLocations,
    found: &mut Diagnostics,
) -> ServiceSettings {
    sensible(&file.defaults, |key, error| {
        let place = locations.section("defaults", key);
        found.error(Diagnostic::of(Kind::Setting, place, &error));
    })
}

/// Removes settings for all services that are wrong by themselves, used or not, so that each error
/// is reported once and not for each service.
fn sensible(
    settings: &ServiceSettings,
    mut wrong: impl FnMut(&str, anyhow::Error),
) -> ServiceSettings {
    let mut sensible = settings.clone();
    let connecting = &mut sensible.connecting;
    if let Err(error) = connecting::proxy(connecting) {
        wrong("proxy", error);
        (connecting.proxy, connecting.no_proxy) = (None, None);
    }
    for (at, ca) in settings.connecting.ca.iter().flatten().enumerate() {
        if let Err(error) = connecting::check_authority(ca) {
            wrong(&format!("ca.{at}"), error);
            connecting.ca = None;
        }
    }
    if let Err(error) = outgoing::h2c(&sensible.outgoing) {
        wrong("outgoing.h2c", error);
        sensible.outgoing.h2c = None;
    }
    sensible
}

/// Checks settings of other sections that can be checked by themselves.
fn check_sections(file: &File, locations: &ConfigLocations, found: &mut Diagnostics) {
    let mut check = |section: &str, key: &str, result: Result<()>| {
        if let Err(error) = result {
            let place = locations.section(section, key);
            found.error(Diagnostic::of(Kind::Setting, place, &error));
        }
    };
    let log = convert::host::log(file.telemetry.log.clone(), None).check();
    check("telemetry", "log", log.map_err(Into::into));
    check("server", "host_id", convert::host::host_id(&file.server));
}
