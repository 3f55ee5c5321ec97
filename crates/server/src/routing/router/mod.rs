//! From a host and a path to a service.
//!
//! The path is matched as it came: nothing is decoded or normalised, so that what the front matches
//! is what the guest sees, and `/a%2Fb` cannot be taken for `/a/b` by one and not by the other.

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
    /// What answers for the server as a whole.
    of_server: Arc<Entry>,
    ended: CancellationToken,
}

#[derive(Debug)]
enum Table {
    Trees(Box<HostTable<Tree>>),
    /// The places of the routes, in the same order.
    Ordered(Vec<OrderedRoute>),
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
        let table = Table::Trees(Box::new(trees));
        Ok(Self::of(table, routes.into_iter().zip(parts)))
    }

    /// Makes a router whose routes are tried in this order, each for its hosts (none: for all; those
    /// that it has itself count for nothing). A pattern that is not of a known form is taken for an
    /// exact path, as WAGI does; there are no wildcards, and no prefix is stripped.
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
        // Routes of one service with the same limits have them together.
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

    /// Whether there is a route for the host of an absolute URI, at whichever path. A router without routes
    /// tells no host from another.
    pub(crate) fn knows_host(&self, uri: &Uri) -> bool {
        match &self.table {
            Table::Trees(hosts) => hosts.knows(uri),
            Table::Ordered(places) => {
                places.is_empty() || places.iter().any(|place| place.knows(uri))
            }
        }
    }

    /// What answers `OPTIONS *`, whatever routes there are: by which methods the server can be asked at all
    /// (RFC 9110 9.3.7).
    pub(crate) fn of_server(&self) -> Found<'_, '_> {
        Found {
            entry: &self.of_server,
            parameters: None,
        }
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

/// A route of nobody, at no path.
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
