use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::keys;
use crate::recovery::Mistake;
use crate::source_span::{Location, Source};
use crate::suggestion::{self, nearest};

/// The error for a `modules.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// It does not parse, or a value is of the wrong kind.
    #[error("{shown}\n{message}\n{remedy}")]
    Syntax {
        /// The place.
        location: Location,
        /// The place for a reader: line, column and the marked text.
        shown: String,
        /// The mistake.
        message: String,
        /// The text to write instead.
        remedy: String,
    },
    /// It is Headwater's own format.
    #[error("this is a headwater.toml: serve it with `headwater serve FILE`")]
    Headwater,
    /// There is no module.
    #[error("there is no module: add a `[[module]]` with `route` and `module`")]
    Empty,
    /// All errors of the file.
    #[error("{}", told(_0))]
    Several(Vec<ModulesError>),
}

const NO_MODULE: &str =
    "A modules.toml is a list of `[[module]]`, each with at least `route` and `module`.";

// === impl ModulesError ===

impl ModulesError {
    pub(super) fn of(source: &Source, mistake: Mistake) -> Self {
        let remedy = match source.document() {
            Some(document) => Self::remedy(document.get_ref(), &mistake),
            None => Ok(
                "Write text in quotation marks, and begin each module with a line `[[module]]`."
                    .to_owned(),
            ),
        };
        // A mistake without a place is about the whole file.
        let at = mistake.at.unwrap_or_default();
        match remedy {
            Ok(remedy) => Self::Syntax {
                location: source.locate(&at, &mistake.key),
                shown: source.shown(&at, &mistake.key),
                message: suggestion::message(&mistake.message, &mistake.key)
                    .replace("[[service]]", "[[module]]"),
                remedy,
            },
            Err(error) => error,
        }
    }

    /// Returns the text to write, or an error that says what kind of file it is.
    fn remedy(document: &DeTable<'_>, mistake: &Mistake) -> Result<String, Self> {
        if !document.contains_key("module") {
            if document.contains_key("service") {
                return Err(Self::Headwater);
            }
            let mut names = document.keys().map(|key| key.get_ref().as_ref());
            return match names.find(|name| nearest(name, ["module"]).is_some()) {
                Some(name) => Ok(format!(
                    "`{name}` has no effect: each module begins with a line `[[module]]`."
                )),
                None if document.is_empty() => Err(Self::Empty),
                None => Ok(NO_MODULE.to_owned()),
            };
        }
        let key = match (mistake.message.starts_with("missing field"), &mistake.at) {
            (false, Some(at)) => key_at(document, at),
            _ => None,
        };
        Ok(match key.and_then(|key| keys::example(&key)) {
            Some(example) => format!("Write it like this: {example}"),
            None => NO_MODULE.to_owned(),
        })
    }
}

fn told(errors: &[ModulesError]) -> String {
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    told.join("\n\n")
}

/// Returns the key of a module whose value is at this place. It is the last key before it, because
/// a table that is written with dotted keys has no place of its own.
fn key_at(document: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let DeValue::Array(modules) = document.get("module")?.get_ref() else {
        return None;
    };
    let tables = modules
        .iter()
        .filter_map(|module| module.get_ref().as_table());
    let before = tables
        .flat_map(|table| table.keys())
        .filter(|key| key.span().start <= at.start);
    let key = before.max_by_key(|key| key.span().start)?;
    Some(key.get_ref().as_ref().to_owned())
}
