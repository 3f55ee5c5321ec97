//! From a path to a service.
//!
//! The path is matched as it came: nothing is decoded or normalised, so that what the front matches
//! is what the guest sees, and `/a%2Fb` cannot be taken for `/a/b` by one and not by the other.

use std::collections::HashSet;
use std::sync::Arc;

use http::Uri;

use crate::host::HostPattern;
use crate::ordered::Place;
use crate::route::Route;

/// Finds the route of a path: an exact pattern before a prefix, a longer prefix before a shorter; or
/// the first that fits, for [`Router::in_order`].
#[derive(Debug)]
pub struct Router {
    table: Table,
    routes: Vec<Arc<Route>>,
}

#[derive(Debug)]
enum Table {
    /// Indices, because a prefix pattern is three entries of the tree and one route.
    Tree(matchit::Router<usize>),
    /// The places of the routes, in the same order.
    Ordered(Vec<Place>),
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
        let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
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
        Ok(Self {
            table: Table::Tree(tree),
            routes,
        })
    }

    /// Makes a router whose routes are tried in this order, each for its hosts (none: for all). A
    /// pattern that is not of a known form is taken for an exact path, as WAGI does.
    #[must_use]
    pub fn in_order(routes: impl IntoIterator<Item = (Vec<HostPattern>, Route)>) -> Self {
        let (places, routes) = routes
            .into_iter()
            .map(|(hosts, route)| (Place::new(&route.pattern, hosts), Arc::new(route)))
            .unzip();
        Self {
            table: Table::Ordered(places),
            routes,
        }
    }

    /// The route of an absolute URI, with its path as it stands in the request line.
    #[must_use]
    pub fn find(&self, uri: &Uri) -> Option<&Arc<Route>> {
        let index = match &self.table {
            Table::Tree(tree) => *tree.at(uri.path()).ok()?.value,
            Table::Ordered(places) => places.iter().position(|place| place.holds(uri))?,
        };
        self.routes.get(index)
    }

    /// All routes, in the order given.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

/// Adds a literal path with a pattern's tail to the tree.
fn insert(
    tree: &mut matchit::Router<usize>,
    literal: &str,
    tail: &str,
    index: usize,
    routes: &[Arc<Route>],
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

    fn find<'a>(router: &'a Router, path: &str) -> Option<&'a Route> {
        router.find(&path.parse().ok()?).map(|route| &**route)
    }

    #[test]
    fn in_order_the_first_that_fits_wins() {
        let named = |name: &str, pattern: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            let mut route = route(pattern, answer_with("ok"));
            route.service = name.into();
            (hosts, route)
        };
        let router = Router::in_order([
            named("host", "/a/...", &["h.example"]),
            named("wide", "/a/...", &[]),
            named("never", "/a/b", &[]),
            named("odd", "no slash", &[]),
            named("twice", "/c", &[]),
            named("never", "/c", &[]),
            named("rest", "/...", &["*.example"]),
        ]);
        for (uri, expected) in [
            ("http://h.example/a/b", Some("host")),
            ("http://x.example/a/b", Some("wide")),
            ("http://x.example/a", Some("wide")),
            ("http://x.example/ab", Some("rest")),
            ("http://x.example/c", Some("twice")),
            ("http://other/ab", None),
        ] {
            let found = router
                .find(&uri.parse().unwrap())
                .map(|route| &*route.service);
            assert_eq!(found, expected, "{uri}");
        }
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
            let found = find(&router, path).map(|route| &*route.pattern);
            assert_eq!(found, Some(pattern), "{path}");
        }
    }

    #[test]
    fn the_raw_path_is_matched_and_nothing_is_decoded() {
        let router = router(&["/a/b", "/a%2Fb"]).unwrap();
        assert_eq!(&*find(&router, "/a%2Fb").unwrap().pattern, "/a%2Fb");
        for path in ["/a%2fb", "/a/./b", "/a//b", "/A/b", "*", "", "/a/%62"] {
            assert!(find(&router, path).is_none(), "{path}");
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
