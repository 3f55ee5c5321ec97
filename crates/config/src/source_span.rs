use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use toml::Spanned;
use toml::de::DeTable;

use crate::span_tree::SpanTree;
use crate::suggestion::may_mean;

/// The text that a file was read from, to find the place of an error in it.
#[derive(Clone, Default)]
pub struct Source {
    text: Arc<str>,
    /// The places in the text, once one is looked for.
    spans: Arc<OnceLock<Option<SpanTree>>>,
    /// Where the lines of the text begin, once one is looked for.
    lines: Arc<OnceLock<Box<[usize]>>>,
    /// Entries of the text that were not read, as list and index, in order. Indices of entries do
    /// not count them.
    left_out: Vec<(String, usize)>,
    /// Keys that were not read, as list, index in the text and path.
    unread: Vec<(String, usize, String)>,
    /// Keys whose values are not shown, in addition to [`HIDDEN`].
    hidden: Vec<&'static str>,
}

/// A place in the text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The text there, shortened to a part of one line. For a value that may be secret, only the
    /// key.
    pub text: String,
}

/// Keys whose values may be secret, such as the password of a proxy.
const HIDDEN: [&str; 4] = ["proxy", "environment", "secrets", "token"];

/// The largest part of a line that a place shows, in characters.
const SHOWN: usize = 80;

// === impl Source ===

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            spans: Arc::default(),
            lines: Arc::default(),
            left_out: Vec::new(),
            unread: Vec::new(),
            hidden: Vec::new(),
        }
    }

    pub(crate) fn hide(&mut self, keys: impl IntoIterator<Item = &'static str>) {
        self.hidden.extend(keys);
    }

    /// Returns true if messages must not show the value of a key, or of the table around it: it may be a secret.
    pub(crate) fn is_hidden(&self, key: &str) -> bool {
        let is_hidden = |part| HIDDEN.contains(&part) || self.hidden.contains(&part);
        key.split('.').any(is_hidden)
    }

    /// Returns true if messages must not show what stands there, also where the text is not TOML.
    fn hides(&self, at: &Range<usize>, key: &str) -> bool {
        let (_, _, content) = self.position(at.start);
        let (before, _) = content.split_once('=').unwrap_or_default();
        has_credentials(content)
            || self.is_hidden(key)
            || before.split('.').any(|part| self.is_hidden(part.trim()))
    }

    /// Returns an error about a key without the value that it quotes, if that may be a secret.
    pub(crate) fn redact(&self, key: &str, message: &str) -> String {
        match (message.split_once(": "), message.rfind(", expected")) {
            (Some((what, _)), Some(expected)) if self.is_hidden(key) => {
                format!("{what}{}", &message[expected..])
            }
            _ => message.to_owned(),
        }
    }

    /// Returns the parsed text, or `None` if it is not TOML.
    pub(crate) fn document(&self) -> Option<Spanned<DeTable<'_>>> {
        DeTable::parse(&self.text).ok()
    }

    /// Stops counting the entry of `list` that has the index `index` now.
    pub(crate) fn leave_out(&mut self, list: &str, index: usize) {
        let original = self.original(list, index);
        self.left_out.push((list.to_owned(), original));
        self.left_out.sort();
    }

    pub(crate) fn leave_out_key(&mut self, list: &str, index: usize, key: String) {
        let original = self.original(list, index);
        self.unread.push((list.to_owned(), original, key));
    }

    /// Returns true if a key of an entry, at any depth, was not read, under this name or one that
    /// is meant for it. Its error is reported elsewhere.
    #[must_use]
    pub fn lacks(&self, list: &str, index: usize, key: &str) -> bool {
        let original = self.original(list, index);
        self.unread.iter().any(|(of, at, path)| {
            let name = path.rsplit('.').next().unwrap_or(path);
            of == list && *at == original && may_mean(name, key)
        })
    }

    /// Returns true if an entry of a list was not read. Its error is reported elsewhere.
    pub(crate) fn lacks_entry(&self, list: &str) -> bool {
        self.left_out.iter().any(|(of, _)| of == list)
    }

    /// Returns the index in the text of an entry that was read.
    fn original(&self, list: &str, mut index: usize) -> usize {
        for (of, left_out) in &self.left_out {
            if of == list && *left_out <= index {
                index += 1;
            }
        }
        index
    }

    /// Returns the place of a key of the entry `index` in a list of tables such as `service`:
    /// `timeout`, or below it, `outgoing.max_requests`, `allow_outgoing.1`. With an empty key, the
    /// place where the entry begins.
    pub(crate) fn find(&self, list: &str, index: usize, key: &str) -> Option<Range<usize>> {
        let entries = self.spans()?.get(list)?;
        let entry = entries.element(self.original(list, index))?;
        match key {
            "" => Some(entry.span()),
            key => entry.find(key),
        }
    }

    pub(crate) fn find_in_section(&self, section: &str, key: &str) -> Option<Range<usize>> {
        self.spans()?.get(section)?.find(key)
    }

    fn spans(&self) -> Option<&SpanTree> {
        let parse = || SpanTree::parse(&self.text);
        self.spans.get_or_init(parse).as_ref()
    }

    /// Returns the place where an entry of a list of tables (`service`, `redirect`, `answer`,
    /// `files`, `listener`) has a key, or `None` if it does not have it.
    ///
    /// The key may be below another: `outgoing.h2c`, `environment.NAME`, `allow_outgoing.1` (in a
    /// list, from 0). With an empty key, it is the place where the entry begins.
    #[must_use]
    pub fn place(&self, list: &str, index: usize, key: &str) -> Option<Location> {
        let at = self.find(list, index, key)?;
        Some(self.locate(&at, key))
    }

    /// Returns the place where a section, such as `defaults` or `telemetry`, has a key.
    #[must_use]
    pub fn place_in_section(&self, section: &str, key: &str) -> Option<Location> {
        let at = self.find_in_section(section, key)?;
        Some(self.locate(&at, key))
    }

    /// Returns the place of a range, without the value if `key` hides it.
    pub(crate) fn locate(&self, at: &Range<usize>, key: &str) -> Location {
        let (line, column, _) = self.position(at.start);
        let text = match self.hides(at, key) {
            true if key.is_empty() => "…".to_owned(),
            true => format!("{key} = …"),
            false => self.excerpt(at),
        };
        Location { line, column, text }
    }

    /// Returns the first line of the range, shortened.
    fn excerpt(&self, at: &Range<usize>) -> String {
        let said = self.text.get(at.clone()).unwrap_or_default();
        let first = said.lines().next().unwrap_or_default().trim_end();
        let shown: String = first.chars().take(SHOWN).collect();
        let more = match shown.len() < said.trim_end().len() {
            true => "…",
            false => "",
        };
        format!("{shown}{more}")
    }

    /// Returns the line of a key, or only its place if the line may hold a secret.
    pub(crate) fn shown(&self, at: &Range<usize>, key: &str) -> String {
        match self.hides(at, key) {
            true => self.locate(at, key).to_string(),
            false => self.snippet(at),
        }
    }

    /// Returns the line with the range underlined, as TOML's errors show it.
    pub(crate) fn snippet(&self, at: &Range<usize>) -> String {
        let (line, column, content) = self.position(at.start);
        let gutter = " ".repeat(line.to_string().len());
        let before = " ".repeat(column - 1);
        let marked = self.text.get(at.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let marks = "^".repeat(marked.max(1));
        format!(
            "line {line}, column {column}\n{gutter} |\n{line} | {content}\n{gutter} | {before}{marks}"
        )
    }

    /// Returns where the lines begin; the first one is always there.
    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let ends = self.text.match_indices('\n');
            let next = ends.map(|(end, _)| end + 1);
            std::iter::once(0).chain(next).collect()
        })
    }

    /// Returns the line and the column, from 1, and the line's text.
    fn position(&self, at: usize) -> (usize, usize, &str) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        // Each service and each route is looked for. Counting the lines from the first one each time
        // took minutes for a hundred thousand routes.
        let begins = self.lines();
        let line = begins.partition_point(|begin| *begin <= before.len());
        let begin = begins[line - 1];
        let column = 1 + before[begin..].chars().count();
        let content = self.text[begin..].lines().next().unwrap_or_default();
        (line, column, content)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, text } = self;
        write!(f, "line {line}, column {column}: {text}")
    }
}

/// Returns true if a text has a reference to a registry with a user: `oci://USER:PASSWORD@HOST/NAME`.
/// The `@` of a digest is before `sha256:`.
pub(crate) fn has_credentials(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let references = text.split("oci:").skip(1);
    let mut at = references.filter_map(|it| it.split_once('@'));
    at.any(|(_, rest)| !rest.starts_with("sha256:"))
}

/// Returns the first part of a path.
pub(crate) fn first(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Always returns true: files with the same settings are equal, wherever they stand in the text.
impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Leaves the text out, which may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[cfg(test)]
mod tests;
