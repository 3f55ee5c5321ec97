//! What a service of a file names, read and understood. An error says of which key it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use headwater_config::{Guest as Said, Service};
use headwater_egress::{ClientIdentity, Grants, HostPattern};
use headwater_runtime::{Artifact, Directory};
use headwater_wagi::Compat;
use http::HeaderName;

use super::made_of::ModuleOptions;
use super::planned::Binary;
use crate::cli::parse_header_name;
use crate::connecting::parse_unverified;
use crate::meaning;
use crate::said::{AtKey, Misplaced};

/// The guest of a service, and where it is.
pub(super) fn read(service: &Service) -> Result<(PathBuf, Binary), Misplaced> {
    let (file, wants_component) = match service.guest() {
        Said::Component(file) => (file, true),
        Said::Module(file) => (file, false),
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
        (Artifact::Module(_), true) => anyhow::bail!(
            "`{}` is a core module, not a component: write `module = …`",
            file.display()
        ),
        (Artifact::Toml(_), _) => {
            anyhow::bail!("`{}` is text, not WebAssembly", file.display())
        }
    }
}

/// Whom it may call.
pub(super) fn grants(service: &Service) -> Result<Grants, Misplaced> {
    let all = &service.allow_outgoing;
    for (at, one) in all.iter().enumerate() {
        let one = std::slice::from_ref(one);
        Grants::parse(one).at(format!("allow_outgoing.{at}"))?;
    }
    Grants::parse(all).at("allow_outgoing")
}

/// The directories that it may use. They are opened when it is loaded.
pub(super) fn directories(service: &Service) -> Result<Vec<Directory>, Misplaced> {
    let directories = service.directories.iter().map(|(guest, host)| {
        let key = format!("directories.{guest}");
        let found = std::fs::metadata(host).map_err(|error| {
            let shown = host.display();
            anyhow::anyhow!(
                "the directory `{shown}` cannot be used: {error}: make it, or name another"
            )
        });
        if !found.at(&*key)?.is_dir() {
            let wrong = anyhow::anyhow!("`{}` is no directory: name one", host.display());
            return Err(wrong).at(key);
        }
        Ok(Directory {
            host: host.clone(),
            guest: guest.clone(),
        })
    });
    directories.collect()
}

/// The variables of the file, and the secrets that it says where to find.
pub(super) fn environment(service: &Service) -> Result<Vec<(String, String)>, Misplaced> {
    let given = service.environment.clone().into_iter().map(Ok);
    let secret = service.secrets.iter().map(|(name, source)| {
        let key = format!("secrets.{name}");
        let secret = source.read(name).at(&*key)?;
        if secret.reveal().contains('\0') {
            let wrong = "it has a NUL in it, which no variable can have: is it a file of text?";
            return Err(anyhow::anyhow!(
                "the secret `{name}` cannot be used: {wrong}"
            ))
            .at(key);
        }
        Ok((name.clone(), secret.reveal().to_owned()))
    });
    given.chain(secret).collect()
}

/// The certificates that a service shows.
pub(super) fn identities(service: &Service) -> Result<Vec<ClientIdentity>, Misplaced> {
    let identities = service.client_certificates.iter().enumerate();
    let identities = identities.map(|(index, identity)| {
        let hosts = identity.host.parse::<HostPattern>();
        Ok(ClientIdentity {
            hosts: hosts.at(format!("client_certificates.{index}.host"))?,
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
        })
    });
    identities.collect()
}

/// The hosts whose certificates are not verified.
pub(super) fn unverified(service: &Service) -> Result<Vec<HostPattern>, Misplaced> {
    let hosts = service.danger_no_verify.iter().enumerate();
    let hosts = hosts.map(|(at, host)| {
        let hosts = parse_unverified(host).map_err(anyhow::Error::msg);
        hosts.at(format!("danger_no_verify.{at}"))
    });
    hosts.collect()
}

/// Names of header fields, as a key has them.
pub(super) fn header_names(key: &str, names: &[String]) -> Result<Vec<HeaderName>, Misplaced> {
    let names = names.iter().enumerate().map(|(at, name)| {
        let name = parse_header_name(name).map_err(anyhow::Error::msg);
        name.at(format!("{key}.{at}"))
    });
    names.collect()
}

/// What the file says of a module alone.
pub(super) fn module(service: &Service) -> ModuleOptions {
    ModuleOptions {
        argv: service.argv.clone(),
        entrypoint: service.entrypoint.clone(),
        compat: service.compat.map_or(Compat::Default, meaning::compat),
        response: service.response.map(meaning::response),
    }
}
