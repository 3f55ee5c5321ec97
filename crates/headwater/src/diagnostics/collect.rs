//! Collects errors and warnings while a specification is read and built.

use std::fmt;

use super::{Diagnostic, Kind, Position};
use crate::spec::config_location::{ConfigLocations, Misplaced};

#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Collects diagnostics about one entry of a file, or about the flags of a single guest.
pub(crate) struct EntryDiagnostics<'a> {
    locations: &'a ConfigLocations,
    what: &'a str,
    list: &'static str,
    index: usize,
    found: &'a mut Diagnostics,
}

/// The error for a configuration with errors: nothing is served.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Diagnostics);

// === impl Diagnostics ===

impl Diagnostics {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    pub(crate) fn warn(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic);
    }

    /// Returns the value, or records the error.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.error(diagnostic)).ok()
    }

    /// Returns a collector for the flags of a single guest.
    pub(crate) fn flags<'a>(&'a mut self, nowhere: &'a ConfigLocations) -> EntryDiagnostics<'a> {
        self.entry(nowhere, "", "", 0)
    }

    /// Returns a collector for an entry of a list, which messages call `what`.
    pub(crate) fn entry<'a>(
        &'a mut self,
        locations: &'a ConfigLocations,
        what: &'a str,
        list: &'static str,
        index: usize,
    ) -> EntryDiagnostics<'a> {
        EntryDiagnostics {
            locations,
            what,
            list,
            index,
            found: self,
        }
    }

    /// Returns the value with the warnings, or the diagnostics if there are errors. There is at
    /// least one if there is no value.
    pub(crate) fn accept<T>(self, made: Option<T>) -> Result<(T, Vec<Diagnostic>), Refused> {
        match made {
            Some(made) if self.errors.is_empty() => Ok((made, self.warnings)),
            _ => Err(Refused(self)),
        }
    }

    /// Sorts the diagnostics in the order of the file. Those without a place come first.
    pub(crate) fn sort(&mut self) {
        let key = |it: &Diagnostic| it.place.location.as_ref().map(|at| (at.line, at.column));
        self.errors.sort_by_key(key);
        self.warnings.sort_by_key(key);
    }
}

// === impl EntryDiagnostics ===

impl EntryDiagnostics<'_> {
    pub(crate) fn keep<T>(&mut self, result: Result<T, Misplaced>) -> Option<T> {
        result.map_err(|wrong| self.wrong(wrong)).ok()
    }

    /// Returns all values, or records all errors.
    pub(crate) fn keep_all<T>(&mut self, results: Vec<Result<T, Misplaced>>) -> Option<Vec<T>> {
        let kept: Vec<_> = results.into_iter().map(|it| self.keep(it)).collect();
        kept.into_iter().collect()
    }

    pub(crate) fn wrong(&mut self, wrong: Misplaced) {
        let is_flag = self.what.is_empty() && !self.locations.is_file();
        if let Some(usage) = flag(&wrong).filter(|_| is_flag) {
            self.found.error(usage);
            return;
        }
        let kind = match &*wrong.key {
            "component" | "module" => Kind::Guest,
            _ => Kind::Setting,
        };
        let diagnostic = Diagnostic::of(kind, self.place(&wrong.key), &wrong.error);
        self.found.error(diagnostic);
    }

    pub(crate) fn warn(&mut self, warning: Option<Diagnostic>) {
        self.found.warnings.extend(warning);
    }

    /// Returns the position of a key, or of the entry if it does not have the key.
    pub(crate) fn place(&self, key: &str) -> Position {
        self.locations.entry(self.what, self.list, self.index, key)
    }

    pub(crate) fn says(&self, key: &str) -> bool {
        self.locations.entry_says(self.list, self.index, key)
    }

    /// Returns true if the entry has a key whose value could not be read.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        self.locations.lacks(self.list, self.index, key)
    }
}

/// Returns an error about the flag that corresponds to a key of a file.
fn flag(Misplaced { key, error }: &Misplaced) -> Option<Diagnostic> {
    let key = key.split('.').next().unwrap_or_default();
    Some(Diagnostic::usage(match key {
        "allow_headers" => format!("--allow-header: {error}"),
        "directories" => format!("--dir: {error}"),
        // The message names the settings itself.
        "min_idle" | "max_instances" => error.to_string(),
        _ => return None,
    }))
}

// === impl Refused ===

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.0.errors.iter().map(ToString::to_string);
        f.write_str(&errors.collect::<Vec<_>>().join("\n\n"))
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_accepted_that_has_an_error_and_warnings_do_not_matter() {
        let mut found = Diagnostics::default();
        found.warn(Diagnostic::usage("hm"));
        let (made, warnings) = found.accept(Some(1)).unwrap();
        assert_eq!((made, warnings.len()), (1, 1));
        let mut found = Diagnostics::default();
        found.error(Diagnostic::usage("no"));
        found.error(Diagnostic::usage("nor this"));
        let refused = found.accept(Some(1)).unwrap_err();
        assert_eq!(refused.to_string(), "no\n\nnor this");
    }
}
