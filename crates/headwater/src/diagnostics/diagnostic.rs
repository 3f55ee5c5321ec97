//! An error or a warning, with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Error;
use headwater_config::modules::ModulesError;
use headwater_config::{ConfigError, Location, Warning, WarningKind};
use headwater_core::explain;
use headwater_server::CertificateConcern;

use crate::exit::Usage;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) kind: Kind,
    pub(crate) place: Box<Position>,
    pub(crate) message: String,
    /// The remedy. Errors name it in their message.
    pub(crate) remedy: Option<String>,
}

/// The kind of an error or a warning. Its names are part of the output of `headwater check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Flags or variables are wrong.
    Usage,
    /// A file cannot be read, or is of an unknown kind.
    File,
    /// A key or a value of a file is wrong.
    Setting,
    Guest,
    /// An address cannot be used to listen.
    Listener,
    Output,
    /// A listener's certificate that clients refuse.
    Certificate,
    /// Compiled code cannot be kept, or cannot be used.
    CodeCache,
    LiteralStar,
    /// A `${NAME}` in a value.
    NotExpanded,
    /// A grant to a service that does not exist.
    NoSuchService,
    /// A grant to a service with a scheme or a port that it does not have.
    IdleGrant,
    UnknownVariable,
    NoEffect,
}

/// The place of a diagnostic, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) file: Option<PathBuf>,
    /// The entry: ``service `a` ``, `[telemetry]`, a flag.
    pub(crate) entry: Option<String>,
    pub(crate) location: Option<Location>,
    /// Line, column and marked text, for readers.
    pub(crate) shown: Option<String>,
}

// === impl Diagnostic ===

impl Diagnostic {
    pub(crate) fn new(kind: Kind, place: Position, message: impl Into<String>) -> Self {
        Self {
            kind,
            place: place.into(),
            message: message.into(),
            remedy: None,
        }
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn of(kind: Kind, place: Position, error: &Error) -> Self {
        Self::new(kind, place, explain(error.as_ref()))
    }

    /// Makes an error without a known place, or one about usage if it is that.
    pub(crate) fn unplaced(kind: Kind, error: &Error) -> Self {
        let kind = match error.is::<Usage>() {
            true => Kind::Usage,
            false => kind,
        };
        Self::of(kind, Position::default(), error)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, Position::default(), message)
    }

    pub(crate) fn config(file: &Path, error: ConfigError) -> Self {
        let (place, error) = match error {
            ConfigError::At {
                location,
                shown,
                error,
            } => (Position::shown(file, location, shown), *error),
            error => (Position::file(file), error),
        };
        Self::new(Kind::Setting, place, error.to_string())
    }

    pub(crate) fn modules(file: &Path, error: ModulesError) -> Self {
        match error {
            ModulesError::Syntax {
                location,
                shown,
                message,
                remedy,
            } => {
                let place = Position::shown(file, location, shown);
                Self::new(Kind::Setting, place, message).with_remedy(remedy)
            }
            error => Self::new(Kind::Setting, Position::file(file), error.to_string()),
        }
    }

    pub(crate) fn certificate(place: Position, concern: &CertificateConcern) -> Self {
        Self::new(Kind::Certificate, place, concern.to_string())
    }

    pub(crate) fn code_cache(warning: String) -> Self {
        Self::new(Kind::CodeCache, Position::default(), warning)
    }

    pub(crate) fn warning(file: &Path, warning: Warning) -> Self {
        let kind = match warning.kind {
            WarningKind::LiteralStar => Kind::LiteralStar,
            WarningKind::NotExpanded => Kind::NotExpanded,
        };
        let place = Position::located(file, warning.location);
        Self::new(kind, place, warning.message).with_remedy(warning.remedy)
    }
}

/// Writes one line, unless the text of a file is shown.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind: _,
            place,
            message,
            remedy,
        } = self;
        let between = match &place.shown {
            Some(_) => "\n",
            None => ": ",
        };
        if **place != Position::default() {
            write!(f, "{place}{between}")?;
        }
        f.write_str(message)?;
        match remedy {
            Some(remedy) => write!(f, "{between}{remedy}"),
            None => Ok(()),
        }
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::File => "file",
            Self::Setting => "setting",
            Self::Guest => "guest",
            Self::Listener => "listener",
            Self::Output => "output",
            Self::Certificate => "certificate",
            Self::CodeCache => "code_cache",
            Self::LiteralStar => "literal_star",
            Self::NotExpanded => "not_expanded",
            Self::NoSuchService => "no_such_service",
            Self::IdleGrant => "idle_grant",
            Self::UnknownVariable => "unknown_variable",
            Self::NoEffect => "no_effect",
        }
    }
}

// === impl Position ===

impl Position {
    pub(crate) fn file(file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..Self::default()
        }
    }

    /// Returns a position in a file, outside of entries.
    pub(crate) fn located(file: &Path, location: Location) -> Self {
        Self {
            location: Some(location),
            ..Self::file(file)
        }
    }

    /// Returns the position of a flag, or of another source outside of files.
    pub(crate) fn entry(entry: impl Into<String>) -> Self {
        Self {
            entry: Some(entry.into()),
            ..Self::default()
        }
    }

    fn shown(file: &Path, location: Location, shown: String) -> Self {
        Self {
            file: Some(file.to_owned()),
            entry: None,
            location: Some(location),
            shown: Some(shown),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            entry,
            location,
            shown,
        } = self;
        match (file, entry) {
            (Some(file), Some(entry)) => write!(f, "in `{}`, {entry}", file.display())?,
            (Some(file), None) => write!(f, "in `{}`", file.display())?,
            (None, entry) => f.write_str(entry.as_deref().unwrap_or_default())?,
        }
        match (shown, location) {
            (Some(shown), _) => write!(f, ", {shown}"),
            (None, Some(location)) => write!(f, " ({location})"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> Location {
        Location {
            line: 2,
            column: 1,
            text: "route = \"/*\"".to_owned(),
        }
    }

    #[test]
    fn what_is_found_is_told_with_its_place_and_the_remedy() {
        let file = Path::new("h.toml");
        let warning = Warning {
            kind: WarningKind::LiteralStar,
            location: location(),
            message: "no".to_owned(),
            remedy: "do".to_owned(),
        };
        let told = Diagnostic::warning(file, warning).to_string();
        assert_eq!(
            told,
            "in `h.toml` (line 2, column 1: route = \"/*\"): no: do"
        );
        let error = ConfigError::At {
            location: location(),
            shown: "line 2, column 1\n  |".to_owned(),
            error: Box::new(ConfigError::Empty),
        };
        let told = Diagnostic::config(file, error).to_string();
        assert!(
            told.starts_with("in `h.toml`, line 2, column 1\n  |\nthere is no service"),
            "{told}"
        );
        assert_eq!(Diagnostic::usage("no").to_string(), "no");
    }
}
