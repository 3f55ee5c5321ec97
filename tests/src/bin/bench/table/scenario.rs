//! The scenarios of the table.

use crate::load::CONNECTIONS;
use crate::table::peer::{Peer, Service};
use crate::table::request::{DOCUMENT, Expected, Payload, Request};

/// A scenario: a service, the request to it, and the servers that can serve it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Its name in tables.
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) guest: &'static str,
    /// The source of the same program, for native CGI.
    pub(crate) native: Option<&'static str>,
    /// The path of the request; `UPSTREAM` in it is replaced by a URL.
    path: &'static str,
    payload: Payload,
    expected: Expected,
    /// The outgoing requests that the guest makes for a request.
    pub(crate) calls: usize,
    /// Keep-alive connections, each with one request at a time.
    pub(crate) connections: usize,
    /// The servers to compare Headwater with.
    pub(crate) peers: &'static [Peer],
}

/// What is done in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Load, as fast as possible and then at half of that.
    Load,
    /// Load, as fast as possible only: each request takes long.
    Bulk,
    /// Starts of the server, with compiled code in its cache, until the first answer.
    ColdStart,
    /// Load on ten of a thousand services.
    Services,
    /// Load beside a guest that computes without end.
    Neighbour,
}

/// All servers of components, and what they may be compared with.
const ALL: &[Peer] = &[
    Peer::Wasmtime,
    Peer::Wash,
    Peer::Workerd,
    Peer::Hyper,
    Peer::Floor,
    Peer::FloorPerCore,
];
/// The same, for one connection, which is on one core at a time.
const ONE_CONNECTION: &[Peer] = &[
    Peer::Wasmtime,
    Peer::Wash,
    Peer::Workerd,
    Peer::Hyper,
    Peer::Floor,
];
/// The servers of components, and their floors.
const COMPONENTS: &[Peer] = &[Peer::Wasmtime, Peer::Wash, Peer::Floor, Peer::FloorPerCore];

const MIB: usize = 1 << 20;

impl Scenario {
    /// The name of the first scenario.
    pub(crate) const FIRST: &str = "hello-0.3";

    /// Returns all scenarios, in the order in which they are measured.
    pub(crate) fn all() -> Vec<Self> {
        let load = Self {
            name: "",
            title: "",
            kind: Kind::Load,
            guest: "",
            native: None,
            path: "/",
            payload: Payload::None,
            expected: Expected::Any,
            calls: 0,
            connections: CONNECTIONS,
            peers: ALL,
        };
        let hello = Self {
            expected: Expected::Text("Hello from Headwater!"),
            ..load.clone()
        };
        let stream = Self {
            guest: "stream",
            ..load.clone()
        };
        let bulk = Self {
            kind: Kind::Bulk,
            connections: 1,
            peers: ONE_CONNECTION,
            ..stream.clone()
        };
        let long = Self {
            payload: Payload::Bytes(300 * MIB),
            expected: Expected::Length(300 * MIB),
            peers: &[Peer::Wasmtime, Peer::Floor],
            ..bulk.clone()
        };
        let outgoing = Self {
            guest: "fanout",
            expected: Expected::Text("answered"),
            connections: 16,
            ..load.clone()
        };
        let wagi = Self {
            path: "/a?b=c",
            peers: &[Peer::Cgi, Peer::Floor],
            ..load.clone()
        };
        let start = Self {
            kind: Kind::ColdStart,
            ..hello.clone()
        };
        vec![
            Self {
                name: Self::FIRST,
                title: "`hello`, 0.3",
                guest: "hello",
                ..hello.clone()
            },
            Self {
                name: "hello-0.2",
                title: "`hello`, 0.2",
                guest: "hello-p2",
                peers: COMPONENTS,
                ..hello.clone()
            },
            Self {
                name: "json",
                title: "JSON echo, 1 KiB",
                guest: "json-echo",
                path: "/json",
                payload: Payload::Json,
                expected: Expected::Length(DOCUMENT),
                ..load.clone()
            },
            Self {
                name: "outgoing-1",
                title: "one outgoing request",
                path: "/fanout?to=UPSTREAM&k=1&wait=0",
                calls: 1,
                ..outgoing.clone()
            },
            Self {
                name: "outgoing-5",
                title: "five outgoing requests",
                path: "/fanout?to=UPSTREAM&k=5&wait=0",
                calls: 5,
                ..outgoing
            },
            Self {
                name: "wagi-small",
                title: "WAGI, small (C)",
                guest: "wagi-c",
                native: Some("wagi-c/main.c"),
                expected: Expected::Text("Hello from C!"),
                ..wagi.clone()
            },
            Self {
                name: "wagi-large",
                title: "WAGI, large (1.8 MB)",
                guest: "wagi-large",
                native: Some("wagi-large/src/main.rs"),
                ..wagi
            },
            Self {
                name: "down-1m",
                title: "1 MiB to the client",
                path: "/bytes?n=1048576",
                expected: Expected::Length(MIB),
                ..stream.clone()
            },
            Self {
                name: "up-1m",
                title: "1 MiB from the client",
                path: "/count",
                payload: Payload::Bytes(MIB),
                expected: Expected::Text("1048576"),
                ..stream
            },
            Self {
                name: "down-100m",
                title: "100 MiB to the client",
                path: "/bytes?n=104857600",
                expected: Expected::Length(100 * MIB),
                ..bulk.clone()
            },
            Self {
                name: "up-100m",
                title: "100 MiB from the client",
                path: "/count",
                payload: Payload::Bytes(100 * MIB),
                expected: Expected::Text("104857600"),
                ..bulk
            },
            Self {
                name: "down-300m",
                title: "300 MiB to the client",
                path: "/bytes?n=314572800",
                payload: Payload::None,
                ..long.clone()
            },
            Self {
                name: "up-300m",
                title: "300 MiB from the client",
                path: "/count",
                expected: Expected::Text("314572800"),
                ..long.clone()
            },
            Self {
                name: "echo-300m",
                title: "300 MiB echoed, through guest memory",
                path: "/echo",
                ..long.clone()
            },
            Self {
                name: "pass-300m",
                title: "300 MiB echoed, not read by the guest",
                path: "/pass",
                ..long
            },
            Self {
                name: "composed",
                title: "composed of two components",
                guest: "mw-hello",
                peers: COMPONENTS,
                ..hello.clone()
            },
            Self {
                name: "start-small",
                title: "start from the cache, small",
                guest: "hello",
                peers: &[Peer::Wasmtime, Peer::Wash, Peer::Workerd, Peer::Floor],
                ..start.clone()
            },
            Self {
                name: "start-large",
                title: "start from the cache, 22 MB",
                guest: "hello-python",
                peers: &[Peer::Wasmtime, Peer::Wash, Peer::Floor],
                ..start
            },
            Self {
                name: "services",
                title: "1,000 services",
                kind: Kind::Services,
                guest: "hello",
                path: "/",
                peers: &[],
                ..hello.clone()
            },
            Self {
                name: "neighbour",
                title: "beside a guest that spins",
                kind: Kind::Neighbour,
                guest: "hello",
                path: "/hello",
                peers: &[Peer::Wasmtime],
                ..hello
            },
        ]
    }

    /// Returns true if one of these is a part of its name, or there are none.
    pub(crate) fn is_selected(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| self.name.contains(name.as_str()))
    }

    /// Returns the request, for guests that call this upstream.
    pub(crate) fn request(&self, upstream: Option<&str>) -> Request {
        let path = self.path.replace("UPSTREAM", upstream.unwrap_or_default());
        Request {
            paths: [path].into(),
            payload: self.payload,
            expected: self.expected,
        }
    }

    /// Returns the service, for guests that call this upstream.
    pub(crate) fn service(&self, upstream: Option<&str>) -> Service {
        Service {
            guest: self.guest,
            native: self.native,
            upstream: upstream.map(str::to_owned),
            ..Service::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_has_a_name_and_a_title_of_its_own() {
        let all = Scenario::all();
        for (at, scenario) in all.iter().enumerate() {
            assert!(!scenario.name.is_empty() && !scenario.guest.is_empty());
            let rest = &all[at + 1..];
            assert!(rest.iter().all(|other| other.name != scenario.name));
            assert!(rest.iter().all(|other| other.title != scenario.title));
            let calls = scenario.request(None).paths[0].contains("/fanout");
            assert_eq!(calls, scenario.calls > 0, "{}", scenario.name);
        }
    }

    #[test]
    fn a_part_of_the_name_selects() {
        let selected = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let all = Scenario::all().into_iter();
            all.filter(|scenario| scenario.is_selected(&names)).count()
        };
        assert_eq!(selected(&["hello"]), 2);
        assert_eq!(selected(&["wagi-small", "json"]), 2);
        assert_eq!(selected(&[]), Scenario::all().len());
    }

    #[test]
    fn the_upstream_is_in_the_path() {
        let all = Scenario::all();
        let one = all.iter().find(|scenario| scenario.name == "outgoing-1");
        let request = one.unwrap().request(Some("http://127.0.0.1:1"));
        assert_eq!(request.paths[0], "/fanout?to=http://127.0.0.1:1&k=1&wait=0");
    }
}
