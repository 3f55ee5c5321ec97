//! From a host and a path to a service.
//!
//! The path is matched as it came: nothing is decoded or normalised, so that what the front matches
//! is what the guest sees, and `/a%2Fb` cannot be taken for `/a/b` by one and not by the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Uri};
use matchit::Match;
use tokio_util::sync::CancellationToken;

use crate::entry::{Entry, Found};
use crate::gate::{Gate, Gates};
use crate::host::HostPattern;
use crate::host_table::HostTable;
use crate::limits::RouteLimits;
use crate::ordered::Place;
use crate::pattern::Pattern;
use crate::route::Route;

/// Finds the route of a host and a path.
///
/// Of the hosts, one by its name goes before one below a domain (the longest first), and that before
/// all; each with its port before each without. Where none of the routes of a host has the path, the
/// next host's are asked. Of the paths, an exact pattern goes before a prefix, and a longer prefix
/// before a shorter; where they are of the same length, the first segment decides that is literal in
/// one of them and a wildcard in the other: the literal goes first.
///
/// Or the first that fits, for [`Router::in_order`].
#[derive(Debug)]
pub struct Router {
    table: Table,
    entries: Vec<Arc<Entry>>,
    ended: CancellationToken,
}

#[derive(Debug)]
enum Table {
    Trees(Box<HostTable<Tree>>),
    /// The places of the routes, in the same order.
    Ordered(Vec<Place>),
}

/// The routes of one host, by their indices.
#[derive(Default)]
struct Tree {
    exact: matchit::Router<usize>,
    /// The prefixes by the number of their segments: `/...` is the first. (In one tree, matchit takes
    /// a wildcard beside a catch-all for a conflict.)
    prefixes: Vec<matchit::Router<usize>>,
    /// Which patterns there are already, prefixes apart from exact ones.
    shapes: HashMap<(bool, String), usize>,
}

/// Why routes cannot be served together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern is not of a known form.
    #[error(
        "the route \"{pattern}\" {problem}: write \"/x\" for exactly this path, \"/x/...\" for it and \
         all below, \"/{{name}}\" for any one segment, or \"/...\" for every path"
    )]
    BadPattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two routes hold for the same paths of the same host.
    #[error(
        "the route \"{pattern}\" is given twice (services \"{first}\" and \"{second}\"): remove one or \
         give it another pattern or host"
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

// === impl Router ===

impl Router {
    /// Makes the router of these routes.
    ///
    /// # Errors
    ///
    /// When a pattern is malformed, or two hold for the same.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, RouteError> {
        let routes: Vec<_> = routes.into_iter().collect();
        let patterns = routes
            .iter()
            .map(|route| Pattern::parse(&route.pattern))
            .collect::<Result<Vec<_>, _>>()?;
        let mut trees = HostTable::<Tree>::default();
        for (index, pattern) in patterns.iter().enumerate() {
            plant(&mut trees, pattern, index, &routes)?;
        }
        let parts: Vec<_> = patterns
            .into_iter()
            .map(|pattern| (pattern.depth(), pattern.fields))
            .collect();
        let (entries, ended) = enter(routes.into_iter().zip(parts));
        Ok(Self {
            table: Table::Trees(Box::new(trees)),
            entries,
            ended,
        })
    }

    /// Makes a router whose routes are tried in this order, each for its hosts (none: for all; those
    /// that it has itself count for nothing). A pattern that is not of a known form is taken for an
    /// exact path, as WAGI does; there are no wildcards, and no prefix is stripped.
    #[must_use]
    pub fn in_order(routes: impl IntoIterator<Item = (Vec<HostPattern>, Route)>) -> Self {
        let (places, routes): (_, Vec<_>) = routes
            .into_iter()
            .map(|(hosts, mut route)| {
                route.strip_prefix = false;
                let place = Place::new(&route.pattern, hosts);
                (place, (route, (None, Vec::new())))
            })
            .unzip();
        let (entries, ended) = enter(routes);
        Self {
            table: Table::Ordered(places),
            entries,
            ended,
        }
    }

    /// The route of an absolute URI, with its path as it stands in the request line.
    #[must_use]
    pub fn find(&self, uri: &Uri) -> Option<&Route> {
        self.look_up(uri).map(|found| &found.entry.route)
    }

    /// All routes, in the order given.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.entries.iter().map(|entry| &entry.route)
    }

    pub(crate) fn look_up<'r, 'p>(&'r self, uri: &'p Uri) -> Option<Found<'r, 'p>> {
        match &self.table {
            Table::Trees(hosts) => hosts.find(uri, |tree| {
                let matched = tree.find(uri.path())?;
                Some(Found {
                    entry: self.entries.get(*matched.value)?,
                    parameters: Some(matched.params),
                })
            }),
            Table::Ordered(places) => {
                let index = places.iter().position(|place| place.holds(uri))?;
                Some(Found {
                    entry: self.entries.get(index)?,
                    parameters: None,
                })
            }
        }
    }

    /// What counts against these limits of a service, if any of its routes has them.
    pub(crate) fn gate(&self, service: &str, limits: &RouteLimits) -> Option<Arc<Gate>> {
        let mut entries = self.entries.iter();
        let entry = entries
            .find(|entry| &*entry.route.service == service && entry.route.limits == *limits)?;
        entry.gate.clone()
    }

    /// Cancelled when the router is no more, and no request that it found a route for.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Puts a pattern into the trees of all its route's hosts.
fn plant(
    trees: &mut HostTable<Tree>,
    pattern: &Pattern<'_>,
    index: usize,
    routes: &[Route],
) -> Result<(), RouteError> {
    let hosts = &routes[index].hosts;
    let all = hosts.is_empty().then_some(None);
    for host in all.into_iter().chain(hosts.iter().map(Some)) {
        let before = trees.entry(host).insert(pattern, index);
        before.map_err(|before| RouteError::Conflict {
            pattern: routes[index].pattern.to_string(),
            first: routes[before].service.to_string(),
            second: routes[index].service.to_string(),
        })?;
    }
    Ok(())
}

fn enter(
    routes: impl IntoIterator<Item = (Route, (Option<usize>, Vec<HeaderName>))>,
) -> (Vec<Arc<Entry>>, CancellationToken) {
    let ended = CancellationToken::new();
    let in_use = Arc::new(ended.clone().drop_guard());
    let mut gates = Gates::default();
    let entries = routes
        .into_iter()
        .map(|(route, (depth, fields))| {
            Arc::new(Entry {
                gate: gates.of(&route),
                route,
                depth,
                fields,
                in_use: Arc::clone(&in_use),
            })
        })
        .collect();
    (entries, ended)
}

// === impl Tree ===

impl Tree {
    /// Adds a pattern. If there is one already that holds for the same paths, tells that one's index.
    fn insert(&mut self, pattern: &Pattern<'_>, index: usize) -> Result<(), usize> {
        let shape = (pattern.is_prefix, pattern.shape.clone());
        if let Some(before) = self.shapes.insert(shape, index) {
            return Err(before);
        }
        let tree = match pattern.depth() {
            None => &mut self.exact,
            Some(depth) => {
                if self.prefixes.len() <= depth {
                    self.prefixes.resize_with(depth + 1, Default::default);
                }
                &mut self.prefixes[depth]
            }
        };
        // Its shape is new, so there is nothing that it could be in conflict with.
        tree.insert(pattern.base, index).map_err(|_| index)
    }

    fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p, &'r usize>> {
        if let Ok(found) = self.exact.at(path) {
            return Some(found);
        }
        // `*` is a target and no path.
        if self.prefixes.is_empty() || !path.starts_with('/') {
            return None;
        }
        let mut depth = path.bytes().filter(|byte| *byte == b'/').count();
        let mut rest = path;
        loop {
            let tree = self.prefixes.get(depth);
            if let Some(Ok(found)) = tree.map(|tree| tree.at(rest)) {
                return Some(found);
            }
            depth = depth.checked_sub(1)?;
            rest = &rest[..rest.rfind('/')?];
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tree").field(&self.shapes).finish()
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
        router.find(&path.parse().ok()?)
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
            "/odd{{name}}/...",
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
            ("/odd{name}/x", "/odd{{name}}/..."),
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

    #[test]
    fn patterns_that_hold_for_the_same_paths_are_refused_and_those_of_other_hosts_are_not() {
        let error = router(&["/{a}/x/...", "/{b}/x/..."]).unwrap_err();
        assert!(error.to_string().contains("\"/{b}/x/...\" is given twice"));
        assert!(router(&["/{a}/x", "/{b}/x/...", "/{c}", "/{d}/...", "/..."]).is_ok());

        let at = |hosts: &[&str]| {
            let mut route = route("/a", answer_with("ok"));
            route.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            route
        };
        let apart = [at(&[]), at(&["a"]), at(&["a:80"]), at(&["*.a", "b"])];
        assert!(Router::new(apart.clone()).is_ok());
        for again in [at(&[]), at(&["A."]), at(&["c", "*.A"])] {
            let routes = apart.iter().cloned().chain([again]);
            assert!(matches!(
                Router::new(routes),
                Err(RouteError::Conflict { .. })
            ));
        }
    }

    #[test]
    fn the_most_specific_host_that_has_the_path_wins() {
        let at = |name: &str, pattern: &str, hosts: &[&str]| {
            let mut route = route(pattern, answer_with("ok"));
            route.service = name.into();
            route.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            route
        };
        let router = Router::new([
            at("any", "/...", &[]),
            at("any-p", "/p/...", &[]),
            at("wild", "/w/...", &["*.example.com"]),
            at("wilder", "/...", &["*.a.example.com"]),
            at("named", "/n/...", &["a.example.com", "[::1]"]),
            at("port", "/n/...", &["a.example.com:8080"]),
        ])
        .unwrap();
        for (uri, expected) in [
            ("http://other/n/x", "any"),
            ("http://other/p/x", "any-p"),
            ("http://a.example.com/n/x", "named"),
            ("http://A.Example.COM./n/x", "named"),
            ("http://a.example.com:81/n/x", "named"),
            ("http://a.example.com:8080/n/x", "port"),
            ("http://[::1]:8080/n/x", "named"),
            // No route of the host has the path; the next host's are asked.
            ("http://a.example.com/w/x", "wild"),
            ("http://a.example.com/p/x", "any-p"),
            ("http://b.example.com/w", "wild"),
            ("http://b.example.com/n/x", "any"),
            ("http://example.com/w/x", "any"),
            ("http://.example.com/w/x", "any"),
            ("http://x.a.example.com/w/x", "wilder"),
            ("http://x.y.a.example.com/w/x", "wilder"),
        ] {
            let found = router.find(&uri.parse().unwrap()).unwrap();
            assert_eq!(&*found.service, expected, "{uri}");
        }
    }

    /// Every pattern over a small alphabet against every path over it, beside the rule as it is
    /// written: exact before prefix, longer before shorter, literal before wildcard.
    #[test]
    fn the_tree_finds_what_the_rule_says() {
        fn rank(pattern: &str, path: &str) -> Option<(bool, usize, Vec<bool>)> {
            let (base, is_prefix) = match pattern.strip_suffix("/...") {
                Some(base) => (base, true),
                None => (pattern, false),
            };
            let path: Vec<_> = path.split('/').skip(1).collect();
            let base: Vec<_> = base.split('/').skip(1).collect();
            let fits = match is_prefix {
                true => path.len() >= base.len(),
                false => path.len() == base.len(),
            };
            let literals: Option<Vec<_>> = base
                .iter()
                .zip(&path)
                .map(|(segment, text)| match segment.starts_with('{') {
                    true => (!text.is_empty()).then_some(false),
                    false => (segment == text).then_some(true),
                })
                .collect();
            Some((!is_prefix, base.len(), literals.filter(|_| fits)?))
        }

        let words = ["a", "ab", "{x}", ""];
        let mut bases = vec![String::new()];
        for length in 1..=3 {
            let longer: Vec<_> = bases
                .iter()
                .filter(|base| base.matches('/').count() == length - 1)
                .flat_map(|base| words.map(|word| format!("{base}/{word}")))
                .collect();
            bases.extend(longer);
        }
        let patterns: Vec<_> = bases
            .iter()
            .flat_map(|base| [base.clone(), format!("{base}/...")])
            .filter(|pattern| Pattern::parse(pattern).is_ok())
            .map(|pattern| {
                pattern
                    .replacen("{x}", "{x0}", 1)
                    .replacen("{x}", "{x1}", 1)
                    .replacen("{x}", "{x2}", 1)
            })
            .collect();
        let paths: Vec<_> = bases
            .iter()
            .filter(|base| !base.is_empty())
            .map(|base| base.replace("{x}", "b"))
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let many = random.usize(1..12);
            let mut chosen = random.choose_multiple(&patterns, many);
            chosen.sort();
            chosen.dedup();
            let chosen: Vec<_> = chosen.into_iter().map(String::as_str).collect();
            let router = router(&chosen).unwrap();
            for path in &paths {
                let expected = chosen
                    .iter()
                    .filter_map(|pattern| Some((rank(pattern, path)?, *pattern)))
                    .max();
                let found = find(&router, path).map(|route| &*route.pattern);
                assert_eq!(
                    found,
                    expected.map(|(_, pattern)| pattern),
                    "{path} of {chosen:?}"
                );
            }
        }
    }
}
