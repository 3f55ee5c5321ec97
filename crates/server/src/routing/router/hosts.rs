//! A table of hosts.

use std::collections::HashMap;

use http::Uri;
use rustc_hash::FxBuildHasher;

use crate::routing::virtual_host::{VirtualHost, port_of};

/// Longer hosts are not names (RFC 1035 2.3.4), and need no comparison dot by dot.
const LONGEST_NAME: usize = 255;

/// A `T` for each named host, and one for all. Clients cannot make the operator's keys collide.
#[derive(Debug, Default)]
pub(super) struct HostTable<T> {
    named: HashMap<Box<str>, Ports<T>, FxBuildHasher>,
    /// The key is the part after the star, including the dot.
    below: HashMap<Box<str>, Ports<T>, FxBuildHasher>,
    any: T,
    has_any: bool,
}

/// The entries of a host; those with a port come first.
#[derive(Debug, Default)]
struct Ports<T>(Vec<(Option<u16>, T)>);

// === impl HostTable ===

impl<T: Default> HostTable<T> {
    /// Returns the entry of a host, or of all hosts for `None`; makes it if there is none.
    pub(super) fn entry(&mut self, host: Option<&VirtualHost>) -> &mut T {
        let Some(host) = host else {
            self.has_any = true;
            return &mut self.any;
        };
        let table = if host.wildcard {
            &mut self.below
        } else {
            &mut self.named
        };
        let ports = table.entry(host.name.as_str().into()).or_default();
        ports.entry(host.port)
    }

    /// Returns the first result of `look` over the entries for the URI's host, from the most specific on.
    pub(super) fn find<'a, R>(
        &'a self,
        uri: &Uri,
        mut look: impl FnMut(&'a T) -> Option<R>,
    ) -> Option<R> {
        self.find_named(uri, &mut look).or_else(|| look(&self.any))
    }

    /// Returns true if there is an entry for the URI's host. An empty table knows every host.
    pub(super) fn knows(&self, uri: &Uri) -> bool {
        let is_empty = self.named.is_empty() && self.below.is_empty();
        self.has_any || is_empty || self.find_named(uri, &mut |_| Some(())).is_some()
    }

    fn find_named<'a, R>(
        &'a self,
        uri: &Uri,
        look: &mut impl FnMut(&'a T) -> Option<R>,
    ) -> Option<R> {
        if self.named.is_empty() && self.below.is_empty() {
            return None;
        }
        let host = uri.host()?;
        let host = host.strip_suffix('.').unwrap_or(host);
        let lower;
        let host = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => {
                lower = host.to_ascii_lowercase();
                &*lower
            }
            false => host,
        };
        let named = self.named.get(host);
        if let Some(found) = named.and_then(|ports| ports.find(uri, look)) {
            return Some(found);
        }
        if self.below.is_empty() || host.len() > LONGEST_NAME {
            return None;
        }
        // Tries the longest suffix first. Something precedes the dot, as the star requires.
        host.match_indices('.')
            .filter(|(at, _)| *at > 0)
            .filter_map(|(at, _)| self.below.get(&host[at..]))
            .find_map(|ports| ports.find(uri, look))
    }
}

// === impl Ports ===

impl<T: Default> Ports<T> {
    fn entry(&mut self, port: Option<u16>) -> &mut T {
        let at = match self.0.iter().position(|(known, _)| *known == port) {
            Some(at) => at,
            None => {
                let at = if port.is_some() { 0 } else { self.0.len() };
                self.0.insert(at, (port, T::default()));
                at
            }
        };
        &mut self.0[at].1
    }

    fn find<'a, R>(&'a self, uri: &Uri, look: &mut impl FnMut(&'a T) -> Option<R>) -> Option<R> {
        self.0
            .iter()
            .filter(|(port, _)| port.is_none_or(|port| port == port_of(uri)))
            .find_map(|(_, entry)| look(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Router;
    use crate::Route;
    use crate::testing::{answer_with, route};

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
            // No route of the host has the path, so the next host's are tried.
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

    #[test]
    fn a_host_is_known_if_there_is_a_route_for_it_at_whichever_path() {
        let at = |hosts: &[&str]| {
            let mut route = route("/n/...", answer_with("ok"));
            route.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
            route
        };
        let named = || [at(&["a.example.com:8080", "*.b.example"])];
        let all = || named().into_iter().chain([at(&[])]);
        let in_order = |routes: Vec<Route>| {
            Router::in_order(routes.into_iter().map(|route| (route.hosts.clone(), route)))
        };
        let knows = |router: &Router, uri: &str| router.knows_host(&uri.parse().unwrap());
        for router in [Router::new(named()).unwrap(), in_order(named().into())] {
            for (uri, expected) in [
                ("http://A.example.com:8080/other", true),
                ("http://x.b.example/", true),
                ("http://a.example.com/n/x", false),
                ("http://b.example/n/x", false),
            ] {
                assert_eq!(knows(&router, uri), expected, "{uri}");
            }
        }
        for router in [
            Router::new(all()).unwrap(),
            in_order(all().collect()),
            Router::new([]).unwrap(),
            in_order(Vec::new()),
        ] {
            assert!(knows(&router, "http://b.example/other"));
        }
    }
}
