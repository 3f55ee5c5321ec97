//! Reads a service of a headwater.toml, with its guest and the files that it names. An error says
//! which key it is about.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater_config::settings::ServiceSettings;
use headwater_config::{
    Count, Guest as GuestPath, LargerBodies, MiddlewareEntry, SecretSource, Service, Size,
};
use headwater_egress::{ClientIdentity, Grant, GrantSource, Grants, HostPattern};
use headwater_runtime::{
    ActionSettings, Artifact, Capabilities, Directory, Role, component_core_of,
};
use headwater_server::RouteLimits;
use http::HeaderName;

use crate::cli::parse_header_name;
use crate::convert;
use crate::convert::connecting::parse_unverified;
use crate::diagnostics::EntryDiagnostics;
use crate::input;
use crate::spec::capabilities;
use crate::spec::chain::{ChainPlace, LinkSettings};
use crate::spec::config_location::{AtKey, Misplaced};
use crate::spec::prepared::{Binary, PreparedService};
use crate::spec::service_spec::{KeptHeaders, ModuleOptions, ServiceSpec, ServiceSummary};

/// The kind of guest that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Component,
    Module,
    Middleware,
}

/// Returns a service of a file, merged with the defaults. `None` if its guest cannot be read.
pub(super) fn service(
    service: &Service,
    defaults: &ServiceSettings,
    source: &Path,
    capabilities: &Capabilities,
    found: &mut EntryDiagnostics<'_>,
) -> Option<PreparedService> {
    let wanted = match service.guest() {
        GuestPath::Component(_) => Wanted::Component,
        GuestPath::Module(_) => Wanted::Module,
    };
    guest(service, wanted, defaults, source, capabilities, found)
}

fn guest(
    service: &Service,
    wanted: Wanted,
    defaults: &ServiceSettings,
    source: &Path,
    capabilities: &Capabilities,
    found: &mut EntryDiagnostics<'_>,
) -> Option<PreparedService> {
    let guest = found.keep(read(service, wanted));
    let folder = source.parent().unwrap_or(Path::new(""));
    let outline = ServiceSummary {
        grants: grants(service, found),
        environment: environment(service, found),
        directories: directories(service, found),
        unverified: unverified(service, found),
        ..ServiceSummary::new(
            service.name.as_str(),
            PathBuf::new(),
            capabilities::of_service(service, folder, capabilities, found),
        )
    };
    let identities = identities(service, found);
    let headers = KeptHeaders {
        forbidden: header_names("forbid_headers", &service.forbid_headers, found),
        allowed: header_names("allow_headers", &service.allow_headers, found),
    };
    let (file, binary) = guest?;
    let (guest, binary) = binary.into_parts();
    let is_in_file = input::is_in_file(&file);
    let mut settings = service.settings.clone().or_defaults(defaults.clone());
    // Not part of the specification: a chain can change while its service runs.
    let chain = ChainPlace::Service(settings.middleware.take().unwrap_or_default());
    let spec = ServiceSpec {
        settings,
        identities,
        headers,
        module: module(service),
        ..ServiceSpec::new(ServiceSummary { file, ..outline }, guest)
    };
    let grant_source = GrantSource::File(source.into());
    let secrets = service.secrets.values().filter_map(SecretSource::file);
    Some(PreparedService {
        route_limits: RouteLimits {
            max_in_flight: service.max_in_flight.map(Count::get),
            rate: service.rate.map(convert::host::rate),
            max_body: service.max_body.map(Size::bytes),
        },
        is_in_file,
        place: found.place(match service.guest() {
            GuestPath::Component(_) => "component",
            GuestPath::Module(_) => "module",
        }),
        chain,
        secrets: secrets.map(Path::to_owned).collect(),
        ..PreparedService::new(spec, binary, service.route.all(), grant_source, found)
    })
}

/// Returns a middleware of a file, merged with the defaults. `None` if its guest cannot be read.
pub(super) fn middleware(
    entry: &MiddlewareEntry,
    defaults: &ServiceSettings,
    source: &Path,
    capabilities: &Capabilities,
    found: &mut EntryDiagnostics<'_>,
) -> Option<PreparedService> {
    let service = entry.as_service();
    let wanted = Wanted::Middleware;
    let mut prepared = guest(&service, wanted, defaults, source, capabilities, found)?;
    prepared.spec.role = Role::Middleware;
    prepared.spec.action = action(entry);
    prepared.chain = ChainPlace::Middleware(LinkSettings::of(entry));
    Some(prepared)
}

/// Returns the settings of hooks, if there are any.
fn action(entry: &MiddlewareEntry) -> Option<ActionSettings> {
    let (body, larger) = (entry.body, entry.larger_bodies);
    (body.is_some() || larger.is_some()).then(|| ActionSettings {
        body: body.map_or(0, Size::in_memory),
        larger_bodies: match larger.unwrap_or(LargerBodies::Refuse) {
            LargerBodies::Refuse => headwater_runtime::LargerBodies::Refuse,
            LargerBodies::Pass => headwater_runtime::LargerBodies::Pass,
        },
    })
}

fn read(service: &Service, wanted: Wanted) -> Result<(PathBuf, Binary), Misplaced> {
    let (file, key) = match service.guest() {
        GuestPath::Component(file) => (file, "component"),
        GuestPath::Module(file) => (file, "module"),
    };
    let binary = read_as(file, wanted).at(key)?;
    Ok((file.to_owned(), binary))
}

pub(super) fn read_as(file: &Path, wanted: Wanted) -> Result<Binary> {
    let artifact =
        Artifact::read(file).with_context(|| format!("cannot serve `{}`", file.display()))?;
    match (artifact, wanted) {
        (Artifact::Component(binary), Wanted::Component | Wanted::Middleware) => {
            Ok(Binary::Component(binary))
        }
        (Artifact::Module(binary), Wanted::Module) => Ok(Binary::Module(binary)),
        (Artifact::Component(_), Wanted::Module) => anyhow::bail!(
            "`{}` is a component, not a core module: write `component = …`",
            file.display()
        ),
        (Artifact::Module(binary), wanted) => match (component_core_of(&binary), wanted) {
            (Some(shown_by), _) => anyhow::bail!(
                "`{}` is the core module of a component (it {shown_by}), not a component: build it for \
                 wasm32-wasip2, or turn it into one with `wasm-tools component new`",
                file.display()
            ),
            (None, Wanted::Middleware) => anyhow::bail!(
                "`{}` is a core module, and only components can be middlewares: build it for wasm32-wasip2",
                file.display()
            ),
            (None, _) => anyhow::bail!(
                "`{}` is a core module, not a component: write `module = …`",
                file.display()
            ),
        },
        (Artifact::Toml(_), _) => {
            anyhow::bail!("`{}` is text, not WebAssembly", file.display())
        }
    }
}

/// Returns the destinations that it may call.
fn grants(service: &Service, found: &mut EntryDiagnostics<'_>) -> Grants {
    let grants = service.allow_outgoing.iter().enumerate();
    let grants = grants.filter_map(|(at, grant)| {
        let grant = grant.parse::<Grant>();
        found.keep(grant.at(format!("allow_outgoing.{at}")))
    });
    grants.collect()
}

/// Returns the directories that it may use. They are opened when it is loaded.
fn directories(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<Directory> {
    let directories = service.directories.iter();
    let directories = directories.filter_map(|(guest, host)| {
        found.keep(is_directory(host).at(format!("directories.{guest}")))?;
        Some(Directory {
            host: host.clone(),
            guest: guest.clone(),
            read_only: false,
        })
    });
    directories.collect()
}

fn is_directory(path: &Path) -> Result<()> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|error| {
        anyhow::anyhow!(
            "the directory `{shown}` cannot be used: {error}: create it, or name another"
        )
    })?;
    ensure!(found.is_dir(), "`{shown}` is not a directory: name one");
    Ok(())
}

/// Returns the variables of the file, and the secrets, read from the places that it names.
fn environment(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<(String, String)> {
    let given = service.environment.clone().into_iter();
    let secrets = service.secrets.iter();
    let secrets = secrets.filter_map(|(name, source)| {
        let secret = read_secret(name, source).at(format!("secrets.{name}"));
        Some((name.clone(), found.keep(secret)?))
    });
    given.chain(secrets).collect()
}

fn read_secret(name: &str, source: &SecretSource) -> Result<String> {
    let secret = source.read(name)?;
    ensure!(
        !secret.reveal().contains('\0'),
        "the secret `{name}` cannot be used: it has a NUL character, which variables cannot hold: is it \
         text?"
    );
    Ok(secret.reveal().to_owned())
}

fn identities(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<ClientIdentity> {
    let identities = service.client_certificates.iter().enumerate();
    let identities = identities.filter_map(|(index, identity)| {
        let hosts = identity.host.parse::<HostPattern>();
        Some(ClientIdentity {
            hosts: found.keep(hosts.at(format!("client_certificates.{index}.host")))?,
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
        })
    });
    identities.collect()
}

fn unverified(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<HostPattern> {
    let hosts = service.danger_no_verify.iter().enumerate();
    let hosts = hosts.filter_map(|(at, host)| {
        let hosts = parse_unverified(host).map_err(anyhow::Error::msg);
        found.keep(hosts.at(format!("danger_no_verify.{at}")))
    });
    hosts.collect()
}

fn header_names(key: &str, names: &[String], found: &mut EntryDiagnostics<'_>) -> Vec<HeaderName> {
    let names = names.iter().enumerate();
    let names = names.filter_map(|(at, name)| {
        let name = parse_header_name(name).map_err(anyhow::Error::msg);
        found.keep(name.at(format!("{key}.{at}")))
    });
    names.collect()
}

fn module(service: &Service) -> ModuleOptions {
    ModuleOptions {
        argv: service.argv.clone(),
        entrypoint: service.entrypoint.clone(),
        compat: service.compat.unwrap_or_default(),
        response: service.response,
        ..ModuleOptions::default()
    }
}
