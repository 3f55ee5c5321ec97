use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater_core::{Compat, ResponseMode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::capability_key::GATHERED;
use crate::config_error::ConfigError;
use crate::route::RouteConfigs;
use crate::secret::SecretSource;
use crate::settings::ServiceSettings;
use crate::settings::group::beside_group;
use crate::{Count, Rate, Size};

/// A named guest with its settings. Deny by default: a guest gets only what is named here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Service")]
#[schemars(extend("oneOf" = [{ "required": ["component"] }, { "required": ["module"] }]))]
pub struct Service {
    /// Name in traces and logs. Unique in the file.
    pub name: String,
    /// Paths that the service answers: a path such as `/x/...`, a table such as `{ path = "/x/...",
    /// hosts = ["a.example"] }`, or a list of these.
    pub route: RouteConfigs,
    /// A component, relative to the file. Give either this or `module`.
    pub(crate) component: Option<PathBuf>,
    /// A WAGI module (a core module of WASI preview1), relative to the file. Give either this or
    /// `component`.
    pub(crate) module: Option<PathBuf>,
    /// Arguments of the module, which may contain `${SCRIPT_NAME}` and `${ARGS}` as in WAGI.
    /// Default: the path and the query's parts. Modules only.
    pub argv: Option<String>,
    /// Exported function of the module that answers requests. Default: `_start`. Modules only.
    pub entrypoint: Option<String>,
    /// Compatibility of a module with WAGI 0.8.1. Default: `"default"`. Modules only.
    pub compat: Option<Compat>,
    /// Time at which the module's answer is sent. Default: `"stream"`, and `"buffer"` where
    /// `compat` is `"strict"`. Modules only.
    pub response: Option<ResponseMode>,
    /// Destinations that outgoing requests may reach. Default: none.
    #[serde(default)]
    pub allow_outgoing: Vec<String>,
    /// Certificates that the service shows to upstreams. Default: none.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Hosts whose certificates are not verified, for development only. Default: none.
    #[serde(default)]
    pub danger_no_verify: Vec<String>,
    /// Header fields that the guest may neither set nor see, in addition to those that are always
    /// hidden from it. Components only.
    #[serde(default)]
    pub forbid_headers: Vec<String>,
    /// Header fields that the guest may set and see, although they are hidden from it by default:
    /// `proxy-authorization` and `proxy-authenticate`. Components only.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Environment variables. Default: none.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values are read from a file or from a variable of the host, and
    /// never shown. Default: none.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Directories that the guest may use: their names in the guest, and their paths on the host
    /// (relative to the file). Default: none.
    #[serde(default)]
    pub directories: BTreeMap<String, PathBuf>,
    /// Requests to the service that may be in flight at once; further ones are answered 503. A
    /// request counts until the last byte of its response. Default: no limit of its own.
    pub max_in_flight: Option<Count>,
    /// Rate of requests to the service, by all clients: `"100/s"` or `"100/s burst 200"`; requests
    /// beyond it are answered 429. Default: no limit.
    pub rate: Option<Rate>,
    /// Size of the body of a request to the service; larger ones are answered 413. Default: that of
    /// `[server]`.
    pub max_body: Option<Size>,
    /// The values of its [`CapabilityKey`](crate::CapabilityKey)s, by key.
    #[serde(default, rename = "\u{0}capabilities")]
    #[schemars(skip)]
    pub capabilities: BTreeMap<String, serde_json::Value>,
    /// Settings that the service has of its own, in place of those of `[defaults]`.
    #[serde(default)]
    #[schemars(flatten)]
    pub settings: ServiceSettings,
}

beside_group!(Service, settings, GATHERED);

/// A certificate that a service shows to upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// Upstreams that get the certificate: a name, `*.NAME`, an address or a network.
    pub host: String,
    /// The certificate with its chain (PEM), relative to the file.
    pub certificate: PathBuf,
    /// The key of the certificate (PEM, not encrypted), relative to the file.
    pub key: PathBuf,
}

/// The guest that a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest<'a> {
    /// A component.
    Component(&'a Path),
    /// A WAGI module.
    Module(&'a Path),
}

impl Service {
    /// Returns all errors, each with the key that it is about.
    pub(crate) fn check(&self) -> Vec<(ConfigError, String)> {
        let mut errors = Vec::new();
        let mut wrong = |key: &str, error: ConfigError| errors.push((error, key.to_owned()));
        let name = || self.name.clone();
        match (&self.component, &self.module) {
            (Some(_), Some(_)) => wrong("module", ConfigError::Guest(name(), ", not both")),
            (None, None) => wrong("", ConfigError::Guest(name(), "")),
            _ => {}
        }
        if let Err(error) = self.settings.pool.check() {
            wrong(
                "max_concurrent_per_instance",
                ConfigError::Serial(name(), error),
            );
        }
        for variable in self.secrets.keys() {
            if self.environment.contains_key(variable) {
                let error = ConfigError::Twice(name(), variable.clone());
                wrong(&format!("secrets.{variable}"), error);
            }
        }
        if self.module.is_some() && self.route.all().iter().any(|place| place.strip_prefix) {
            wrong("route", ConfigError::StripPrefix(name()));
        }
        errors
    }

    /// Returns the guest, or `None` if the file names none or two: the file is not validated yet.
    pub(crate) fn guest_if_any(&self) -> Option<Guest<'_>> {
        match (&self.component, &self.module) {
            (Some(component), None) => Some(Guest::Component(component)),
            (None, Some(module)) => Some(Guest::Module(module)),
            _ => None,
        }
    }

    /// Returns the guest that the service runs.
    #[must_use]
    pub fn guest(&self) -> Guest<'_> {
        match (&self.component, &self.module) {
            (Some(component), _) => Guest::Component(component),
            (None, Some(module)) => Guest::Module(module),
            (None, None) => unreachable!("`File::parse` refuses a service without a guest"),
        }
    }

    /// Resolves paths against `folder`, the folder of the file.
    pub(crate) fn within(&mut self, folder: &Path) {
        let identities = self.client_certificates.iter_mut();
        let identities =
            identities.flat_map(|identity| [&mut identity.certificate, &mut identity.key]);
        let secrets = self.secrets.values_mut().filter_map(SecretSource::file_mut);
        let guest = [&mut self.component, &mut self.module];
        for file in guest
            .into_iter()
            .flatten()
            .chain(identities)
            .chain(secrets)
            .chain(self.directories.values_mut())
        {
            *file = folder.join(&*file);
        }
        self.settings.within(folder);
    }
}
