use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::keys;
use crate::suggestion::nearest;

/// Why a `modules.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// It does not parse, or a value is of the wrong kind.
    #[error("{place}\n{remedy}")]
    Syntax {
        /// What is wrong, with line, column and the text there.
        place: String,
        /// What to write.
        remedy: String,
    },
    /// It is Headwater's own format.
    #[error("this is a headwater.toml: serve it with `headwater serve FILE`")]
    Headwater,
    /// There is no module.
    #[error("there is no module: add a `[[module]]` with `route` and `module`")]
    Empty,
}

impl ModulesError {
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let Ok(document) = DeTable::parse(text) else {
            return Self::told(
                error,
                "Text stands in quotation marks, and each module begins with a line `[[module]]`."
                    .to_owned(),
            );
        };
        let document = document.get_ref();
        if !document.contains_key("module") {
            if document.contains_key("service") {
                return Self::Headwater;
            }
            let names = document.keys().map(|key| key.get_ref().as_ref());
            return match names
                .into_iter()
                .find(|name| nearest(name, ["module"]).is_some())
            {
                Some(name) => Self::told(
                    error,
                    format!("`{name}` has no effect: each module begins with a line `[[module]]`."),
                ),
                None if document.is_empty() => Self::Empty,
                None => Self::told(error, NO_MODULE.to_owned()),
            };
        }
        let key = match error.message().starts_with("missing field") {
            true => None,
            false => error.span().and_then(|at| key_at(document, &at)),
        };
        let remedy = match key.and_then(|key| keys::example(&key)) {
            Some(example) => format!("Write it like this: {example}"),
            None => NO_MODULE.to_owned(),
        };
        Self::told(error, remedy)
    }

    fn told(error: &toml::de::Error, remedy: String) -> Self {
        Self::Syntax {
            place: error.to_string().trim_end().to_owned(),
            remedy,
        }
    }
}

const NO_MODULE: &str =
    "A modules.toml is a list of `[[module]]`, each with at least `route` and `module`.";

/// The key of a module whose value is at this place: the last one before it, because a table that is
/// written by dotted keys has no place of its own.
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
