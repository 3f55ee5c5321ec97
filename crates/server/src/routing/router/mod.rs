//! Finds the service of a host and a path.
//!
//! Matches the path as received: nothing is decoded or normalised, so the front matches what the guest sees,
//! and the two cannot disagree about `/a%2Fb` and `/a/b`.

mod error;
mod hosts;
mod ordered;
mod pattern;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use tokio_util::sync::CancellationToken;

pub use self::error::RouteError;
use self::hosts::HostTable;
use self::ordered::OrderedRoute;
use self::pattern::Pattern;
use self::tree::Tree;
use crate::admission::service_limits::ServiceLimits;
use crate::builtin::Fixed;
use crate::request::method;
use crate::routing::entry::{Entry, Found};
use crate::routing::route::Route;
use crate::routing::virtual_host::VirtualHost;

/// Finds the route of a host and a path.
///
/// A host's name precedes a domain (the longest first), which precedes all hosts; each with its port precedes
/// each without. If none of the routes of a host has the path, the next host's are tried. An exact pattern
/// precedes a prefix, and a longer prefix a shorter one; at the same length, the first segment decides that
/// is literal in one and a wildcard in the other: the literal wins.
///
/// A router of [`Router::in_order`] takes the first route that matches.
#[derive(Debug)]
pub struct Router {
    table: Table,
    entries: Vec<Arc<Entry>>,
    /// Answers for the server as a whole.
    of_server: Arc<Entry>,
    ended: CancellationToken,
}

#[derive(Debug)]
enum Table {
    Trees(Box<HostTable<Tree>>),
    /// The routes' patterns and hosts, in the same order.
    Ordered(Vec<OrderedRoute>),
}

// === impl Router ===

impl Router {
    /// Makes a router of these routes.
    ///
    /// # Errors
    ///
    /// Returns an error if a pattern is malformed, or two routes match the same paths.
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
        let table = Table::Trees(Box::new(trees));
        Ok(Self::of(table, routes.into_iter().zip(parts)))
    }

    /// Makes a router that tries the routes in this order, each for the hosts given with it (none: all
    /// hosts); ignores the routes' own hosts. As in WAGI, a pattern of an unknown form is an exact path, and
    /// wildcards and prefix stripping do not exist.
    #[must_use]
    pub fn in_order(routes: impl IntoIterator<Item = (Vec<VirtualHost>, Route)>) -> Self {
        let (places, routes): (_, Vec<_>) = routes
            .into_iter()
            .map(|(hosts, mut route)| {
                route.strip_prefix = false;
                let place = OrderedRoute::new(&route.pattern, hosts);
                (place, (route, (None, Vec::new())))
            })
            .unzip();
        Self::of(Table::Ordered(places), routes)
    }

    fn of(
        table: Table,
        routes: impl IntoIterator<Item = (Route, (Option<usize>, Vec<HeaderName>))>,
    ) -> Self {
        let ended = CancellationToken::new();
        let in_use = Arc::new(ended.clone().drop_guard());
        // Routes of one service with the same limits share the counts.
        let mut by_service = HashMap::new();
        let entries = routes
            .into_iter()
            .map(|(route, (depth, fields))| {
                Arc::new(Entry {
                    service_limits: route.counted_limits(|limits| {
                        let key = (Arc::clone(&route.service), limits.clone());
                        let entry = by_service.entry(key);
                        entry.or_insert_with(|| ServiceLimits::new(limits)).clone()
                    }),
                    route,
                    depth,
                    fields,
                    in_use: Arc::clone(&in_use),
                })
            })
            .collect();
        let of_server = Arc::new(Entry {
            route: options(),
            service_limits: None,
            depth: None,
            fields: Vec::new(),
            in_use,
        });
        Self {
            table,
            entries,
            of_server,
            ended,
        }
    }

    /// Returns the route of an absolute URI, with its path as in the request line.
    #[must_use]
    pub fn find(&self, uri: &Uri) -> Option<&Route> {
        self.look_up(uri).map(|found| &found.entry.route)
    }

    /// Returns all routes, in the order given.
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

    /// Returns true if any route is for the host of an absolute URI. Without routes, every host is known.
    pub(crate) fn knows_host(&self, uri: &Uri) -> bool {
        match &self.table {
            Table::Trees(hosts) => hosts.knows(uri),
            Table::Ordered(places) => {
                places.is_empty() || places.iter().any(|place| place.knows(uri))
            }
        }
    }

    /// Returns the entry that answers `OPTIONS *` with the server's methods, whatever its routes (RFC 9110 9.3.7).
    pub(crate) fn of_server(&self) -> Found<'_, '_> {
        Found {
            entry: &self.of_server,
            parameters: None,
        }
    }

    /// Cancelled when the router is dropped and the last request that it routed is over.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Adds a pattern to the trees of all its route's hosts.
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

/// The route of `OPTIONS *`, without a service or path.
fn options() -> Route {
    let allowed = HeaderValue::from_static(method::ALLOWED);
    let answer = Fixed {
        status: StatusCode::NO_CONTENT,
        headers: HeaderMap::from_iter([(ALLOW, allowed)]),
        body: Bytes::new(),
    };
    Route::new("", "", Arc::new(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer_with, route, router};

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
}
