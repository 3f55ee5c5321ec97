//! What a service of a file names, read and understood. An error says of which key it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater_config::{Guest as GuestPath, SecretSource, Service};
use headwater_egress::{ClientIdentity, Grant, Grants, HostPattern};
use headwater_runtime::{Artifact, Directory, component_core_of};
use headwater_wagi::Compat;
use http::HeaderName;

use crate::cli::parse_header_name;
use crate::convert;
use crate::convert::connecting::parse_unverified;
use crate::diagnostics::EntryDiagnostics;
use crate::spec::config_location::{AtKey, Misplaced};
use crate::spec::prepared::Binary;
use crate::spec::service_spec::ModuleOptions;

/// The guest of a service, and where it is.
pub(super) fn read(service: &Service) -> Result<(PathBuf, Binary), Misplaced> {
    let (file, wants_component) = match service.guest() {
        GuestPath::Component(file) => (file, true),
        GuestPath::Module(file) => (file, false),
    };
    let key = if wants_component {
        "component"
    } else {
        "module"
    };
    let binary = read_as(file, wants_component).at(key)?;
    Ok((file.to_owned(), binary))
}

fn read_as(file: &Path, wants_component: bool) -> Result<Binary> {
    let artifact =
        Artifact::read(file).with_context(|| format!("cannot serve `{}`", file.display()))?;
    match (artifact, wants_component) {
        (Artifact::Component(binary), true) => Ok(Binary::Component(binary)),
        (Artifact::Module(binary), false) => Ok(Binary::Module(binary)),
        (Artifact::Component(_), false) => anyhow::bail!(
            "`{}` is a component, not a core module: write `component = …`",
            file.display()
        ),
        (Artifact::Module(binary), true) => match component_core_of(&binary) {
            Some(shown_by) => anyhow::bail!(
                "`{}` is the core module of a component (it {shown_by}), and no component: build it for \
                 wasm32-wasip2, or make a component of it with `wasm-tools component new`",
                file.display()
            ),
            None => anyhow::bail!(
                "`{}` is a core module, not a component: write `module = …`",
                file.display()
            ),
        },
        (Artifact::Toml(_), _) => {
            anyhow::bail!("`{}` is text, not WebAssembly", file.display())
        }
    }
}

/// Whom it may call.
pub(super) fn grants(service: &Service, found: &mut EntryDiagnostics<'_>) -> Grants {
    let grants = service.allow_outgoing.iter().enumerate();
    let grants = grants.filter_map(|(at, grant)| {
        let grant = grant.parse::<Grant>();
        found.keep(grant.at(format!("allow_outgoing.{at}")))
    });
    grants.collect()
}

/// The directories that it may use. They are opened when it is loaded.
pub(super) fn directories(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<Directory> {
    let directories = service.directories.iter();
    let directories = directories.filter_map(|(guest, host)| {
        found.keep(is_directory(host).at(format!("directories.{guest}")))?;
        Some(Directory {
            host: host.clone(),
            guest: guest.clone(),
        })
    });
    directories.collect()
}

fn is_directory(path: &Path) -> Result<()> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|error| {
        anyhow::anyhow!("the directory `{shown}` cannot be used: {error}: make it, or name another")
    })?;
    ensure!(found.is_dir(), "`{shown}` is no directory: name one");
    Ok(())
}

/// The variables of the file, and the secrets that it says where to find.
pub(super) fn environment(
    service: &Service,
    found: &mut EntryDiagnostics<'_>,
) -> Vec<(String, String)> {
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
        "the secret `{name}` cannot be used: it has a NUL in it, which no variable can have: is it a file of \
         text?"
    );
    Ok(secret.reveal().to_owned())
}

/// The certificates that a service shows.
pub(super) fn identities(
    service: &Service,
    found: &mut EntryDiagnostics<'_>,
) -> Vec<ClientIdentity> {
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

/// The hosts whose certificates are not verified.
pub(super) fn unverified(service: &Service, found: &mut EntryDiagnostics<'_>) -> Vec<HostPattern> {
    let hosts = service.danger_no_verify.iter().enumerate();
    let hosts = hosts.filter_map(|(at, host)| {
        let hosts = parse_unverified(host).map_err(anyhow::Error::msg);
        found.keep(hosts.at(format!("danger_no_verify.{at}")))
    });
    hosts.collect()
}

/// Names of header fields, as a key has them.
pub(super) fn header_names(
    key: &str,
    names: &[String],
    found: &mut EntryDiagnostics<'_>,
) -> Vec<HeaderName> {
    let names = names.iter().enumerate();
    let names = names.filter_map(|(at, name)| {
        let name = parse_header_name(name).map_err(anyhow::Error::msg);
        found.keep(name.at(format!("{key}.{at}")))
    });
    names.collect()
}

/// What the file says of a module alone.
pub(super) fn module(service: &Service) -> ModuleOptions {
    ModuleOptions {
        argv: service.argv.clone(),
        entrypoint: service.entrypoint.clone(),
        compat: service
            .compat
            .map_or(Compat::Default, convert::service::compat),
        response: service.response.map(convert::service::response),
    }
}
