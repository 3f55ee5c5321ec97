use std::fmt;

use toml::Spanned;
use toml::de::DeValue;

use super::keys;
use crate::source_span::{Location, Source};

/// A key that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// The place in the file.
    pub location: Location,
    /// The key.
    pub key: String,
    /// Its probable meaning.
    pub meaning: String,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            location,
            key,
            meaning,
        } = self;
        let line = location.line;
        write!(f, "line {line}: `{key}` has no effect: {meaning}")
    }
}

/// Returns the keys of a file that nothing reads, in its order.
pub(super) fn find(source: &Source) -> Vec<UnknownKey> {
    let Some(document) = source.document() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Array(modules) if key.get_ref() == "module" => {
                let tables = modules
                    .iter()
                    .filter_map(|module| module.get_ref().as_table());
                let keys = tables.flat_map(|table| table.keys());
                found.extend(keys.filter(|key| keys::example(key.get_ref()).is_none()));
            }
            _ => found.push(key),
        }
    }
    found.sort_by_key(|key| key.span().start);
    found.into_iter().map(|key| unknown(source, key)).collect()
}

fn unknown<T: AsRef<str>>(source: &Source, key: &Spanned<T>) -> UnknownKey {
    let name = key.get_ref().as_ref();
    UnknownKey {
        location: source.locate(&key.span(), name),
        key: name.to_owned(),
        meaning: match keys::example(name) {
            // The key is known, but stands above the first [[module]].
            Some(_) => "it belongs below a [[module]]".to_owned(),
            None => keys::meaning(name),
        },
    }
}
