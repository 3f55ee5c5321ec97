//! From a path to a service.
//!
//! The path is matched as it came: nothing is decoded or normalised, so that what the front matches
//! is what the guest sees, and `/a%2Fb` cannot be taken for `/a/b` by one and not by the other.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Handler;

/// One pattern and who answers for it.
#[derive(Clone)]
pub struct Route {
    /// `/x` for exactly this path, `/x/...` for `/x`, `/x/` and everything below, `/...` for all.
    pub pattern: Arc<str>,
    /// The service's name, for traces and logs.
    pub service: Arc<str>,
    /// What answers.
    pub handler: Arc<dyn Handler>,
    /// How long a request may take until its response head.
    pub timeout: Duration,
}

/// Finds the route of a path: an exact pattern before a prefix, a longer prefix before a shorter.
#[derive(Debug)]
pub struct Router {
    // Indices, because a prefix pattern is three entries of the tree and one route.
    tree: matchit::Router<usize>,
    routes: Vec<Route>,
}

/// Why routes cannot be served together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern is not of a known form.
    #[error(
        "the route \"{pattern}\" {problem}: write \"/x\" for exactly this path, \"/x/...\" for it and \
         all below, or \"/...\" for every path"
    )]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two routes have the same pattern.
    #[error(
        "the route \"{pattern}\" is given twice (services \"{first}\" and \"{second}\"): remove one or \
         give it another pattern"
    )]
    Conflict {
        /// The pattern.
        pattern: String,
        /// The service that has it.
        first: String,
        /// The service that wants it too.
        second: String,
    },
}

enum Pattern<'a> {
    Exact(&'a str),
    /// What stands before `/...`: empty, or begins with `/` and does not end with it.
    Prefix(&'a str),
}

// === impl Router ===

impl Router {
    /// Makes the router of these routes.
    ///
    /// # Errors
    ///
    /// When a pattern is malformed or given twice.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, RouteError> {
        let routes: Vec<Route> = routes.into_iter().collect();
        let mut tree = matchit::Router::new();
        let mut exact = HashSet::new();

        for (index, route) in routes.iter().enumerate() {
            if let Pattern::Exact(path) = Pattern::parse(&route.pattern)? {
                insert(&mut tree, path, "", index, &routes)?;
                exact.insert(path);
            }
        }
        for (index, route) in routes.iter().enumerate() {
            let Pattern::Prefix(base) = Pattern::parse(&route.pattern)? else {
                continue;
            };
            // matchit's catch-all takes at least one byte, so the prefix itself, with and without
            // its slash, are entries of their own, unless an exact route has taken them.
            if !base.is_empty() && !exact.contains(base) {
                insert(&mut tree, base, "", index, &routes)?;
            }
            if !exact.contains(format!("{base}/").as_str()) {
                insert(&mut tree, base, "/", index, &routes)?;
            }
            insert(&mut tree, base, "/{*rest}", index, &routes)?;
        }
        Ok(Self { tree, routes })
    }

    /// The route of a path, as it stands in the request line.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Route> {
        let index = *self.tree.at(path).ok()?.value;
        self.routes.get(index)
    }

    /// All routes, in the order given.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

/// Adds a literal path with a pattern's tail to the tree.
fn insert(
    tree: &mut matchit::Router<usize>,
    literal: &str,
    tail: &str,
    index: usize,
    routes: &[Route],
) -> Result<(), RouteError> {
    // Braces are matchit's syntax; doubled they are themselves.
    let mut path = literal.replace('{', "{{").replace('}', "}}");
    path.push_str(tail);
    let Err(error) = tree.insert(path, index) else {
        return Ok(());
    };
    let pattern = routes[index].pattern.to_string();
    match error {
        matchit::InsertError::Conflict { .. } => Err(RouteError::Conflict {
            first: routes[..index]
                .iter()
                .find(|route| *route.pattern == *pattern)
                .map_or_else(String::new, |route| route.service.to_string()),
            second: routes[index].service.to_string(),
            pattern,
        }),
        _ => Err(RouteError::BadPattern {
            pattern,
            problem: "cannot be matched",
        }),
    }
}

// === impl Pattern ===

impl<'a> Pattern<'a> {
    fn parse(pattern: &'a str) -> Result<Self, RouteError> {
        let bad = |problem| RouteError::BadPattern {
            pattern: pattern.to_owned(),
            problem,
        };
        if !pattern.starts_with('/') {
            return Err(bad("does not begin with \"/\""));
        }
        if pattern.contains(['?', '#']) {
            return Err(bad(
                "has a query or a fragment, which routes do not look at",
            ));
        }
        if !pattern.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "has a character that never stands in a request's path (percent-encode it)",
            ));
        }
        let parsed = match pattern.strip_suffix("/...") {
            Some(base) if base.ends_with('/') => {
                return Err(bad("has an empty segment before its \"...\""));
            }
            Some(base) => Self::Prefix(base),
            None => Self::Exact(pattern),
        };
        let (Self::Exact(literal) | Self::Prefix(literal)) = parsed;
        if literal.split('/').any(|segment| segment == "...") {
            return Err(bad("has \"...\" in another place than its end"));
        }
        Ok(parsed)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("pattern", &self.pattern)
            .field("service", &self.service)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer_with, route};

    fn router(patterns: &[&str]) -> Result<Router, RouteError> {
        Router::new(
            patterns
                .iter()
                .map(|pattern| route(pattern, answer_with("ok"))),
        )
    }

    #[test]
    fn the_longest_pattern_wins_and_an_exact_one_beats_a_prefix() {
        let router = router(&[
            "/...",
            "/a/...",
            "/a/b",
            "/a/b/c/...",
            "/exact",
            "/both",
            "/both/...",
            "/slash/",
            "/slash/...",
            "/odd{name}/...",
        ])
        .unwrap();
        for (path, pattern) in [
            ("/", "/..."),
            ("/x", "/..."),
            ("/x/y/", "/..."),
            ("//", "/..."),
            ("/a", "/a/..."),
            ("/a/", "/a/..."),
            ("/a//", "/a/..."),
            ("/a/x/y", "/a/..."),
            ("/ab", "/..."),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/..."),
            ("/a/bc", "/a/..."),
            ("/a/b/c", "/a/b/c/..."),
            ("/a/b/c/d", "/a/b/c/..."),
            ("/a/b/cd", "/a/..."),
            ("/exact", "/exact"),
            ("/exact/", "/..."),
            ("/exact/x", "/..."),
            ("/both", "/both"),
            ("/both/", "/both/..."),
            ("/slash", "/slash/..."),
            ("/slash/", "/slash/"),
            ("/slash/x", "/slash/..."),
            ("/odd{name}/x", "/odd{name}/..."),
            ("/oddx/x", "/..."),
        ] {
            let found = router.find(path).map(|route| &*route.pattern);
            assert_eq!(found, Some(pattern), "{path}");
        }
    }

    #[test]
    fn the_raw_path_is_matched_and_nothing_is_decoded() {
        let router = router(&["/a/b", "/a%2Fb"]).unwrap();
        assert_eq!(&*router.find("/a%2Fb").unwrap().pattern, "/a%2Fb");
        for path in ["/a%2fb", "/a/./b", "/a//b", "/A/b", "*", "", "/a/%62"] {
            assert!(router.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn bad_patterns_are_named_with_what_to_write() {
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
        ] {
            let error = router(&[pattern]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("\"{pattern}\"")), "{text}");
            assert!(text.contains("write \"/x\""), "{text}");
        }
    }

    #[test]
    fn a_pattern_given_twice_is_refused_by_name() {
        for pattern in ["/a", "/a/...", "/..."] {
            let text = router(&[pattern, "/b", pattern]).unwrap_err().to_string();
            assert!(
                text.contains(&format!("\"{pattern}\" is given twice")),
                "{text}"
            );
            assert!(text.contains("another pattern"), "{text}");
        }
    }
}
