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

pub use entry::{Compat, ModuleEntry, Response, VolumeEntry};
pub use refusal::ModulesError;
pub use unknown::UnknownKey;

/// What a `modules.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModulesFile {
    /// The modules, in the order of the file, which is the order in which routes are tried.
    pub modules: Vec<ModuleEntry>,
    /// Keys that have no effect.
    pub unknown: Vec<UnknownKey>,
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
    /// When the text is no TOML, or says what makes no sense; with the place and the remedy.
    pub fn parse(text: &str) -> Result<Self, ModulesError> {
        let document: Document =
            toml::from_str(text).map_err(|error| ModulesError::syntax(text, &error))?;
        if document.module.is_empty() {
            return Err(ModulesError::Empty);
        }
        Ok(Self {
            modules: document.module,
            unknown: unknown::find(text),
        })
    }
}
