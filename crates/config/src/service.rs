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

/// A named guest with its settings. Deny by default: a guest gets what is named here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Service")]
#[schemars(extend("oneOf" = [{ "required": ["component"] }, { "required": ["module"] }]))]
pub struct Service {
    /// The name, in traces and logs. Unique in the file.
    pub name: String,
    /// Where it answers: a path such as `/x/...`, a table such as `{ path = "/x/...", hosts =
    /// ["a.example"] }`, or a list of these.
    pub route: RouteConfigs,
    /// A component, relative to the file. Either this or `module` is given.
    component: Option<PathBuf>,
    /// A WAGI module (a core module of WASI preview1), relative to the file. Either this or `component` is
    /// given.
    module: Option<PathBuf>,
    /// A module's arguments, with `${SCRIPT_NAME}` and `${ARGS}` in them as in WAGI. Default: the path and
    /// the query's parts. Modules only.
    pub argv: Option<String>,
    /// The function of a module that answers. Default: `_start`. Modules only.
    pub entrypoint: Option<String>,
    /// How closely a module is treated as by WAGI 0.8.1. Default: `"default"`. Modules only.
    pub compat: Option<Compat>,
    /// When a module's answer is sent. Default: `"stream"`, and `"buffer"` where `compat` is `"strict"`.
    /// Modules only.
    pub response: Option<ResponseMode>,
    /// Destinations of outgoing requests. Default: none.
    #[serde(default)]
    pub allow_outgoing: Vec<String>,
    /// Certificates that it shows to upstreams. Default: none.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Hosts whose certificates are not verified: for development only. Default: none.
    #[serde(default)]
    pub danger_no_verify: Vec<String>,
    /// Header fields that the guest may neither set nor see, beside those that are always kept from it.
    /// Components only.
    #[serde(default)]
    pub forbid_headers: Vec<String>,
    /// Header fields that are left to the guest although they are kept from it by default:
    /// `proxy-authorization` and `proxy-authenticate`. Components only.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Environment variables. Default: none.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values are read from elsewhere, and never shown. Default: none.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Directories, as the guest calls them, and where they are (relative to the file). Default:
    /// none.
    #[serde(default)]
    pub directories: BTreeMap<String, PathBuf>,
    /// Requests to it that may be in flight at once, each to the last byte of its response; one more is
    /// answered 503. Default: no bound but that of all.
    pub max_in_flight: Option<Count>,
    /// How often it may be asked, whoever asks: `"100/s"` or `"100/s burst 200"`; 429 beyond it. Default:
    /// no bound.
    pub rate: Option<Rate>,
    /// The greatest body of a request to it; 413 beyond it. Default: that of `[server]`.
    pub max_body: Option<Size>,
    /// The values of its [`CapabilityKey`](crate::CapabilityKey)s, by key.
    #[serde(default, rename = "\u{0}capabilities")]
    #[schemars(skip)]
    pub capabilities: BTreeMap<String, serde_json::Value>,
    /// What it says itself of what `[defaults]` says for all.
    #[serde(default)]
    #[schemars(flatten)]
    pub settings: ServiceSettings,
}

beside_group!(Service, settings, GATHERED);

/// A certificate that a service shows to upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// To which hosts: a name, `*.NAME`, an address or a network.
    pub host: String,
    /// The certificate and its chain (PEM), relative to the file.
    pub certificate: PathBuf,
    /// Its key (PEM, not encrypted), relative to the file.
    pub key: PathBuf,
}

/// What a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest<'a> {
    /// A component.
    Component(&'a Path),
    /// A WAGI module.
    Module(&'a Path),
}

impl Service {
    /// What makes no sense, each with the key that it is about.
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

    /// What the service runs, in a file that is not known to be good.
    pub(crate) fn guest_if_any(&self) -> Option<Guest<'_>> {
        match (&self.component, &self.module) {
            (Some(component), None) => Some(Guest::Component(component)),
            (None, Some(module)) => Some(Guest::Module(module)),
            _ => None,
        }
    }

    /// What the service runs.
    #[must_use]
    pub fn guest(&self) -> Guest<'_> {
        match (&self.component, &self.module) {
            (Some(component), _) => Guest::Component(component),
            (None, Some(module)) => Guest::Module(module),
            (None, None) => unreachable!("`File::parse` refuses a service without a guest"),
        }
    }

    /// The service of a file in `folder`, with its files where they are.
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
