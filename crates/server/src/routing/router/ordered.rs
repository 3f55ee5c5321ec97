//! Routes in the order of a list, as WAGI matches them.

use http::Uri;

use crate::routing::virtual_host::VirtualHost;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderedRoute {
    /// The path without `/...`.
    path: String,
    is_prefix: bool,
    /// The hosts; empty means all.
    hosts: Vec<VirtualHost>,
}

// === impl OrderedRoute ===

impl OrderedRoute {
    /// Parses a pattern as WAGI does: one that does not end in `/...` is an exact path.
    pub(super) fn new(pattern: &str, hosts: Vec<VirtualHost>) -> Self {
        let prefix = pattern.strip_suffix("/...");
        Self {
            path: prefix.unwrap_or(pattern).to_owned(),
            is_prefix: prefix.is_some(),
            hosts,
        }
    }

    pub(super) fn holds(&self, uri: &Uri) -> bool {
        let rest = uri.path().strip_prefix(&*self.path);
        let fits = |rest: &str| rest.is_empty() || self.is_prefix && rest.starts_with('/');
        rest.is_some_and(fits) && self.knows(uri)
    }

    /// Returns true if the route matches some path of the URI's host.
    pub(super) fn knows(&self, uri: &Uri) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Router;
    use super::*;
    use crate::testing::{answer_with, route};

    #[test]
    fn a_prefix_holds_at_a_slash_and_an_exact_route_to_the_letter() {
        for (pattern, path, expected) in [
            ("/foo", "/foo", true),
            ("/foo", "/foo/", false),
            ("/foo", "/foo/bar", false),
            ("/foo", "/foobar", false),
            ("/foo/", "/foo/", true),
            ("/foo/", "/foo", false),
            ("/foo/...", "/foo", true),
            ("/foo/...", "/foo/", true),
            ("/foo/...", "/foo/bar", true),
            ("/foo/...", "/foobar", false),
            ("/foo/...", "/fo", false),
            ("/...", "/", true),
            ("/...", "/x/y", true),
            ("/", "/", true),
            ("/", "/x", false),
            ("/a%20b", "/a%20b", true),
            ("/a b", "/a%20b", false),
            ("...", "/...", false),
            ("foo/...", "/foo/x", false),
        ] {
            let uri: Uri = format!("http://h{path}").parse().unwrap();
            let place = OrderedRoute::new(pattern, Vec::new());
            assert_eq!(place.holds(&uri), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_route_with_hosts_holds_for_these_alone() {
        let hosts = ["a.example", "*.b.example"].map(|host| host.parse().unwrap());
        let place = OrderedRoute::new("/...", hosts.to_vec());
        for (uri, expected) in [
            ("http://a.example/", true),
            ("http://x.b.example:81/y", true),
            ("http://b.example/", false),
        ] {
            assert_eq!(place.holds(&uri.parse().unwrap()), expected, "{uri}");
        }
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
}
