use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builtin::{AnswerEntry, FilesEntry, RedirectEntry};
use crate::capability_key::{CapabilityKey, gather, reveal};
use crate::chain;
use crate::config_error::ConfigError;
use crate::middleware::MiddlewareEntry;
use crate::other_manifest::OtherManifest;
use crate::recovery;
use crate::service::Service;
use crate::settings::{
    AccessLogSettings, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
    ServiceSettings, TelemetrySettings,
};
use crate::source_span::Source;
use crate::suggestion;
use crate::validate;
use crate::warning::{self, Warning};

#[cfg(test)]
mod tests;

/// Keys of a listener that need another key.
const NEEDED: [(&str, &str); 2] = [
    ("proxy_protocol_from", "proxy_protocol"),
    ("tls.client_auth", "client_ca"),
];

/// The content of a `headwater.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Services, each with its routes.
    #[serde(default)]
    pub service: Vec<Service>,
    /// Components in front of services.
    #[serde(default)]
    pub middleware: Vec<MiddlewareEntry>,
    /// Settings for all services and middlewares that do not have their own. A flag takes precedence over this
    /// section, and a service over both.
    #[serde(default)]
    pub defaults: ServiceSettings,
    /// Redirects.
    #[serde(default)]
    pub redirect: Vec<RedirectEntry>,
    /// Fixed answers.
    #[serde(default)]
    pub answer: Vec<AnswerEntry>,
    /// Directories of files to serve.
    #[serde(default)]
    pub files: Vec<FilesEntry>,
    /// Listeners. The flag `--listen` replaces them. Default: 127.0.0.1:8080.
    #[serde(default)]
    pub listener: Vec<ListenerSettings>,
    /// Connections and requests. Flags take precedence over this section.
    #[serde(default)]
    pub server: ServerSettings,
    /// The admin listener, which this section turns on.
    pub admin: Option<AdminSettings>,
    /// The access log, which this section turns on.
    pub access_log: Option<AccessLogSettings>,
    /// Reloading.
    #[serde(default)]
    pub reload: ReloadSettings,
    /// Traces and logs.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// The text, for the places of errors.
    #[serde(skip)]
    source: Source,
}

impl File {
    /// Reads the text of a `headwater.toml`.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not TOML, has an unknown key or a value that makes no sense.
    /// The error has the line, the column and the text there, for all mistakes at once.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match Self::read(text, &[]) {
            (Some(file), errors) if errors.is_empty() => Ok(file),
            (_, mut errors) => Err(match errors.len() {
                1 => errors.remove(0),
                _ => ConfigError::Several(errors),
            }),
        }
    }

    /// Reads the text of a `headwater.toml` as far as it can be read, and returns all its errors. A
    /// wrong value is left out of the file, and so is a whole entry that makes no sense without it.
    /// Returns `None` if nothing could be read.
    ///
    /// Services may have the keys `keys` in addition to their own; the values of these are not
    /// checked.
    #[must_use]
    pub fn read(text: &str, keys: &[CapabilityKey]) -> (Option<Self>, Vec<ConfigError>) {
        let recovered = recovery::read::<Self>(text, |document| gather(document, keys));
        let mut source = recovered.source;
        source.hide(keys.iter().map(|key| key.name));
        // Look at the whole text: other files fail on their first key.
        if !recovered.mistakes.is_empty() {
            if let Some(other) = OtherManifest::recognise(text) {
                return (None, vec![ConfigError::Other(other)]);
            }
            if text.lines().any(|line| line.trim() == "[[module]]") {
                return (None, vec![ConfigError::Wagi]);
            }
        }
        let mistakes = recovered.mistakes.into_iter();
        let mut errors: Vec<_> = mistakes
            .map(|mistake| {
                let message = reveal(&mistake.message, keys);
                let error = ConfigError::Syntax(suggestion::message(&message, &mistake.key));
                told(&source, mistake.at, &mistake.key, error)
            })
            .collect();
        let Some(mut file) = recovered.value else {
            return (None, errors);
        };
        file.source = source;
        let built_in = file.redirect.len() + file.answer.len() + file.files.len();
        if file.service.is_empty() && built_in == 0 && errors.is_empty() {
            errors.push(ConfigError::Empty);
        }
        file.check(&mut errors);
        errors.sort_by_key(|error| error.location().map(|at| (at.line, at.column)));
        file.leave_out_services_without_a_guest();
        (Some(file), errors)
    }

    /// Adds errors about values that parsed, but make no sense.
    fn check(&self, errors: &mut Vec<ConfigError>) {
        if let Err(error) = self.defaults.pool.check() {
            let key = "max_concurrent_per_instance";
            let at = self.source.find_in_section("defaults", key);
            errors.push(told(&self.source, at, key, ConfigError::Defaults(error)));
        }
        for (index, service) in self.service.iter().enumerate() {
            let mut at = |(error, key): (ConfigError, String)| {
                errors.push(self.at("service", index, &key, error));
            };
            let name = &service.name;
            let others = &self.service[..index];
            if others.iter().any(|other| other.name == *name) {
                at((ConfigError::Duplicate(name.clone()), "name".to_owned()));
            }
            let lacks = |key| self.source.lacks("service", index, key);
            let lacks_guest = lacks("component") || lacks("module");
            let wrong = service.check().into_iter();
            wrong
                .filter(|(error, _)| !(lacks_guest && matches!(error, ConfigError::Guest(..))))
                .for_each(&mut at);
            let wrong = validate::of_service(service, "service", index, &self.source);
            for (why, key) in wrong {
                at((ConfigError::Senseless(why), key));
            }
        }
        self.check_middlewares(errors);
        for (index, listener) in self.listener.iter().enumerate() {
            for (why, key) in validate::of_listener(listener) {
                let lacks = |needed: &str| self.source.lacks("listener", index, needed);
                if NEEDED
                    .iter()
                    .any(|(by, needed)| *by == key && lacks(needed))
                {
                    continue;
                }
                let find = |key| self.source.find("listener", index, key);
                let at = find(&key).or_else(|| find(""));
                errors.push(told(&self.source, at, &key, ConfigError::Senseless(why)));
            }
        }
    }

    fn check_middlewares(&self, errors: &mut Vec<ConfigError>) {
        for (index, entry) in self.middleware.iter().enumerate() {
            let mut at = |why: String, key: &str| {
                let error = ConfigError::Senseless(why);
                errors.push(self.at("middleware", index, key, error));
            };
            let name = &entry.name;
            let twice = |what: &str| {
                format!("there are {what} named `{name}`; give each a name of its own")
            };
            if self.middleware[..index].iter().any(|it| it.name == *name) {
                at(twice("two middlewares"), "name");
            }
            if self.service.iter().any(|service| service.name == *name) {
                at(
                    format!(
                        "there are a service and a middleware named `{name}`; give each a name of its own, by \
                         which it is measured"
                    ),
                    "name",
                );
            }
            if let Err(error) = entry.settings.pool.check() {
                let why = format!("middleware `{name}`: {error}");
                at(why, "max_concurrent_per_instance");
            }
            let service = entry.as_service();
            for variable in service.secrets.keys() {
                if service.environment.contains_key(variable) {
                    let why = format!(
                        "middleware `{name}`: the variable `{variable}` is in `environment` and in `secrets`: \
                         remove one"
                    );
                    at(why, &format!("secrets.{variable}"));
                }
            }
            for (why, key) in validate::of_service(&service, "middleware", index, &self.source) {
                at(why, &key);
            }
        }
        let is_whole = !self.source.lacks_entry("middleware");
        for chain::Wrong { entry, key, why } in chain::check(self, is_whole) {
            let error = ConfigError::Senseless(why);
            errors.push(match entry {
                Some((list, index)) => self.at(list, index, &key, error),
                None => {
                    let at = self.source.find_in_section("defaults", &key);
                    told(&self.source, at, &key, error)
                }
            });
        }
    }

    /// Removes services without a guest: their error is reported already, and nothing else can be
    /// checked.
    fn leave_out_services_without_a_guest(&mut self) {
        let mut index = 0;
        while let Some(service) = self.service.get(index) {
            if service.guest_if_any().is_some() {
                index += 1;
            } else {
                self.source.leave_out("service", index);
                self.service.remove(index);
            }
        }
    }

    /// Returns warnings about settings that work, but probably not as intended.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of_file(self)
    }

    /// Returns the text that the file was read from, for errors that are found later.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Resolves all paths of the file against `folder`, which holds it.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        for service in &mut self.service {
            service.within(folder);
        }
        for entry in &mut self.middleware {
            entry.within(folder);
        }
        for files in &mut self.files {
            files.directory = folder.join(&files.directory);
        }
        for listener in &mut self.listener {
            listener.within(folder);
        }
        if let Some(access_log) = &mut self.access_log {
            access_log.within(folder);
        }
        if let Some(admin) = &mut self.admin {
            admin.within(folder);
        }
        self.defaults.within(folder);
        self.server.within(folder);
        self.telemetry.within(folder);
        self
    }

    /// Adds a place to an error: of the key, or of the entry of a list if it does not have the key.
    fn at(&self, list: &str, index: usize, key: &str, error: ConfigError) -> ConfigError {
        let find = |key| self.source.find(list, index, key);
        told(&self.source, find(key).or_else(|| find("")), key, error)
    }
}

fn told(source: &Source, at: Option<Range<usize>>, key: &str, error: ConfigError) -> ConfigError {
    match at {
        Some(at) => ConfigError::At {
            location: source.locate(&at, key),
            shown: source.shown(&at, key),
            error: Box::new(error),
        },
        None => error,
    }
}
