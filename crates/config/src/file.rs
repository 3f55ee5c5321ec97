use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::builtin::{AnswerEntry, FilesEntry, RedirectEntry};
use crate::modules::{Compat, Response};
use crate::place::Source;
use crate::route::Places;
use crate::secret::SecretSource;
use crate::settings::{AccessLogSettings, AdminSettings, ReloadSettings, ServerSettings};
use crate::suggestion;
use crate::{Count, Outgoing, Rate, Size, parse_duration, parse_memory, parse_range};

/// What a `headwater.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The services, each with its routes.
    #[serde(default)]
    pub service: Vec<Service>,
    /// Redirects.
    #[serde(default)]
    pub redirect: Vec<RedirectEntry>,
    /// Answers that are always the same.
    #[serde(default)]
    pub answer: Vec<AnswerEntry>,
    /// Directories whose files are served.
    #[serde(default)]
    pub files: Vec<FilesEntry>,
    /// Connections and requests. A flag goes before what is said here.
    #[serde(default)]
    pub server: ServerSettings,
    /// The admin listener, which the section turns on.
    pub admin: Option<AdminSettings>,
    /// The access log, which the section turns on.
    pub access_log: Option<AccessLogSettings>,
    /// What becomes of changes.
    #[serde(default)]
    pub reload: ReloadSettings,
    /// For the places of errors.
    #[serde(skip)]
    source: Source,
}

/// A named guest with its settings. Deny by default: a guest gets what is named here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name, in traces and logs. Unique in the file.
    pub name: String,
    /// Where it answers: a path such as `/x/...`, a table such as `{ path = "/x/...", hosts =
    /// ["a.example"] }`, or a list of these.
    pub route: Places,
    /// A component, relative to the file.
    component: Option<PathBuf>,
    /// A WAGI module (a core module of WASI preview1), relative to the file.
    module: Option<PathBuf>,
    /// A module's arguments, with `${SCRIPT_NAME}` and `${ARGS}` in them as in WAGI. Default: the path and
    /// the query's parts. Modules only.
    pub argv: Option<String>,
    /// The function of a module that answers. Default: `_start`. Modules only.
    pub entrypoint: Option<String>,
    /// How closely a module is treated as by WAGI 0.8.1: `"default"`, `"strict"` or `"0.2"`. Modules only.
    pub compat: Option<Compat>,
    /// Whether a module's answer is sent while it prints (`"stream"`) or when it has ended (`"buffer"`).
    /// Default: `"stream"`, and `"buffer"` where `compat` is `"strict"`. Modules only.
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
    pub memory: Option<u64>,
    /// Requests that one instance serves in all, or a range such as `"750-1000"` of which each
    /// instance draws its own number. Components only.
    #[serde(default, deserialize_with = "range")]
    pub max_requests_per_instance: Option<RangeInclusive<usize>>,
    /// Instances that may be alive at once.
    pub max_instances: Option<usize>,
    /// Instances that are kept when there is nothing to do. Components only.
    pub min_idle: Option<usize>,
    /// How long an instance beyond those is kept with nothing to do. Components only.
    #[serde(default, deserialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
    /// How long work may go on in an instance after its last response. Components only.
    #[serde(default, deserialize_with = "duration")]
    pub post_return_timeout: Option<Duration>,
    /// Requests that may wait for an instance, one that is being started included. Components only.
    pub max_queue: Option<usize>,
    /// How long a request may wait for an instance. Components only.
    #[serde(default, deserialize_with = "duration")]
    pub queue_timeout: Option<Duration>,
    /// Requests that may be in one instance at once. 0.3 components only.
    pub max_concurrent_per_instance: Option<usize>,
    /// Whether an instance is given the next request only when nothing of the one before goes on in
    /// it. Components only; those of 0.2 always are.
    pub serial: Option<bool>,
    /// Outgoing requests that one instance may have open at once. Components only.
    pub max_outgoing_per_instance: Option<usize>,
    /// CPU time that one request may take.
    #[serde(default, deserialize_with = "duration")]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It does not parse, or has a key that there is none of; with line, column and the text there.
    #[error("{0}")]
    Syntax(String),
    /// It is WAGI's own format.
    #[error(
        "this is a modules.toml of WAGI: serve it with `headwater wagi -c FILE`, or write each \
         `[[module]]` as a `[[service]]` with `name`, `route` and `module`"
    )]
    Wagi,
    /// A service has neither or both of `component` and `module`.
    #[error("service `{0}` needs either `component = \"FILE\"` or `module = \"FILE\"`{1}")]
    Guest(String, &'static str),
    /// Two services have one name.
    #[error("there are two services named `{0}`; give each a name of its own")]
    Duplicate(String),
    /// A serial service is to have several requests in an instance.
    #[error(
        "service `{0}`: `serial = true` is one request at a time; leave \
         `max_concurrent_per_instance` out"
    )]
    Serial(String),
    /// A bound is zero.
    #[error("service `{0}`: `{1}` must be 1 or more")]
    Zero(String, &'static str),
    /// A variable is given and secret at once.
    #[error("service `{0}`: the variable `{1}` is in `environment` and in `secrets`: remove one")]
    Twice(String, String),
    /// A module is to see a path without its prefix.
    #[error(
        "service `{0}`: `strip_prefix` is for components; a module has the rest of the path in \
         `PATH_INFO` anyway: leave it out"
    )]
    StripPrefix(String),
    /// One of these, with its place.
    #[error("{place}\n{error}")]
    At {
        /// Line, column, and the text there.
        place: String,
        /// What is wrong there.
        error: Box<ConfigError>,
    },
    /// All that is wrong in the file.
    #[error("{}", told(_0))]
    Several(Vec<ConfigError>),
    /// The file serves nothing.
    #[error("there is no service; add a `[[service]]` with `name`, `route` and `component`")]
    Empty,
}

impl File {
    /// Reads the text of a `headwater.toml`.
    ///
    /// # Errors
    ///
    /// When the text is no TOML, has an unknown key, or says what makes no sense; with line, column and
    /// the text there. All that makes no sense is told at once.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut file: Self = toml::from_str(text).map_err(|error| {
            // Told from the whole text: WAGI's files fail on their first key.
            if text.lines().any(|line| line.trim() == "[[module]]") {
                ConfigError::Wagi
            } else {
                ConfigError::Syntax(suggestion::told(&error))
            }
        })?;
        file.source = Source::new(text);
        let built_in = file.redirect.len() + file.answer.len() + file.files.len();
        if file.service.is_empty() && built_in == 0 {
            return Err(ConfigError::Empty);
        }
        let mut errors = Vec::new();
        for (index, service) in file.service.iter().enumerate() {
            let mut at = |(error, key): (ConfigError, String)| {
                errors.push(file.at(index, &key, error));
            };
            let name = &service.name;
            let others = &file.service[..index];
            if others.iter().any(|other| other.name == *name) {
                at((ConfigError::Duplicate(name.clone()), "name".to_owned()));
            }
            service.check().into_iter().for_each(at);
        }
        match errors.len() {
            0 => Ok(file),
            1 => Err(errors.remove(0)),
            _ => Err(ConfigError::Several(errors)),
        }
    }

    /// Where a service says something, for errors that are found when it is used: `line 12, column 1:
    /// allow_outgoing = ["a.example"]`. `None` where it does not say it.
    ///
    /// The key may be one below another: `outgoing.h2c`, `environment.NAME`, `allow_outgoing.1` (of a
    /// list, from 0). With an empty key it is where the service begins. Of values that may be secret, only
    /// the key is shown.
    #[must_use]
    pub fn place_of(&self, service_index: usize, key: &str) -> Option<String> {
        self.place_in("service", service_index, key)
    }

    /// Likewise in another list of the file: `redirect`, `answer` or `files`.
    #[must_use]
    pub fn place_in(&self, list: &str, index: usize, key: &str) -> Option<String> {
        self.source.place(list, index, key)
    }

    /// An error with its place: of the key, or of the service if that says nothing of it.
    fn at(&self, service_index: usize, key: &str, error: ConfigError) -> ConfigError {
        let find = |key| self.source.find("service", service_index, key);
        match find(key).or_else(|| find("")) {
            Some(at) => ConfigError::At {
                place: self.source.snippet(&at),
                error: Box::new(error),
            },
            None => error,
        }
    }
}

fn told(errors: &[ConfigError]) -> String {
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    told.join("\n\n")
}

impl Service {
    /// What makes no sense, each with the key that it is about.
    fn check(&self) -> Vec<(ConfigError, String)> {
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
#[derive(Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[service]]
        name = "a"
        route = "/a/..."
        component = "a.wasm"
        timeout = "5s"
        memory = "64MiB"
        environment = { K = "V" }
        directories = { "/data" = "data" }

        [[service]]
        name = "b"
        route = "/b"
        module = "b.wasm"
    "#;

    #[test]
    fn a_file_names_services_with_their_grants() {
        let file = File::parse(GOOD).unwrap();
        let [a, b] = &file.service[..] else {
            panic!("two services")
        };
        assert_eq!(a.guest(), Guest::Component(Path::new("a.wasm")));
        assert_eq!(a.timeout, Some(Duration::from_secs(5)));
        assert_eq!(a.memory, Some(64 << 20));
        assert_eq!(a.environment["K"], "V");
        assert_eq!(a.directories["/data"], Path::new("data"));
        assert!(a.allow_outgoing.is_empty());
        assert_eq!(b.guest(), Guest::Module(Path::new("b.wasm")));
        assert_eq!(b.memory, None);
    }

    #[test]
    fn a_size_of_memory_needs_no_unit_and_a_wrong_one_is_named_with_its_line() {
        let plain = File::parse(&GOOD.replace("\"64MiB\"", "64")).unwrap();
        assert_eq!(plain.service[0].memory, Some(64 << 20));
        for wrong in ["0", "-1", "4097", "1.5", "true", "\"64MB\"", "\"\""] {
            let text = GOOD.replace("\"64MiB\"", wrong);
            let error = File::parse(&text).unwrap_err().to_string();
            assert!(error.contains("line 7"), "{error}");
            assert!(error.contains("memory ="), "{error}");
        }
    }

    #[test]
    fn trace_headers_are_set_by_service() {
        let text = GOOD.replace(
            "timeout = \"5s\"",
            "guest_traceparent = \"link\"\nforward_request_id = true",
        );
        let file = File::parse(&text).unwrap();
        assert_eq!(
            file.service[0].guest_traceparent,
            Some(GuestTraceparent::Link)
        );
        assert_eq!(file.service[0].forward_request_id, Some(true));
        assert_eq!(file.service[1].guest_traceparent, None);
        let error = File::parse(&text.replace("link", "drop")).unwrap_err();
        assert!(error.to_string().contains("`keep`"), "{error}");
    }

    #[test]
    fn tls_and_a_proxy_are_set_by_service() {
        let text = GOOD.replace(
            "timeout = \"5s\"",
            r#"ca = ["ca.pem"]
            client_certificates = [{ host = "*.a.example", certificate = "c.pem", key = "k.pem" }]
            danger_no_verify = ["localhost"]
            proxy = "env"
            no_proxy = ["b.example", "10.0.0.0/8"]"#,
        );
        let file = File::parse(&text).unwrap();
        let [a, b] = &file.service[..] else {
            panic!("two services")
        };
        assert_eq!(a.ca.as_deref(), Some(&["ca.pem".into()][..]));
        assert_eq!(a.client_certificates[0].host, "*.a.example");
        assert_eq!(a.danger_no_verify, ["localhost"]);
        assert_eq!(a.proxy.as_deref(), Some("env"));
        assert_eq!(a.no_proxy.as_ref().unwrap().len(), 2);
        assert_eq!((&b.ca, &b.proxy, &b.no_proxy), (&None, &None, &None));
        assert!(b.client_certificates.is_empty() && b.danger_no_verify.is_empty());
        let error = File::parse(&text.replace("key = \"k.pem\"", "")).unwrap_err();
        assert!(error.to_string().contains("`key`"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = GOOD.replace("timeout", "time_out");
        let error = File::parse(&text).unwrap_err().to_string();
        assert!(error.contains("line 6"), "{error}");
        assert!(error.contains("time_out"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let error = |text: &str| File::parse(text).unwrap_err().to_string();
        assert!(error("service = []").contains("no service"));
        assert!(error(&GOOD.replace("name = \"b\"", "name = \"a\"")).contains("`a`"));
        assert!(error(&GOOD.replace("component = \"a.wasm\"", "")).contains("`a` needs either"));
        assert!(error(&GOOD.replace("5s", "5 parsecs")).contains("5 parsecs"));
        assert!(error("[[module]]\nroute = \"/\"\nmodule = \"x.wasm\"").contains("modules.toml"));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line_and_all_of_it_at_once() {
        let one = GOOD.replace("timeout = \"5s\"", "max_queue = 0");
        let error = File::parse(&one).unwrap_err();
        assert!(matches!(&error, ConfigError::At { error, .. }
            if matches!(**error, ConfigError::Zero(_, "max_queue"))));
        let error = error.to_string();
        assert!(error.starts_with("line 6, column 9\n"), "{error}");
        assert!(error.contains("6 |         max_queue = 0\n"), "{error}");
        assert!(error.contains("|         ^^^^^^^^^^^^^\n"), "{error}");

        let all = one
            .replace("name = \"b\"", "name = \"a\"")
            .replace(
                "component = \"a.wasm\"\n",
                "secrets = { K = { env = \"X\" } }\n",
            )
            .replace("\"/b\"", "{ path = \"/b\", strip_prefix = true }");
        let error = File::parse(&all).unwrap_err().to_string();
        for (line, said) in [
            ("line 2, column 9", "either `component"),
            ("line 5, column 21", "variable `K`"),
            ("line 6, column 9", "`max_queue` must be"),
            ("line 12, column 9", "two services named `a`"),
            ("line 13, column 9", "`strip_prefix`"),
        ] {
            assert!(
                error.contains(line) && error.contains(said),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn where_a_service_says_something_can_be_asked_later() {
        let file = File::parse(GOOD).unwrap();
        assert_eq!(
            file.place_of(0, "directories./data").as_deref(),
            Some("line 9, column 25: \"/data\" = \"data\"")
        );
        assert_eq!(
            file.place_of(1, "route").as_deref(),
            Some("line 13, column 9: route = \"/b\"")
        );
        assert_eq!(file.place_of(1, "timeout"), None);
        let moved = File::parse(&format!("\n{GOOD}")).unwrap();
        assert_eq!(file, moved, "a file that says the same is the same");
    }
}
