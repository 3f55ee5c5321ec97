//! The schema of WAGI's `modules.toml`: every key that WAGI 0.8.1 read, and those that Headwater adds.
//!
//! WAGI ignored keys that it did not know, so files in use have some. They stay no error, but each is
//! told of, with what was probably meant.

mod entry;
mod keys;
mod refusal;
mod unknown;

#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::recovery;
use crate::source_span::Source;
use crate::warning::{self, Warning};

pub use entry::{ModuleEntry, VolumeEntry};
pub use refusal::ModulesError;
pub use unknown::UnknownKey;

/// What a `modules.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModulesFile {
    /// The modules, in the order of the file, which is the order in which routes are tried.
    pub modules: Vec<ModuleEntry>,
    /// Keys that have no effect.
    pub unknown: Vec<UnknownKey>,
    /// For the places of errors.
    source: Source,
}

#[derive(Deserialize)]
struct Document {
    module: Vec<ModuleEntry>,
}

impl ModulesFile {
    /// Whether this text is meant as a `modules.toml`, rather than as a `headwater.toml`.
    #[must_use]
    pub fn recognises(text: &str) -> bool {
        text.lines().any(|line| {
            let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            line.starts_with("[[module]]") || line.starts_with("module=[")
        })
    }

    /// Reads the text of a `modules.toml`.
    ///
    /// # Errors
    ///
    /// When the text is no TOML, or says what makes no sense; with the place and the remedy. All that makes
    /// no sense is told at once.
    pub fn parse(text: &str) -> Result<Self, ModulesError> {
        match Self::read(text) {
            (Some(file), errors) if errors.is_empty() => Ok(file),
            (_, mut errors) => Err(match errors.len() {
                1 => errors.remove(0),
                _ => ModulesError::Several(errors),
            }),
        }
    }

    /// Reads the text of a `modules.toml` as far as it can be read, with all that is wrong in it, which is
    /// left out. `None` if nothing could be read.
    #[must_use]
    pub fn read(text: &str) -> (Option<Self>, Vec<ModulesError>) {
        let recovered = recovery::read::<Document>(text, |_| {});
        let source = recovered.source;
        let mistakes = recovered.mistakes.into_iter();
        let mut errors: Vec<_> = mistakes
            .map(|mistake| ModulesError::of(&source, mistake))
            .collect();
        let Some(Document { module: modules }) = recovered.value else {
            return (None, errors);
        };
        if modules.is_empty() && errors.is_empty() {
            errors.push(ModulesError::Empty);
        }
        let file = Self {
            modules,
            unknown: unknown::find(&source),
            source,
        };
        (Some(file), errors)
    }

    /// The text that it was read from, for errors that are found when it is used. Its list is `module`.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// What has an effect, and probably not the one that is meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of_modules(&self.modules, &self.source)
    }
}
