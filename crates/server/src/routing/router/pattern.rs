//! The forms of a route's pattern.

use std::collections::HashSet;

use http::HeaderName;

use super::RouteError;
use crate::request::reserved_headers::ROUTE_FIELDS;

/// A parsed pattern. Its literals keep their doubled braces, which the tree parses, too.
#[derive(Debug)]
pub(crate) struct Pattern<'a> {
    /// The part before `/...`, or the whole pattern: empty, or begins with `/`.
    pub(crate) base: &'a str,
    pub(crate) is_prefix: bool,
    /// The request fields of its wildcards, in order.
    pub(crate) fields: Vec<HeaderName>,
    /// The base without the names of its wildcards: patterns of the same shape match the same paths.
    pub(crate) shape: String,
}

enum Segment<'a> {
    Literal,
    Wildcard(&'a str),
}

// === impl Pattern ===

impl<'a> Pattern<'a> {
    pub(crate) fn parse(pattern: &'a str) -> Result<Self, RouteError> {
        let bad = |problem| RouteError::BadPattern {
            pattern: pattern.to_owned(),
            problem,
        };
        if !pattern.starts_with('/') {
            return Err(bad("does not begin with \"/\""));
        }
        if pattern.contains(['?', '#']) {
            return Err(bad("has a query or a fragment, which routes ignore"));
        }
        if !pattern.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "has a character that is not allowed in a path (percent-encode it)",
            ));
        }
        let (base, is_prefix) = match pattern.strip_suffix("/...") {
            Some(base) if base.ends_with('/') => {
                return Err(bad("has an empty segment before its \"...\""));
            }
            Some(base) => (base, true),
            None => (pattern, false),
        };

        let mut names = HashSet::new();
        let mut fields = Vec::new();
        let mut shape = String::with_capacity(base.len());
        for segment in base.split('/').skip(1) {
            shape.push('/');
            match Segment::parse(segment).map_err(bad)? {
                Segment::Literal => shape.push_str(segment),
                Segment::Wildcard(name) => {
                    let name = name.to_ascii_lowercase();
                    let field = HeaderName::try_from(format!("{ROUTE_FIELDS}{name}"))
                        .map_err(|_| bad("has a wildcard whose name is not a field name"))?;
                    if !names.insert(name) {
                        return Err(bad("has two wildcards of the same name"));
                    }
                    fields.push(field);
                    shape.push_str("{}");
                }
            }
        }
        Ok(Self {
            base,
            is_prefix,
            fields,
            shape,
        })
    }

    /// Returns the number of segments of a prefix; `None` for an exact pattern.
    pub(crate) fn depth(&self) -> Option<usize> {
        self.is_prefix.then(|| self.base.matches('/').count())
    }
}

impl<'a> Segment<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text == "..." {
            return Err("has \"...\" in a place other than its end");
        }
        let whole = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        if let Some(name) = whole.filter(|name| !name.contains(['{', '}'])) {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            return match is_name {
                true => Ok(Self::Wildcard(name)),
                false => Err(
                    "has a wildcard whose name is not a letter followed by letters, digits, \"_\" or \
                     \"-\"",
                ),
            };
        }
        // Any single braces that are left are an error.
        let left = text.replace("{{", "").replace("}}", "");
        match left.contains(['{', '}']) {
            true => Err(
                "has a brace that is not around a whole segment, as in \"/{name}/\", and is not doubled, \
                 as in \"{{\", which stands for a literal brace",
            ),
            false => Ok(Self::Literal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_whole_segments_with_names_and_doubled_braces_are_literal() {
        let pattern = Pattern::parse("/a/{id}/{{x}}/{Other_Name}/...").unwrap();
        assert_eq!(pattern.base, "/a/{id}/{{x}}/{Other_Name}");
        assert!(pattern.is_prefix);
        assert_eq!(pattern.shape, "/a/{}/{{x}}/{}");
        let fields: Vec<_> = pattern.fields.iter().map(HeaderName::as_str).collect();
        assert_eq!(fields, ["headwater-route-id", "headwater-route-other_name"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name_with_what_to_write() {
        for pattern in [
            "",
            "x",
            "...",
            "/a?b",
            "/a#b",
            "/a b",
            "/ü",
            "/a//...",
            "/.../a",
            "/a/.../b/...",
            "/{}",
            "/{a",
            "/a}",
            "/a{b}",
            "/{a}b/...",
            "/{1}",
            "/{a.b}",
            "/{*rest}",
            "/{{a}",
            "/{a}/{A}",
        ] {
            let text = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(text.contains(&format!("\"{pattern}\"")), "{text}");
            assert!(text.contains("write \"/x\""), "{text}");
        }
    }
}
