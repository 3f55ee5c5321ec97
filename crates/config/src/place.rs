use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// The text that a file was read from, to find in it what an error is about.
///
/// It is looked through again for each error rather than kept as a table of places: a good file needs
/// none.
#[derive(Clone, Default)]
pub struct Source(Arc<str>);

/// Keys whose values may hold what is not for a log, such as the password of a proxy.
const HIDDEN: [&str; 2] = ["proxy", "environment"];

/// The most of a line that a place shows, in characters.
const SHOWN: usize = 80;

// === impl Source ===

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Where a key is of the entry `index` in a list of tables such as `service`: `timeout`, or below
    /// it, `outgoing.max_requests`, `allow_outgoing.1`. Without a key, where the entry begins.
    pub(crate) fn find(&self, list: &str, index: usize, key: &str) -> Option<Range<usize>> {
        let document = DeTable::parse(&self.0).ok()?;
        let entries = document.get_ref().get(list)?.get_ref().as_array()?;
        let entry = entries.get(index)?;
        match key {
            "" => Some(entry.span()),
            key => below(entry.get_ref().as_table()?, key),
        }
    }

    /// Where a key is in a section such as `defaults`, likewise.
    pub(crate) fn find_in_section(&self, section: &str, key: &str) -> Option<Range<usize>> {
        let document = DeTable::parse(&self.0).ok()?;
        let section = document.get_ref().get(section)?.get_ref().as_table()?;
        below(section, key)
    }

    /// Where an entry of a list of tables (`service`, `redirect`, `answer`, `files`, `listener`) says
    /// something: `line 12, column 1: allow_outgoing = ["a.example"]`. `None` where it does not say it.
    ///
    /// The key may be one below another: `outgoing.h2c`, `environment.NAME`, `allow_outgoing.1` (of a
    /// list, from 0). With an empty key it is where the entry begins. Of values that may be secret, only
    /// the key is shown.
    #[must_use]
    pub fn place(&self, list: &str, index: usize, key: &str) -> Option<String> {
        let at = self.find(list, index, key)?;
        Some(self.told(at, key))
    }

    /// Likewise in a section: `defaults`, `telemetry`.
    #[must_use]
    pub fn place_in_section(&self, section: &str, key: &str) -> Option<String> {
        let at = self.find_in_section(section, key)?;
        Some(self.told(at, key))
    }

    fn told(&self, at: Range<usize>, key: &str) -> String {
        let (line, column, _) = self.position(at.start);
        if is_hidden(key) {
            let name = first(key);
            return format!("line {line}, column {column}: {name} = …");
        }
        let said = self.0.get(at).unwrap_or_default();
        let first = said.lines().next().unwrap_or_default().trim_end();
        let shown: String = first.chars().take(SHOWN).collect();
        let more = match shown.len() < said.trim_end().len() {
            true => "…",
            false => "",
        };
        format!("line {line}, column {column}: {shown}{more}")
    }

    /// The line of a key, or its place alone if the line may hold what is not for a log.
    pub(crate) fn shown(&self, at: Range<usize>, key: &str) -> String {
        match is_hidden(key) {
            true => self.told(at, key),
            false => self.snippet(&at),
        }
    }

    /// The line with what is there underlined, as the errors of TOML show it.
    pub(crate) fn snippet(&self, at: &Range<usize>) -> String {
        let (line, column, content) = self.position(at.start);
        let gutter = " ".repeat(line.to_string().len());
        let before = " ".repeat(column - 1);
        let marked = self.0.get(at.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let marks = "^".repeat(marked.max(1));
        format!(
            "line {line}, column {column}\n{gutter} |\n{line} | {content}\n{gutter} | {before}{marks}"
        )
    }

    /// Line and column, from 1, and the line.
    fn position(&self, at: usize) -> (usize, usize, &str) {
        let before = self.0.get(..at).unwrap_or(&self.0);
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let line = 1 + before.matches('\n').count();
        let column = 1 + before[begin..].chars().count();
        let content = self.0[begin..].lines().next().unwrap_or_default();
        (line, column, content)
    }
}

/// Whether the value of a key, or of the table that it is in, may hold what is not for a log.
fn is_hidden(key: &str) -> bool {
    HIDDEN.contains(&first(key))
}

fn first(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Where a key is in a table, or what is below it. A name may have dots of its own.
fn below(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    if let Some(found) = pair(table, key) {
        return Some(found);
    }
    let (name, key) = key.split_once('.')?;
    within(table.get(name)?.get_ref(), key)
}

/// What is in a value: a key of a table, or one of a list, by its number from 0.
fn within(value: &DeValue<'_>, key: &str) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => below(table, key),
        DeValue::Array(values) => {
            let (at, key) = match key.split_once('.') {
                Some((at, key)) => (at, Some(key)),
                None => (key, None),
            };
            let value = values.get(at.parse::<usize>().ok()?)?;
            match key {
                Some(key) => within(value.get_ref(), key),
                None => Some(value.span()),
            }
        }
        _ => None,
    }
}

/// From a key to the end of its value. A table of its own header ends with the key there.
fn pair(table: &DeTable<'_>, name: &str) -> Option<Range<usize>> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    let key = key.span();
    let end = value.span().end.max(key.end);
    Some(key.start..end)
}

/// What a file says is the same wherever it says it.
impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The text may hold what is not for a log.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# ä
[[service]]
name = "a"

[[service]]
name = "b"
allow_outgoing = ["a.example",
  "b.example"]
proxy = "http://user:password@proxy"
outgoing.max_requests = 0
secrets = { "A.B" = { env = "X" } }

[service.environment]
KEY = "value"
"#;

    fn place(index: usize, key: &str) -> String {
        let source = Source::new(TEXT);
        source
            .place("service", index, key)
            .unwrap_or_else(|| panic!("{index}.{key} is there"))
    }

    #[test]
    fn a_key_is_found_in_its_own_service() {
        assert_eq!(place(0, "name"), r#"line 3, column 1: name = "a""#);
        assert_eq!(place(1, "name"), r#"line 6, column 1: name = "b""#);
        assert_eq!(place(0, ""), "line 2, column 1: [[service]]");
        let source = Source::new(TEXT);
        assert_eq!(source.place("service", 0, "proxy"), None);
        assert_eq!(source.place("service", 2, "name"), None);
        assert_eq!(source.place("redirect", 0, ""), None);
    }

    #[test]
    fn what_is_below_a_key_has_a_place_of_its_own() {
        assert_eq!(
            place(1, "outgoing.max_requests"),
            "line 10, column 10: max_requests = 0"
        );
        assert_eq!(
            place(1, "allow_outgoing.1"),
            r#"line 8, column 3: "b.example""#
        );
        assert_eq!(
            place(1, "secrets.A.B"),
            r#"line 11, column 13: "A.B" = { env = "X" }"#
        );
        assert_eq!(
            place(1, "allow_outgoing"),
            r#"line 7, column 1: allow_outgoing = ["a.example",…"#
        );
    }

    #[test]
    fn what_is_below_a_list_has_a_place_too() {
        let text = "[[listener]]\nroute = [\"/a\", { path = \"/b\", hosts = [\"x\", \"y\"] }]\n\
                    [[listener.tls.certificates]]\nkey = \"k\"\n";
        let source = Source::new(text);
        let place = |key| source.place("listener", 0, key).unwrap();
        assert_eq!(place("route.0"), r#"line 2, column 10: "/a""#);
        assert_eq!(place("route.1.path"), r#"line 2, column 18: path = "/b""#);
        assert_eq!(place("route.1.hosts.1"), r#"line 2, column 45: "y""#);
        assert_eq!(
            place("tls.certificates.0.key"),
            r#"line 4, column 1: key = "k""#
        );
        assert_eq!(source.place("listener", 0, "route.2"), None);
        assert_eq!(source.place("listener", 0, "route.0.path"), None);
    }

    #[test]
    fn a_value_that_may_be_secret_is_not_in_a_place() {
        assert_eq!(place(1, "proxy"), "line 9, column 1: proxy = …");
        let place = place(1, "environment.KEY");
        assert_eq!(place, "line 14, column 1: environment = …");
        assert!(!format!("{:?}", Source::new(TEXT)).contains("password"));
    }

    #[test]
    fn a_snippet_looks_as_those_of_toml_do() {
        let text = "a = 1\n\"é\" = x\n";
        let error = toml::from_str::<toml::Table>(text).unwrap_err();
        let snippet = Source::new(text).snippet(&error.span().unwrap());
        let theirs = error.to_string();
        let theirs = theirs.strip_prefix("TOML parse error at ").unwrap();
        assert!(theirs.starts_with(&snippet), "{theirs}\n{snippet}");
    }
}
