use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::config_error::ConfigError;
use crate::modules::{Compat, Response};
use crate::route::Places;
use crate::secret::SecretSource;
use crate::{Count, Outgoing, Rate, Size, parse_duration, parse_memory, parse_range};

/// A named guest with its settings. Deny by default: a guest gets what is named here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["component"] }, { "required": ["module"] }]))]
pub struct Service {
    /// The name, in traces and logs. Unique in the file.
    pub name: String,
    /// Where it answers: a path such as `/x/...`, a table such as `{ path = "/x/...", hosts =
    /// ["a.example"] }`, or a list of these.
    pub route: Places,
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
    pub response: Option<Response>,
    /// Destinations of outgoing requests. Default: none.
    #[serde(default)]
    pub allow_outgoing: Vec<String>,
    /// Files of certificates (PEM) that its outgoing TLS trusts besides the machine's, relative to
    /// the file. Default: those of the command line.
    pub ca: Option<Vec<PathBuf>>,
    /// Certificates that it shows to upstreams. Default: none.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Hosts whose certificates are not verified: for development only. Default: none.
    #[serde(default)]
    pub danger_no_verify: Vec<String>,
    /// The forward proxy of its outgoing requests: a URL, `"env"` for what the environment's
    /// `HTTPS_PROXY` and its like say, or `"none"`. Default: that of the command line.
    pub proxy: Option<String>,
    /// What it reaches without that proxy: names, addresses and networks. Default: that of the
    /// command line.
    pub no_proxy: Option<Vec<String>>,
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
    /// How long a request may take until its response head. Default: that of the command line.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub timeout: Option<Duration>,
    /// Requests to it that may be in flight at once, each to the last byte of its response; one more is
    /// answered 503. Default: no bound but that of all.
    pub max_in_flight: Option<Count>,
    /// How often it may be asked, whoever asks: `"100/s"` or `"100/s burst 200"`; 429 beyond it. Default:
    /// no bound.
    pub rate: Option<Rate>,
    /// The greatest body of a request to it; 413 beyond it. Default: that of `[server]`.
    pub max_body: Option<Size>,
    /// Memory of one instance, in bytes: `"64MiB"`, or `64`, which is in MiB. Default: that of the
    /// command line.
    #[serde(default, deserialize_with = "memory")]
    #[schemars(with = "Option<crate::Memory>")]
    pub memory: Option<u64>,
    /// Requests that one instance serves in all, or a range such as `"750-1000"` of which each
    /// instance draws its own number. Components only.
    #[serde(default, deserialize_with = "range")]
    #[schemars(with = "Option<crate::Range>")]
    pub max_requests_per_instance: Option<RangeInclusive<usize>>,
    /// Instances that may be alive at once.
    #[schemars(with = "Option<crate::Count>")]
    pub max_instances: Option<usize>,
    /// Instances that are kept when there is nothing to do. Components only.
    pub min_idle: Option<usize>,
    /// How long an instance beyond those is kept with nothing to do. Components only.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub idle_timeout: Option<Duration>,
    /// How long work may go on in an instance after its last response. Components only.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub post_return_timeout: Option<Duration>,
    /// Requests that may wait for an instance, one that is being started included. Components only.
    #[schemars(with = "Option<crate::Count>")]
    pub max_queue: Option<usize>,
    /// How long a request may wait for an instance. Components only.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub queue_timeout: Option<Duration>,
    /// Requests that may be in one instance at once. 0.3 components only.
    #[schemars(with = "Option<crate::Count>")]
    pub max_concurrent_per_instance: Option<usize>,
    /// Whether an instance is given the next request only when nothing of the one before goes on in
    /// it. Components only; those of 0.2 always are.
    pub serial: Option<bool>,
    /// Outgoing requests that one instance may have open at once. Components only.
    #[schemars(with = "Option<crate::Count>")]
    pub max_outgoing_per_instance: Option<usize>,
    /// CPU time that one request may take.
    #[serde(default, deserialize_with = "duration")]
    #[schemars(with = "Option<crate::Time>")]
    pub max_cpu_time: Option<Duration>,
    /// Whether a request whose instance failed is tried once more, if it had no effect that can be
    /// seen. Components only.
    pub retry: Option<bool>,
    /// What becomes of a `traceparent` that the guest sets on an outgoing request.
    pub guest_traceparent: Option<GuestTraceparent>,
    /// Whether outgoing requests carry the `x-request-id` of the request that they are made for.
    pub forward_request_id: Option<bool>,
    /// How it calls out. Components only.
    #[serde(default)]
    pub outgoing: Outgoing,
}

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

/// What becomes of a `traceparent` that a guest sets on an outgoing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum GuestTraceparent {
    /// It is sent.
    Keep,
    /// The outgoing request carries that of its own span.
    Replace,
    /// Likewise, and the span has a link to the guest's.
    Link,
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
        if self.serial == Some(true) && self.max_concurrent_per_instance.is_some() {
            wrong("max_concurrent_per_instance", ConfigError::Serial(name()));
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
        let bounds = [
            ("max_instances", self.max_instances),
            ("max_queue", self.max_queue),
            (
                "max_concurrent_per_instance",
                self.max_concurrent_per_instance,
            ),
            ("max_outgoing_per_instance", self.max_outgoing_per_instance),
        ];
        let zero = bounds.into_iter().filter(|(_, bound)| *bound == Some(0));
        for key in zero.map(|(key, _)| key).chain(self.outgoing.zero()) {
            wrong(key, ConfigError::Zero(name(), key));
        }
        errors
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
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

pub(crate) fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = NumberOrText::deserialize(deserializer)?.into_text();
    parse_memory(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

fn range<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RangeInclusive<usize>>, D::Error> {
    let text = NumberOrText::deserialize(deserializer)?.into_text();
    parse_range(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// What may be written without quotation marks if it is a plain number.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a whole number or text")]
enum NumberOrText {
    Number(i64),
    Text(String),
}

impl NumberOrText {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}
