//! Keys of a `[[service]]` or `[[middleware]]` that grant host interfaces. This crate does not know them: the program
//! that reads a file names them.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of a `[[service]]` that grants a host interface.
#[derive(Debug, Clone, PartialEq)]
pub struct CapabilityKey {
    /// Its name.
    pub name: &'static str,
    /// Its description in the reference and the schema.
    pub about: &'static str,
    /// The JSON schema of its value.
    pub schema: Value,
}

/// The table that holds these keys after [`gather`]. No file can have it, because such a key is not
/// printable.
pub(crate) const GATHERED: &str = "\u{0}capabilities";

/// Moves these keys of each service and middleware into a table of their own, so that serde does not reject them
/// as unknown.
pub(crate) fn gather(document: &mut Spanned<DeTable<'_>>, keys: &[CapabilityKey]) {
    for list in ["service", "middleware"] {
        let entries = document.get_mut().get_mut(list).map(Spanned::get_mut);
        let Some(DeValue::Array(entries)) = entries else {
            continue;
        };
        for entry in entries.iter_mut() {
            let span = entry.span();
            let DeValue::Table(entry) = entry.get_mut() else {
                continue;
            };
            let mut gathered = DeTable::new();
            for key in keys {
                if let Some((name, value)) = entry.remove_entry(key.name) {
                    gathered.insert(name, value);
                }
            }
            if !gathered.is_empty() {
                let name = Spanned::new(span.clone(), GATHERED.into());
                entry.insert(name, Spanned::new(span, DeValue::Table(gathered)));
            }
        }
    }
}

/// Replaces the name of that table by the names of the keys in a message of serde.
pub(crate) fn reveal(message: &str, keys: &[CapabilityKey]) -> String {
    let gathered = format!(", `{GATHERED}`");
    let keys: String = keys.iter().map(|key| format!(", `{}`", key.name)).collect();
    message.replace(&gathered, &keys)
}

pub(crate) fn add_to_schema(root: &mut Value, keys: &[CapabilityKey]) {
    for entry in ["Service", "MiddlewareEntry"] {
        let properties = &mut root["definitions"][entry]["properties"];
        if let Some(properties) = properties.as_object_mut() {
            add_to_properties(properties, keys);
        }
    }
}

fn add_to_properties(properties: &mut Map<String, Value>, keys: &[CapabilityKey]) {
    for key in keys {
        let mut schema = key.schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            let words: Vec<_> = key.about.split_whitespace().collect();
            schema.insert("description".to_owned(), words.join(" ").into());
        }
        properties.insert(key.name.to_owned(), schema);
    }
}
