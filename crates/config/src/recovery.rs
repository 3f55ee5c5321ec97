//! Reads a file past its mistakes, so that all of them are reported at once.
//!
//! serde stops at the first value that it cannot take. This module leaves that value out with its
//! key and reads the rest again. An entry without a key that it needs is left out as a whole.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

use crate::source_span::Source;

/// The maximum number of mistakes that are reported for one file, which is read again from its
/// beginning after each.
const MOST: usize = 100;

/// A file as far as it could be read.
pub(crate) struct Recovered<T> {
    /// The value, or `None` if the text is not TOML or nothing of it could be read.
    pub(crate) value: Option<T>,
    /// The mistakes, in the order of the text.
    pub(crate) mistakes: Vec<Mistake>,
    /// The text, with a record of the parts that were left out.
    pub(crate) source: Source,
}

pub(crate) struct Mistake {
    pub(crate) at: Option<Range<usize>>,
    pub(crate) message: String,
    /// The key that was left out, relative to its entry or section. Empty if there is none.
    pub(crate) key: String,
}

enum LeftOut {
    /// An entry of a list of tables.
    Entry(String, usize),
    KeyOfEntry(String, usize, String),
    /// A key of a section, or a whole section.
    Key(String),
}

/// Reads a text as far as it can be read, after `prepare` has changed the document.
pub(crate) fn read<T: DeserializeOwned>(
    text: &str,
    prepare: impl FnOnce(&mut Spanned<DeTable<'_>>),
) -> Recovered<T> {
    let mut source = Source::new(text);
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Recovered {
            value: None,
            mistakes: of_syntax(&errors, &source),
            source,
        };
    }
    prepare(&mut document);
    let mut mistakes = Vec::new();
    let value = loop {
        let error = match T::deserialize(Deserializer::from(document.clone())) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        let at = error.span();
        let left_out = at.as_ref().and_then(|at| leave_out(&mut document, at));
        let is_consequence = match &left_out {
            Some(left_out) => left_out.is_consequence(&error, &source),
            // What a file must have is missing because it was left out.
            None => !mistakes.is_empty() && error.message().starts_with("missing field"),
        };
        if !is_consequence {
            let key = left_out.as_ref().map_or("", LeftOut::key).to_owned();
            let message = source.redact(&key, error.message().trim_end());
            mistakes.push(Mistake { at, message, key });
        }
        match left_out {
            Some(left_out) if mistakes.len() < MOST => left_out.note(&mut source),
            _ => break None,
        }
    };
    mistakes.sort_by_key(|mistake| mistake.at.as_ref().map(|at| at.start));
    Recovered {
        value,
        mistakes,
        source,
    }
}

/// Returns the first mistake of each line: later ones there are mostly its consequence.
fn of_syntax(errors: &[Error], source: &Source) -> Vec<Mistake> {
    let mut errors: Vec<_> = errors.iter().map(|error| (error.span(), error)).collect();
    errors.sort_by_key(|(at, _)| at.as_ref().map(|at| at.start));
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut last = None;
    for (at, error) in errors {
        let line = at.as_ref().map(|at| source.locate(at, "").line);
        if line.is_some() && line == last {
            continue;
        }
        last = line;
        mistakes.push(Mistake {
            at,
            message: error.message().trim_end().to_owned(),
            key: String::new(),
        });
    }
    mistakes.truncate(MOST);
    mistakes
}

// === impl LeftOut ===

impl LeftOut {
    fn key(&self) -> &str {
        match self {
            Self::Entry(..) => "",
            Self::KeyOfEntry(_, _, key) | Self::Key(key) => key,
        }
    }

    /// Returns true if a key is missing only because it was left out before.
    fn is_consequence(&self, error: &Error, source: &Source) -> bool {
        let (Self::Entry(list, index) | Self::KeyOfEntry(list, index, _)) = self else {
            return false;
        };
        let missing = error.message().strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.trim_end().strip_suffix('`'));
        missing.is_some_and(|key| source.lacks(list, *index, key))
    }

    fn note(self, source: &mut Source) {
        match self {
            Self::Entry(list, index) => source.leave_out(&list, index),
            Self::KeyOfEntry(list, index, key) => source.leave_out_key(&list, index, key),
            Self::Key(_) => {}
        }
    }
}

/// Leaves out the part that an error at this place is about.
fn leave_out(document: &mut Spanned<DeTable<'_>>, at: &Range<usize>) -> Option<LeftOut> {
    let document = document.get_mut();
    let mut entry = None;
    for (list, value) in document.iter_mut() {
        let DeValue::Array(entries) = value.get_mut() else {
            continue;
        };
        for (index, value) in entries.iter_mut().enumerate() {
            let span = value.span();
            let DeValue::Table(table) = value.get_mut() else {
                continue;
            };
            let list = || list.get_ref().to_string();
            if let Some(key) = leave_out_key(table, at) {
                return Some(LeftOut::KeyOfEntry(list(), index, key));
            }
            if is_within(at, &span) {
                entry = Some((list(), index));
            }
        }
    }
    if let Some((list, index)) = entry {
        let entries = document.get_mut(list.as_str())?.get_mut();
        if let DeValue::Array(array) = entries {
            let all = std::mem::replace(array, DeArray::new())
                .into_iter()
                .enumerate();
            let kept = all.filter(|(at, _)| *at != index);
            *array = kept.map(|(_, entry)| entry).collect();
        }
        return Some(LeftOut::Entry(list, index));
    }
    let path = leave_out_key(document, at)?;
    let below = path.split_once('.').map_or("", |(_, key)| key);
    Some(LeftOut::Key(below.to_owned()))
}

/// Leaves out the key of a table, at any depth, that an error at this place is about. Returns its path.
fn leave_out_key(table: &mut DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let mut culprit = None;
    for (key, value) in table.iter_mut() {
        let name = key.get_ref();
        if !is_within(at, &key.span()) {
            if let Some(below) = below(value, at) {
                return Some(format!("{name}.{below}"));
            }
            if !is_about(at, value) {
                continue;
            }
        }
        culprit = Some(name.to_string());
        break;
    }
    let name = culprit?;
    table.remove(name.as_str());
    Some(name)
}

fn below(value: &mut Spanned<DeValue<'_>>, at: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => leave_out_key(table, at),
        DeValue::Array(values) => {
            let mut values = values.iter_mut().enumerate();
            values.find_map(|(index, value)| Some(format!("{index}.{}", below(value, at)?)))
        }
        _ => None,
    }
}

/// Returns true if a place is in a value, or in an element of a list. A list of tables has no place
/// of its own.
fn is_about(at: &Range<usize>, value: &Spanned<DeValue<'_>>) -> bool {
    let mut values = value.get_ref().as_array().into_iter().flatten();
    is_within(at, &value.span()) || values.any(|value| is_within(at, &value.span()))
}

fn is_within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && !outer.is_empty()
}
