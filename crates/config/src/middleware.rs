use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Size;
use crate::capability_key::GATHERED;
use crate::route::RouteConfigs;
use crate::secret::SecretSource;
use crate::service::{ClientCertificate, Service};
use crate::settings::ServiceSettings;
use crate::settings::group::beside_group;
use crate::settings::words;

/// A component that stands in front of services: of the world `wasi:http/middleware@0.3`, or an action
/// component, which exports hooks. It has grants, limits and instances of its own, like a service; a
/// service names it in `middleware`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "MiddlewareEntry")]
pub struct MiddlewareEntry {
    /// Name in traces, logs and lists of middlewares. No other middleware and no service of the file
    /// may have it.
    pub name: String,
    /// Component, relative to the file.
    pub component: PathBuf,
    /// Fate of a request if the middleware fails early, which is before it has read from the body,
    /// called what is behind it, or set a value of the request's context. Default: `"closed"`.
    #[serde(default)]
    pub fail: Fail,
    /// Size of a body that hooks may get. `"0"`: hooks get no bodies, and bodies stream past. Action
    /// components only. Default: `"0"`.
    pub body: Option<Size>,
    /// Fate of requests and responses with larger bodies, if hooks get bodies. Action components
    /// only. Default: `"refuse"`.
    pub larger_bodies: Option<LargerBodies>,
    /// Destinations that outgoing requests may reach. Default: none.
    #[serde(default)]
    pub allow_outgoing: Vec<String>,
    /// Certificates that the middleware shows to upstreams. Default: none.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Hosts whose certificates are not verified, for development only. Default: none.
    #[serde(default)]
    pub danger_no_verify: Vec<String>,
    /// Header fields that the guest may neither set nor see, in addition to those that are always
    /// hidden from it.
    #[serde(default)]
    pub forbid_headers: Vec<String>,
    /// Header fields that the guest may set and see, although they are hidden from it by default:
    /// `proxy-authorization` and `proxy-authenticate`.
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
    /// The values of its [`CapabilityKey`](crate::CapabilityKey)s, by key.
    #[serde(default, rename = "\u{0}capabilities")]
    #[schemars(skip)]
    pub capabilities: BTreeMap<String, serde_json::Value>,
    /// Settings that the middleware has of its own, in place of those of `[defaults]`.
    #[serde(default)]
    #[schemars(flatten)]
    pub settings: ServiceSettings,
}

beside_group!(MiddlewareEntry, settings, GATHERED);

words! {
    /// The fate of a request if a middleware fails early.
    #[derive(Default)]
    pub enum Fail {
        /// The request fails.
        #[default]
        Closed,
        /// The request goes on without the middleware.
        Open,
    }
}

words! {
    /// The fate of messages whose bodies are larger than hooks may get.
    pub enum LargerBodies {
        /// The request is answered 413, or the response is replaced by a 500.
        Refuse,
        /// They pass, and hooks get an empty body.
        Pass,
    }
}

// === impl MiddlewareEntry ===

impl MiddlewareEntry {
    /// Resolves paths against `folder`, the folder of the file.
    pub(crate) fn within(&mut self, folder: &Path) {
        let identities = self.client_certificates.iter_mut();
        let identities =
            identities.flat_map(|identity| [&mut identity.certificate, &mut identity.key]);
        let secrets = self.secrets.values_mut().filter_map(SecretSource::file_mut);
        let directories = self.directories.values_mut();
        let guest = std::iter::once(&mut self.component);
        for file in guest.chain(identities).chain(secrets).chain(directories) {
            *file = folder.join(&*file);
        }
        self.settings.within(folder);
    }

    /// Returns the entry as a service without routes: both have the same grants and settings.
    #[must_use]
    pub fn as_service(&self) -> Service {
        let Self {
            name,
            component,
            fail: _,
            body: _,
            larger_bodies: _,
            allow_outgoing,
            client_certificates,
            danger_no_verify,
            forbid_headers,
            allow_headers,
            environment,
            secrets,
            directories,
            capabilities,
            settings,
        } = self.clone();
        Service {
            name,
            route: RouteConfigs::Several(Vec::new()),
            component: Some(component),
            module: None,
            argv: None,
            entrypoint: None,
            compat: None,
            response: None,
            allow_outgoing,
            client_certificates,
            danger_no_verify,
            forbid_headers,
            allow_headers,
            environment,
            secrets,
            directories,
            max_in_flight: None,
            rate: None,
            max_body: None,
            capabilities,
            settings,
        }
    }
}
