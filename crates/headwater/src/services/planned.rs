//! A service as it is said to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use headwater_config::settings::ServiceSettings;
use headwater_config::{Guest as Said, Place, SecretSource, Service};
use headwater_egress::{ClientIdentity, Grants, HostPattern};
use headwater_runtime::{Artifact, Directory, ForbiddenHeaders};
use headwater_server::RouteLimits;
use headwater_wagi::Compat;
use http::HeaderName;

use super::made_of::{Content, Found, Guest, KeptHeaders, MadeOf, ModuleOptions, Outline};
use crate::cli::{Serve, parse_header_name};
use crate::connecting::{Connecting, parse_unverified};
use crate::exit::Usage;
use crate::front;
use crate::meaning;
use crate::outgoing;
use crate::said::{AtKey, Misplaced};

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct Planned {
    pub(super) made_of: MadeOf,
    /// The guest.
    pub(super) binary: Vec<u8>,
    pub(super) parts: Parts,
    pub(super) routes: Vec<Place>,
    pub(super) route_limits: RouteLimits,
    /// Where the file names its guest.
    pub(super) said: Option<String>,
    /// Files of its secrets.
    secrets: Vec<PathBuf>,
}

/// What its settings mean, where they may mean nothing.
pub(super) struct Parts {
    pub(super) connecting: Connecting,
    pub(super) outgoing: outgoing::Settings,
    pub(super) forbidden_headers: ForbiddenHeaders,
}

/// A guest that was read.
pub(super) enum Binary {
    Component(Vec<u8>),
    Module(Vec<u8>),
}

// === impl Planned ===

impl Planned {
    /// One guest for every path, with the grants of the command line.
    pub(super) fn single(arguments: &Serve, binary: Binary) -> Result<Self> {
        let name = arguments
            .file
            .file_stem()
            .map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
        let grants = &arguments.grants;
        let (guest, binary) = binary.into_parts();
        let outline = Outline {
            name: name.into(),
            file: arguments.file.clone(),
            grants: grants.allow_outgoing.iter().cloned().collect(),
            environment: grants.environment.clone(),
            directories: grants.directories.clone(),
            unverified: grants.danger_no_verify.clone(),
        };
        let mut made_of = MadeOf {
            outline: Arc::new(outline),
            guest,
            settings: arguments.services.clone(),
            identities: grants.client_cert.clone(),
            headers: KeptHeaders {
                forbidden: grants.forbid_header.clone(),
                allowed: grants.allow_header.clone(),
            },
            module: ModuleOptions::default(),
            found: Found::default(),
        };
        made_of.look();
        let forbidden_headers = made_of
            .headers
            .meant()
            .map_err(|error| Usage(format!("--allow-header: {error}")))?;
        made_of
            .idle_fits()
            .map_err(|error| Usage(error.to_string()))?;
        Ok(Self {
            parts: Parts::of(&made_of, forbidden_headers)?,
            made_of,
            binary,
            routes: vec![Place {
                path: "/...".to_owned(),
                hosts: Vec::new(),
                strip_prefix: false,
            }],
            route_limits: RouteLimits::default(),
            said: None,
            secrets: Vec::new(),
        })
    }

    /// A service of a file, with what holds for all.
    pub(super) fn of(service: &Service, defaults: &ServiceSettings) -> Result<Self, Misplaced> {
        let (file, binary) = read(service)?;
        let (guest, binary) = binary.into_parts();
        let outline = Outline {
            name: service.name.as_str().into(),
            file,
            grants: grants(service)?,
            environment: environment(service)?,
            directories: directories(service)?,
            unverified: unverified(service)?,
        };
        let mut made_of = MadeOf {
            outline: Arc::new(outline),
            guest,
            settings: service.settings.clone().or_defaults(defaults.clone()),
            identities: identities(service)?,
            headers: KeptHeaders {
                forbidden: header_names("forbid_headers", &service.forbid_headers)?,
                allowed: header_names("allow_headers", &service.allow_headers)?,
            },
            module: module(service),
            found: Found::default(),
        };
        made_of.look();
        let forbidden_headers = made_of.headers.meant().at("allow_headers")?;
        // Of the two the one that the service says itself, if it says one.
        let key = match service.settings.pool.min_idle {
            Some(_) => "min_idle",
            None => "max_instances",
        };
        made_of.idle_fits().at(key)?;
        let parts = Parts::of(&made_of, forbidden_headers)?;
        Ok(Self {
            parts,
            made_of,
            binary,
            routes: service.route.all(),
            route_limits: RouteLimits {
                max_in_flight: service.max_in_flight.map(|count| count.get()),
                rate: service.rate.map(front::rate),
                max_body: service.max_body.map(|size| size.bytes()),
            },
            said: None,
            secrets: service
                .secrets
                .values()
                .filter_map(SecretSource::file)
                .map(Path::to_owned)
                .collect(),
        })
    }

    /// What it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        std::iter::once(&self.made_of.outline.file)
            .chain(&self.secrets)
            .chain(self.made_of.tls_files())
            .cloned()
    }

    /// Whether anybody says how it reaches upstreams.
    pub(crate) fn says_proxy(&self) -> bool {
        self.made_of.settings.connecting.proxy.is_some()
    }
}

// === impl Parts ===

impl Parts {
    fn of(made_of: &MadeOf, forbidden_headers: ForbiddenHeaders) -> Result<Self> {
        let (identities, unverified) = (
            made_of.identities.clone(),
            made_of.outline.unverified.clone(),
        );
        Ok(Self {
            connecting: Connecting::of(&made_of.settings.connecting, identities, unverified)?,
            outgoing: outgoing::Settings::of(&made_of.settings.outgoing)?,
            forbidden_headers,
        })
    }
}

// === impl Binary ===

impl Binary {
    fn into_parts(self) -> (Guest, Vec<u8>) {
        match self {
            Self::Component(bytes) => (Guest::Component(Content::of(&bytes)), bytes),
            Self::Module(bytes) => (Guest::Module(Content::of(&bytes)), bytes),
        }
    }
}

// === impl KeptHeaders ===

impl KeptHeaders {
    fn meant(&self) -> Result<ForbiddenHeaders, headwater_runtime::NotAllowed> {
        ForbiddenHeaders::with(&self.forbidden, &self.allowed)
    }
}

/// The guest of a service, and where it is.
fn read(service: &Service) -> Result<(PathBuf, Binary), Misplaced> {
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
fn grants(service: &Service) -> Result<Grants, Misplaced> {
    let all = &service.allow_outgoing;
    for (at, one) in all.iter().enumerate() {
        let one = std::slice::from_ref(one);
        Grants::parse(one).at(format!("allow_outgoing.{at}"))?;
    }
    Grants::parse(all).at("allow_outgoing")
}

/// The directories that it may use. They are opened when it is loaded.
fn directories(service: &Service) -> Result<Vec<Directory>, Misplaced> {
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
fn environment(service: &Service) -> Result<Vec<(String, String)>, Misplaced> {
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
fn identities(service: &Service) -> Result<Vec<ClientIdentity>, Misplaced> {
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
fn unverified(service: &Service) -> Result<Vec<HostPattern>, Misplaced> {
    let hosts = service.danger_no_verify.iter().enumerate();
    let hosts = hosts.map(|(at, host)| {
        let hosts = parse_unverified(host).map_err(anyhow::Error::msg);
        hosts.at(format!("danger_no_verify.{at}"))
    });
    hosts.collect()
}

/// Names of header fields, as a key has them.
fn header_names(key: &str, names: &[String]) -> Result<Vec<HeaderName>, Misplaced> {
    let names = names.iter().enumerate().map(|(at, name)| {
        let name = parse_header_name(name).map_err(anyhow::Error::msg);
        name.at(format!("{key}.{at}"))
    });
    names.collect()
}

/// What the file says of a module alone.
fn module(service: &Service) -> ModuleOptions {
    ModuleOptions {
        argv: service.argv.clone(),
        entrypoint: service.entrypoint.clone(),
        compat: service.compat.map_or(Compat::Default, meaning::compat),
        response: service.response.map(meaning::response),
    }
}
