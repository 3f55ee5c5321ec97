use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::builtin::{AnswerEntry, FilesEntry, RedirectEntry};
use crate::config_error::ConfigError;
use crate::place::Source;
use crate::sense;
use crate::service::Service;
use crate::settings::{
    AccessLogSettings, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
    ServiceSettings, TelemetrySettings,
};
use crate::suggestion;

#[cfg(test)]
mod tests;

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
        if let Err(error) = file.defaults.pool.check() {
            let key = "max_concurrent_per_instance";
            let at = file.source.find_in_section("defaults", key);
            errors.push(file.told(at, key, ConfigError::Defaults(error)));
        }
        for (index, service) in file.service.iter().enumerate() {
            let mut at = |(error, key): (ConfigError, String)| {
                errors.push(file.at(index, &key, error));
            };
            let name = &service.name;
            let others = &file.service[..index];
            if others.iter().any(|other| other.name == *name) {
                at((ConfigError::Duplicate(name.clone()), "name".to_owned()));
            }
            service.check().into_iter().for_each(&mut at);
            let wrong = sense::of_service(service, index, &file.source);
            for (why, key) in wrong {
                at((ConfigError::Senseless(why), key));
            }
        }
        for (index, listener) in file.listener.iter().enumerate() {
            for (why, key) in sense::of_listener(listener) {
                let find = |key| file.source.find("listener", index, key);
                let at = find(&key).or_else(|| find(""));
                errors.push(file.told(at, &key, ConfigError::Senseless(why)));
            }
        }
        match errors.len() {
            0 => Ok(file),
            1 => Err(errors.remove(0)),
            _ => Err(ConfigError::Several(errors)),
        }
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
        self.defaults.within(folder);
        self.server.within(folder);
        self.telemetry.within(folder);
        self
    }

    /// An error with its place: of the key, or of the service if that says nothing of it.
    fn at(&self, service_index: usize, key: &str, error: ConfigError) -> ConfigError {
        let find = |key| self.source.find("service", service_index, key);
        self.told(find(key).or_else(|| find("")), key, error)
    }

    fn told(&self, at: Option<Range<usize>>, key: &str, error: ConfigError) -> ConfigError {
        match at {
            Some(at) => ConfigError::At {
                place: self.source.shown(at, key),
                error: Box::new(error),
            },
            None => error,
        }
    }
}
