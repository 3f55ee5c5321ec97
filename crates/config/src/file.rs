use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builtin::{AnswerEntry, FilesEntry, RedirectEntry};
use crate::capability_key::{CapabilityKey, gather, reveal};
use crate::config_error::ConfigError;
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

/// Keys of a listener that make no sense without another one.
const NEEDED: [(&str, &str); 2] = [
    ("proxy_protocol_from", "proxy_protocol"),
    ("tls.client_auth", "client_ca"),
];

/// What a `headwater.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The services, each with its routes.
    #[serde(default)]
    pub service: Vec<Service>,
    /// What holds for all services that do not say it themselves. A flag goes before what is said here,
    /// and the service before both.
    #[serde(default)]
    pub defaults: ServiceSettings,
    /// Redirects.
    #[serde(default)]
    pub redirect: Vec<RedirectEntry>,
    /// Answers that are always the same.
    #[serde(default)]
    pub answer: Vec<AnswerEntry>,
    /// Directories whose files are served.
    #[serde(default)]
    pub files: Vec<FilesEntry>,
    /// Where to listen, if no flag says it. Default: 127.0.0.1:8080.
    #[serde(default)]
    pub listener: Vec<ListenerSettings>,
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
    /// Traces and logs.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// For the places of errors.
    #[serde(skip)]
    source: Source,
}

impl File {
    /// Reads the text of a `headwater.toml`.
    ///
    /// # Errors
    ///
    /// When the text is no TOML, has an unknown key, or says what makes no sense; with line, column and
    /// the text there. All that makes no sense is told at once.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match Self::read(text, &[]) {
            (Some(file), errors) if errors.is_empty() => Ok(file),
            (_, mut errors) => Err(match errors.len() {
                1 => errors.remove(0),
                _ => ConfigError::Several(errors),
            }),
        }
    }

    /// Reads the text of a `headwater.toml` as far as it can be read, with all that is wrong in it. What is
    /// wrong is left out of the file: a value, or a whole entry that makes no sense without it. `None` if
    /// nothing could be read.
    ///
    /// A service may have these keys besides its own; their values are not looked at.
    #[must_use]
    pub fn read(text: &str, keys: &[CapabilityKey]) -> (Option<Self>, Vec<ConfigError>) {
        let recovered = recovery::read::<Self>(text, |document| gather(document, keys));
        let mut source = recovered.source;
        source.hide(keys.iter().map(|key| key.name));
        // Told from the whole text: other files fail on their first key.
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

    /// What makes no sense, though each of its words could be read.
    fn check(&self, errors: &mut Vec<ConfigError>) {
        if let Err(error) = self.defaults.pool.check() {
            let key = "max_concurrent_per_instance";
            let at = self.source.find_in_section("defaults", key);
            errors.push(told(&self.source, at, key, ConfigError::Defaults(error)));
        }
        for (index, service) in self.service.iter().enumerate() {
            let mut at = |(error, key): (ConfigError, String)| {
                errors.push(self.at(index, &key, error));
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
            let wrong = validate::of_service(service, index, &self.source);
            for (why, key) in wrong {
                at((ConfigError::Senseless(why), key));
            }
        }
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

    /// They have been told of, and nothing more can be said of them.
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

    /// What has an effect, and probably not the one that is meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of_file(self)
    }

    /// The text that it was read from, for errors that are found when it is used.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The file with all of its paths from `folder`, in which it is.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        for service in &mut self.service {
            service.within(folder);
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

    /// An error with its place: of the key, or of the service if that says nothing of it.
    fn at(&self, service_index: usize, key: &str, error: ConfigError) -> ConfigError {
        let find = |key| self.source.find("service", service_index, key);
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
