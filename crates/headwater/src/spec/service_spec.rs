//! The parts of a service, and the check that they have not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use headwater_config::settings::ServiceSettings;
use headwater_core::{Compat, FileIdentity, ResponseMode};
use headwater_egress::{ClientIdentity, Grants, HostPattern};
use headwater_runtime::capability::Grants as CapabilityGrants;
use headwater_runtime::{ActionSettings, Directory, PoolSettings, Role, World};
use http::HeaderName;
use sha2::{Digest, Sha256};

use crate::convert;
use crate::spec::config_location::{AtKey, Misplaced};

/// All inputs of a service, by value. A service is loaded from nothing else, so that a service with
/// an equal specification need not be loaded again. Its routes and its limits on requests are not
/// part of it.
#[derive(PartialEq)]
pub(crate) struct ServiceSpec {
    pub(crate) outline: Arc<ServiceSummary>,
    pub(crate) guest: Guest,
    pub(crate) settings: ServiceSettings,
    pub(crate) identities: Vec<ClientIdentity>,
    pub(crate) headers: KeptHeaders,
    pub(crate) module: ModuleOptions,
    /// A service, or a middleware in front of services.
    pub(crate) role: Role,
    /// Settings of the hooks of an action component. `None`: there are none in the file.
    pub(crate) action: Option<ActionSettings>,
    /// The state of its files when it was read.
    pub(crate) found: Found,
}

/// The facts about a service that are shown at start and to operators.
#[derive(PartialEq)]
pub(crate) struct ServiceSummary {
    pub(crate) name: Arc<str>,
    /// The file of its guest, or its reference in a registry.
    pub(crate) file: PathBuf,
    pub(crate) grants: Grants,
    /// Environment variables, including secrets.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directories: Vec<Directory>,
    /// Hosts whose certificates are not verified.
    pub(crate) unverified: Vec<HostPattern>,
    pub(crate) capabilities: CapabilityGrants,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    Component(Content),
    Module(Content),
}

/// The digest of a file: two contents are equal if their digests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content([u8; 32]);

/// Header fields that are kept from a guest in addition to the default ones, and default ones that
/// are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptHeaders {
    pub(crate) forbidden: Vec<HeaderName>,
    pub(crate) allowed: Vec<HeaderName>,
}

/// Settings for WAGI modules only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleOptions {
    pub(crate) argv: Option<String>,
    pub(crate) entrypoint: Option<String>,
    pub(crate) compat: Compat,
    pub(crate) response: Option<ResponseMode>,
    /// The route of a modules.toml, below which the module may name other routes. `None`: it
    /// answers only at the routes of its service.
    pub(crate) mount: Option<String>,
    /// `host:port` for requests that name none. `None`: the address on which the host listens.
    pub(crate) default_host: Option<String>,
    pub(crate) http_max_concurrency: Option<u32>,
    pub(crate) pass_authorization: bool,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) max_wall_time: Option<Duration>,
    pub(crate) max_output: Option<u64>,
    /// Bytes of a response that may be held in memory.
    pub(crate) max_response: Option<usize>,
}

/// The state of the files and directories that settings name: a name may stand for something else
/// later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The files for TLS.
    tls: Vec<Option<Content>>,
    directories: Vec<Option<FileIdentity>>,
}

// === impl ServiceSpec ===

impl ServiceSpec {
    /// Makes the specification of a guest with grants and default settings.
    pub(crate) fn new(outline: ServiceSummary, guest: Guest) -> Self {
        Self {
            outline: Arc::new(outline),
            guest,
            settings: ServiceSettings::default(),
            identities: Vec::new(),
            headers: KeptHeaders::default(),
            module: ModuleOptions::default(),
            role: Role::Service,
            action: None,
            found: Found::default(),
        }
    }

    pub(crate) fn tls_files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.identities.iter();
        let pairs = pairs.flat_map(|identity| [&identity.certificate, &identity.key]);
        self.settings.connecting.ca.iter().flatten().chain(pairs)
    }

    /// Checks that `min_idle` is at most `max_instances`.
    pub(crate) fn idle_fits(&self) -> Result<()> {
        let Guest::Component(_) = self.guest else {
            return Ok(());
        };
        let pool = convert::service::pool(&self.settings);
        // This default is the same for both worlds.
        let defaults = PoolSettings::of(World::Service);
        let most = pool.max_instances.unwrap_or(defaults.max_instances);
        let kept = pool.min_idle.unwrap_or(defaults.min_idle);
        ensure!(
            kept <= most,
            "{kept} idle instances are to be kept (`min_idle`), but only {most} instances are allowed \
             (`max_instances`): keep fewer, or allow more"
        );
        Ok(())
    }

    /// Checks that no two directories have the same path in the guest, where only one of them would
    /// be found.
    pub(crate) fn directories_differ(&self) -> Result<(), Misplaced> {
        let directories = &self.outline.directories;
        // `/data/` is the same as `/data`.
        let path = |directory: &Directory| directory.guest.trim_end_matches('/').to_owned();
        for (index, directory) in directories.iter().enumerate() {
            let mut before = directories[..index].iter();
            let Some(other) = before.find(|other| path(other) == path(directory)) else {
                continue;
            };
            let error = anyhow!(
                "the directories `{}` and `{}` are both at `{}` in the guest: give each a path of its own",
                other.host.display(),
                directory.host.display(),
                directory.guest,
            );
            return Err(error).at(format!("directories.{}", directory.guest));
        }
        Ok(())
    }

    /// Reads the state of the files and directories.
    pub(crate) fn look(&mut self) {
        self.found = Found {
            tls: self.tls_files().map(|file| Content::read(file)).collect(),
            directories: self
                .outline
                .directories
                .iter()
                .map(|directory| FileIdentity::at(&directory.host))
                .collect(),
        };
    }
}

// === impl Guest ===

impl Guest {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Component(_) => "component",
            Self::Module(_) => "module",
        }
    }

    #[cfg(feature = "admin")]
    pub(crate) const fn is_module(self) -> bool {
        matches!(self, Self::Module(_))
    }
}

// === impl ServiceSummary ===

impl ServiceSummary {
    /// Makes the summary of a service without grants.
    pub(crate) fn new(
        name: impl Into<Arc<str>>,
        file: PathBuf,
        capabilities: CapabilityGrants,
    ) -> Self {
        Self {
            name: name.into(),
            file,
            grants: Grants::none(),
            environment: Vec::new(),
            directories: Vec::new(),
            unverified: Vec::new(),
            capabilities,
        }
    }
}

// === impl Content ===

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn read(file: &Path) -> Option<Self> {
        let bytes = fs::read(file).ok()?;
        Some(Self::of(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &Path) -> ServiceSpec {
        let nothing = headwater_runtime::Capabilities::default().nothing();
        let outline = ServiceSummary {
            environment: vec![("KEY".to_owned(), "secret".to_owned())],
            directories: vec![directory(&folder.join("data"), "/data")],
            ..ServiceSummary::new("it", "it.wasm".into(), nothing)
        };
        let mut spec = ServiceSpec::new(outline, Guest::Component(Content::of(b"guest")));
        spec.identities = vec![ClientIdentity {
            hosts: "a.example".parse().unwrap(),
            certificate: folder.join("c.pem"),
            key: folder.join("k.pem"),
        }];
        spec.settings.connecting.ca = Some(vec![folder.join("ca.pem")]);
        spec.look();
        spec
    }

    fn directory(host: &Path, guest: &str) -> Directory {
        Directory {
            host: host.into(),
            guest: guest.to_owned(),
            read_only: false,
        }
    }

    fn outline(spec: &mut ServiceSpec) -> &mut ServiceSummary {
        Arc::get_mut(&mut spec.outline).unwrap()
    }

    #[test]
    fn what_is_said_otherwise_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let before = spec(folder.path());
        assert!(before == spec(folder.path()));
        let changes: [fn(&mut ServiceSpec); 10] = [
            |it| outline(it).name = "other".into(),
            |it| it.guest = Guest::Component(Content::of(b"another")),
            |it| it.guest = Guest::Module(Content::of(b"guest")),
            |it| it.settings.outgoing.h2c = Some(vec!["a:1".to_owned()]),
            |it| outline(it).grants = Grants::parse(&["a.example".to_owned()]).unwrap(),
            |it| outline(it).environment[0].1 = "another".to_owned(),
            |it| it.headers.forbidden = vec![http::header::COOKIE],
            |it| it.module.argv = Some("x".to_owned()),
            |it| it.role = Role::Middleware,
            |it| it.action = Some(ActionSettings::default()),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut after = spec(folder.path());
            change(&mut after);
            assert!(before != after, "{index}");
        }
    }

    #[test]
    fn two_directories_at_one_path_in_the_guest_are_refused_with_the_key_of_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(folder.path());
        for (guest, is_good) in [("/other", true), ("/data", false), ("/data/", false)] {
            let directories = &mut outline(&mut spec).directories;
            directories.truncate(1);
            directories.push(directory(folder.path(), guest));
            match spec.directories_differ() {
                Ok(()) => assert!(is_good, "{guest}"),
                Err(Misplaced { key, .. }) => {
                    assert!(!is_good, "{guest}");
                    assert_eq!(key, format!("directories.{guest}"));
                }
            }
        }
    }

    #[test]
    fn what_is_found_otherwise_is_something_else_though_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["ca.pem", "c.pem", "k.pem"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("v1")).unwrap();
        fs::create_dir(at("v2")).unwrap();
        std::os::unix::fs::symlink(at("v1"), at("data")).unwrap();
        let mut before = spec(folder.path());
        for name in ["ca.pem", "c.pem", "k.pem"] {
            assert!(before == spec(folder.path()), "{name}");
            fs::write(at(name), "new").unwrap();
            let after = spec(folder.path());
            assert!(before != after, "{name}");
            before = after;
        }
        // Deployments switch releases this way.
        fs::remove_file(at("data")).unwrap();
        std::os::unix::fs::symlink(at("v2"), at("data")).unwrap();
        assert!(before != spec(folder.path()));
    }
}
