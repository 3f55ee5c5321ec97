//! Finds the place in a file that an error is about.

use std::path::{Path, PathBuf};

use anyhow::Error;
use headwater_config::{Location, Source};

use crate::diagnostics::Position;

/// A headwater.toml or a modules.toml, to name places in it. Without a file, as for a single guest,
/// no places are named.
#[derive(Clone, Default)]
pub(crate) struct ConfigLocations(Option<(PathBuf, Source)>);

/// An error, and the key of an entry that it is about.
pub(crate) struct Misplaced {
    pub(crate) key: String,
    pub(crate) error: Error,
}

pub(crate) trait AtKey<T> {
    /// Adds a key of the entry, or one below it: `route`, `allow_outgoing.1`,
    /// `tls.certificates.0.key`.
    fn at(self, key: impl Into<String>) -> Result<T, Misplaced>;
}

// === impl ConfigLocations ===

impl ConfigLocations {
    pub(crate) fn new(path: &Path, source: &Source) -> Self {
        Self(Some((path.to_owned(), source.clone())))
    }

    /// Returns a position in an entry of a list such as `service`, which messages call `what`: the
    /// file, the entry, and the line, column and text of the key, or of the entry if it does not
    /// have the key.
    pub(crate) fn entry(&self, what: &str, list: &str, index: usize, key: &str) -> Position {
        self.place(what, |source| {
            let place = |key| source.place(list, index, key);
            place(key).or_else(|| place(""))
        })
    }

    pub(crate) fn section(&self, section: &str, key: &str) -> Position {
        self.place(&format!("`[{section}]`"), |source| {
            source.place_in_section(section, key)
        })
    }

    /// Returns true if an entry has a key whose value could not be read.
    pub(crate) fn lacks(&self, list: &str, index: usize, key: &str) -> bool {
        let source = self.0.as_ref().map(|(_, source)| source);
        source.is_some_and(|source| source.lacks(list, index, key))
    }

    pub(crate) fn entry_says(&self, list: &str, index: usize, key: &str) -> bool {
        let source = self.0.as_ref().map(|(_, source)| source);
        source.is_some_and(|source| source.place(list, index, key).is_some())
    }

    /// Returns true if there is a file.
    pub(crate) const fn is_file(&self) -> bool {
        self.0.is_some()
    }

    /// Returns true if a section has a key.
    pub(crate) fn says(&self, section: &str, key: &str) -> bool {
        let Some((_, source)) = &self.0 else {
            return false;
        };
        source.place_in_section(section, key).is_some()
    }

    fn place(&self, what: &str, location: impl Fn(&Source) -> Option<Location>) -> Position {
        let Some((path, source)) = &self.0 else {
            return match what {
                "" => Position::default(),
                what => Position::entry(what),
            };
        };
        Position {
            entry: Some(what.to_owned()),
            location: location(source),
            ..Position::file(path)
        }
    }
}

// === impl Misplaced ===

/// Makes an error about the entry as a whole.
impl<E: Into<Error>> From<E> for Misplaced {
    fn from(error: E) -> Self {
        Self {
            key: String::new(),
            error: error.into(),
        }
    }
}

impl<T, E: Into<Error>> AtKey<T> for Result<T, E> {
    fn at(self, key: impl Into<String>) -> Result<T, Misplaced> {
        self.map_err(|error| Misplaced {
            key: key.into(),
            error: error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use headwater_config::File;

    use super::*;
    use crate::diagnostics::Diagnostics;

    const TEXT: &str = "[[answer]]\nroute = \"/\"\n[telemetry]\nlog = \"info\"\n";

    #[test]
    fn an_error_has_the_file_the_place_and_the_text_there() {
        let file = File::parse(TEXT).unwrap();
        let locations = ConfigLocations::new(Path::new("h.toml"), file.source());
        let mut found = Diagnostics::default();
        let mut entry = found.entry(&locations, "an `[[answer]]`", "answer", 0);
        let wrong = Err::<(), _>(anyhow::anyhow!("no")).at("route");
        assert_eq!(entry.keep(wrong), None);
        // A key that is not there is reported at its entry.
        let place = entry.place("body").to_string();
        assert!(place.ends_with("(line 1, column 1: [[answer]])"), "{place}");
        assert_eq!(
            found.errors[0].to_string(),
            "in `h.toml`, an `[[answer]]` (line 2, column 1: route = \"/\"): no"
        );
        let section = locations.section("telemetry", "log").to_string();
        assert_eq!(
            section,
            "in `h.toml`, `[telemetry]` (line 4, column 1: log = \"info\")"
        );
        assert!(locations.says("telemetry", "log") && !locations.says("server", "log"));
        assert_eq!(
            ConfigLocations::default().entry("", "service", 0, ""),
            Position::default()
        );
    }
}
