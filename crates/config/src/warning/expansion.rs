//! Finds values that name a variable, such as `${HOME}`, which shells and compose files expand.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Warning, WarningKind};
use crate::source_span::{Source, first};

/// Keys whose text may have a `${…}` of its own: WAGI's variables of `argv`, and bodies, which are
/// sent as they are.
const TEXT: [&str; 2] = ["argv", "body"];

pub(super) fn find(source: &Source) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let Some(document) = source.document() else {
        return warnings;
    };
    for (name, value) in document.get_ref() {
        let is_module = name.get_ref() == "module";
        let mut warn = |key: &str, at: Range<usize>, variable: &str| {
            let remedy = remedy(key, variable, is_module);
            warnings.push(warning(source, key, &at, variable, remedy));
        };
        match value.get_ref() {
            DeValue::Table(section) => in_table(section, "", &mut warn),
            DeValue::Array(entries) => {
                let entries = entries
                    .iter()
                    .filter_map(|entry| entry.get_ref().as_table());
                entries.for_each(|entry| in_table(entry, "", &mut warn));
            }
            _ => {}
        }
    }
    warnings
}

fn remedy(key: &str, variable: &str, is_module: bool) -> String {
    match (key.strip_prefix("environment."), is_module) {
        (Some(name), false) => format!(
            "write the value, or read it from a variable of the host with `secrets = {{ {name} = {{ env = \
             \"{variable}\" }} }}`"
        ),
        (Some(name), true) => {
            format!("write the value, or pass it with `--env {name}=\"${variable}\"`")
        }
        (None, _) => "write the value itself".to_owned(),
    }
}

fn warning(
    source: &Source,
    key: &str,
    at: &Range<usize>,
    variable: &str,
    remedy: String,
) -> Warning {
    // Part of a password may look like a variable.
    let shown = match source.is_hidden(key) && first(key) != "environment" {
        true => "…",
        false => variable,
    };
    Warning {
        kind: WarningKind::NotExpanded,
        location: source.locate(at, key),
        message: format!("`${{{shown}}}` is not replaced: values are taken as they are written"),
        remedy,
    }
}

/// Calls `found` with the path below the section or entry, the place, and the variable that is
/// named.
fn in_table<F>(table: &DeTable<'_>, above: &str, found: &mut F)
where
    F: FnMut(&str, Range<usize>, &str),
{
    for (name, value) in table {
        let key = format!("{above}{}", name.get_ref());
        if !TEXT.contains(&&*key) {
            in_value(value, &key, name.span().start, found);
        }
    }
}

fn in_value<F>(value: &Spanned<DeValue<'_>>, key: &str, start: usize, found: &mut F)
where
    F: FnMut(&str, Range<usize>, &str),
{
    match value.get_ref() {
        DeValue::String(text) => {
            if let Some(variable) = named(text) {
                found(key, start..value.span().end, variable);
            }
        }
        DeValue::Table(table) => in_table(table, &format!("{key}."), found),
        DeValue::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                in_value(value, &format!("{key}.{at}"), value.span().start, found);
            }
        }
        _ => {}
    }
}

/// Returns the variable that a text names: by `${NAME}` anywhere, or by `$NAME` as a whole or as
/// the first part of a path.
fn named(text: &str) -> Option<&str> {
    let name = |text: &'_ str| {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let end = text.find(|character| !is_part(character));
        let name = &text[..end.unwrap_or(text.len())];
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            .then_some(name.len())
    };
    let in_braces = text.match_indices("${").find_map(|(at, _)| {
        let rest = &text[at + 2..];
        let name = &rest[..name(rest)?];
        rest[name.len()..].starts_with('}').then_some(name)
    });
    in_braces.or_else(|| {
        let rest = text.strip_prefix('$')?;
        let (name, after) = rest.split_at(name(rest)?);
        let is_upper = !name.contains(|character: char| character.is_ascii_lowercase());
        (is_upper && (after.is_empty() || after.starts_with('/'))).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_a_variable_as_a_shell_has_it() {
        for (text, variable) in [
            ("${HOME}", Some("HOME")),
            ("x/${a_1}/y", Some("a_1")),
            ("${} ${A}", Some("A")),
            ("$HOME", Some("HOME")),
            ("$HOME/x", Some("HOME")),
            ("pa$$word", None),
            ("$5", None),
            ("$word", None),
            ("a$HOME", None),
            ("${A:-b}", None),
            ("${", None),
            ("$", None),
            ("{rest}", None),
        ] {
            assert_eq!(named(text), variable, "{text}");
        }
    }

    #[test]
    fn a_variable_is_told_with_what_reads_it_and_a_secret_is_not_shown() {
        let source = Source::new(
            "[[service]]\nenvironment = { KEY = \"${HOST_KEY}\" }\nca = [\"a\", \"${CA}\"]\n\
             outgoing = { h2c = [\"${A}:1\"] }\nargv = \"${ARGS}\"\n\
             [defaults]\nproxy = \"http://u:${SECRET}@p\"\n",
        );
        let told: Vec<_> = find(&source)
            .iter()
            .map(|it| format!("{}: {}: {}", it.location, it.message, it.remedy))
            .collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        for words in [
            "line 2, column 17: environment.KEY = …: `${HOST_KEY}` is not replaced",
            "secrets = { KEY = { env = \"HOST_KEY\" } }",
            "line 3, column 12: \"${CA}\"",
            "line 4, column 21: \"${A}:1\"",
            "line 7, column 1: proxy = …: `${…}`",
        ] {
            assert!(
                told.iter().any(|line| line.contains(words)),
                "{words}: {told:#?}"
            );
        }
        assert!(!told.iter().any(|line| line.contains("SECRET")));
    }
}
