//! Where the keys and values of a file are.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The range of a value in the text, and those of the values in it.
pub(crate) struct SpanTree {
    span: Range<usize>,
    /// The values of a table, each with the range from its key to its end. For a table with its own
    /// header, that range ends with the key there.
    keys: HashMap<String, (Range<usize>, Self)>,
    elements: Vec<Self>,
}

// === impl SpanTree ===

impl SpanTree {
    /// Returns `None` if the text is not TOML.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?;
        Some(Self::table(document.span(), document.get_ref()))
    }

    fn table(span: Range<usize>, table: &DeTable<'_>) -> Self {
        let keys = table.iter().map(|(key, value)| {
            let end = value.span().end.max(key.span().end);
            let pair = (key.span().start..end, Self::value(value));
            (key.get_ref().to_string(), pair)
        });
        Self {
            span,
            keys: keys.collect(),
            elements: Vec::new(),
        }
    }

    fn value(value: &Spanned<DeValue<'_>>) -> Self {
        match value.get_ref() {
            DeValue::Table(table) => Self::table(value.span(), table),
            other => Self {
                span: value.span(),
                keys: HashMap::new(),
                elements: other
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(Self::value)
                    .collect(),
            },
        }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns an element of a list.
    pub(crate) fn element(&self, index: usize) -> Option<&Self> {
        self.elements.get(index)
    }

    /// Returns the value of a key, or the element of a list with this index, from 0.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self.keys.get(name) {
            Some((_, value)) => Some(value),
            None => self.element(name.parse().ok()?),
        }
    }

    /// Returns the range of a key in a table, of an element of a list, or of what is below one of
    /// them, after a dot. A name may have dots of its own.
    pub(crate) fn find(&self, key: &str) -> Option<Range<usize>> {
        if let Some((pair, _)) = self.keys.get(key) {
            return Some(pair.clone());
        }
        match key.split_once('.') {
            Some((name, rest)) => self.get(name)?.find(rest),
            None => self.get(key).map(Self::span),
        }
    }
}
