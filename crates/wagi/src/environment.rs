use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
};
use http::{Version, request};
use percent_encoding::percent_decode_str;

use crate::authority::Authority;
use crate::route::Route;

/// What stands for a header value that is not visible ASCII.
const CORRUPT: &str = "CORRUPT VALUE";

/// What the environment of one request is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The request's head.
    pub(crate) head: &'a request::Parts,
    /// The route pattern that matched.
    pub(crate) route: &'a str,
    /// The client's address.
    pub(crate) client: Option<SocketAddr>,
    /// The body's length in bytes.
    pub(crate) content_length: u64,
    /// The service's own variables.
    pub(crate) configured: &'a [(String, String)],
    /// The name and port for a request that has none.
    pub(crate) default_host: &'a str,
}

/// The module's environment, in the order of the names.
///
/// As in WAGI 0.8.1, later wins: the configured variables, then the request's, then `HTTP_*` from the
/// headers. Other than there, the order is always the same, `CONTENT_TYPE` is the request's, and no
/// value holds a NUL, which would end it for the guest.
pub(crate) fn environment(facts: Facts<'_>) -> BTreeMap<String, String> {
    let Facts {
        head,
        route: pattern,
        client,
        content_length,
        configured,
        default_host,
    } = facts;
    let authority = Authority::of(&head.uri, &head.headers, default_host);
    let route = Route::parse(pattern);
    let raw_path_info = route.path_info(head.uri.path());
    let path_info = percent_decode_str(raw_path_info).decode_utf8_lossy();
    let address = client
        .map(|client| client.ip().to_string())
        .unwrap_or_default();
    let (scheme, host, port) = (authority.scheme(), &authority.host, authority.port);
    let path_and_query = head.uri.path_and_query().map_or("/", |both| both.as_str());

    let mut variables = Variables::default();
    for (name, value) in configured {
        variables.set(name, value);
    }
    for (name, value) in [
        ("AUTH_TYPE", ""),
        ("CONTENT_LENGTH", &content_length.to_string()),
        ("CONTENT_TYPE", content_type(&head.headers)),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("PATH_INFO", &path_info),
        ("PATH_TRANSLATED", &path_info),
        ("QUERY_STRING", head.uri.query().unwrap_or_default()),
        ("REMOTE_ADDR", &address),
        ("REMOTE_HOST", &address),
        ("REMOTE_USER", ""),
        ("REQUEST_METHOD", head.method.as_str()),
        ("SCRIPT_NAME", &route.script_name()),
        ("SERVER_NAME", host),
        ("SERVER_PORT", &port.to_string()),
        ("SERVER_PROTOCOL", protocol(head.version)),
        ("SERVER_SOFTWARE", "WAGI/1"),
        (
            "X_FULL_URL",
            &format!("{scheme}://{host}:{port}{path_and_query}"),
        ),
        ("X_MATCHED_ROUTE", pattern),
        ("X_RAW_PATH_INFO", raw_path_info),
    ] {
        variables.set(name, value);
    }
    for name in head
        .headers
        .keys()
        .filter(|name| is_passed(name, &head.headers))
    {
        variables.set(&variable(name), &joined(&head.headers, name));
    }
    // HTTP/2 names the host outside the headers; CGI programs look for it in one (RFC 9113, 8.3.1).
    if !head.headers.contains_key(HOST)
        && head.version >= Version::HTTP_2
        && let Some(authority) = head.uri.authority()
    {
        variables.set("HTTP_HOST", authority.as_str());
    }
    variables.0
}

#[derive(Debug, Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        self.0
            .insert(name.replace('\0', ""), value.replace('\0', ""));
    }
}

/// Whether the guest gets this header as a variable.
///
/// As in WAGI, credentials and `Connection` are kept back. `Proxy` is too, because its variable is
/// `HTTP_PROXY`, which HTTP clients take for their configuration (CVE-2016-5385, "httpoxy"). Of two
/// headers that differ in `_` and `-` alone, the one with `-` counts, so that nobody can talk over a
/// header that a proxy in front sets.
fn is_passed(name: &HeaderName, headers: &HeaderMap) -> bool {
    if name == AUTHORIZATION || name == CONNECTION || name.as_str() == "proxy" {
        return false;
    }
    let dashed = || name.as_str().replace('_', "-");
    !(name.as_str().contains('_') && headers.contains_key(dashed()))
}

fn variable(name: &HeaderName) -> String {
    format!(
        "HTTP_{}",
        name.as_str().to_ascii_uppercase().replace('-', "_")
    )
}

/// All of a header's values, joined as RFC 9110 (5.3) and RFC 6265 (5.4) join them. WAGI 0.8.1 kept
/// the last.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let separator = if name == COOKIE { "; " } else { ", " };
    let values: Vec<&str> = headers.get_all(name).iter().map(text).collect();
    values.join(separator)
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or(CORRUPT)
}

/// WAGI 0.8.1 looked this up by a name that no header has, and always gave the empty string.
fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(build: impl FnOnce(request::Builder) -> request::Builder) -> request::Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    fn facts<'a>(head: &'a request::Parts, route: &'a str) -> Facts<'a> {
        Facts {
            head,
            route,
            client: Some("192.168.0.1:3000".parse().unwrap()),
            content_length: 0,
            configured: &[],
            default_host: "localhost:3000",
        }
    }

    fn assert_holds(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
        for (name, value) in expected {
            assert_eq!(found.get(*name).map(String::as_str), Some(*value), "{name}");
        }
    }

    #[test]
    fn the_full_set() {
        let head = head(|request| {
            request
                .method("POST")
                .uri("https://example.com:3000/path/test%3brun?foo=bar")
                .header("X-Test-Header", "hello")
                .header("Accept", "text/html")
                .header("User-Agent", "test")
                .header("Host", "example.com:3000")
                .header("Content-Type", "text/plain; charset=utf-8")
                .header("Authorization", "supersecret")
                .header("Connection", "keep-alive")
                .header("Proxy", "http://evil.example")
        });
        let found = environment(Facts {
            content_length: 1234,
            ..facts(&head, "/path/...")
        });
        let expected = [
            ("AUTH_TYPE", ""),
            ("CONTENT_LENGTH", "1234"),
            ("CONTENT_TYPE", "text/plain; charset=utf-8"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("HTTP_ACCEPT", "text/html"),
            ("HTTP_CONTENT_TYPE", "text/plain; charset=utf-8"),
            ("HTTP_HOST", "example.com:3000"),
            ("HTTP_USER_AGENT", "test"),
            ("HTTP_X_TEST_HEADER", "hello"),
            ("PATH_INFO", "/test;run"),
            ("PATH_TRANSLATED", "/test;run"),
            ("QUERY_STRING", "foo=bar"),
            ("REMOTE_ADDR", "192.168.0.1"),
            ("REMOTE_HOST", "192.168.0.1"),
            ("REMOTE_USER", ""),
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/path"),
            ("SERVER_NAME", "example.com"),
            ("SERVER_PORT", "3000"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_SOFTWARE", "WAGI/1"),
            (
                "X_FULL_URL",
                "https://example.com:3000/path/test%3brun?foo=bar",
            ),
            ("X_MATCHED_ROUTE", "/path/..."),
            ("X_RAW_PATH_INFO", "/test%3brun"),
        ];
        assert_holds(&found, &expected);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            expected.map(|(name, _)| name),
            "in this order, and no more"
        );
    }

    #[test]
    fn routes_and_paths() {
        for (route, uri, script_name, path_info, raw, query) in [
            ("/", "http://h/", "/", "", "", ""),
            ("/foo", "http://h/foo", "/foo", "", "", ""),
            ("/test/...", "http://h/test", "/test", "", "", ""),
            ("/test/...", "http://h/test/", "/test", "/", "/", ""),
            ("/...", "http://h/x", "/", "/x", "/x", ""),
            ("/...", "http://h/x?", "/", "/x", "/x", ""),
            ("/...", "http://h/x?a=%41+b", "/", "/x", "/x", "a=%41+b"),
            ("/...", "http://h/a+b", "/", "/a+b", "/a+b", ""),
            ("/...", "http://h/a%2Fb", "/", "/a/b", "/a%2Fb", ""),
            ("/...", "http://h/%ff", "/", "/\u{fffd}", "/%ff", ""),
            ("/...", "http://h/a%00b", "/", "/ab", "/a%00b", ""),
            ("/...", "http://h/%zz%4", "/", "/%zz%4", "/%zz%4", ""),
        ] {
            let head = head(|request| request.uri(uri));
            assert_holds(
                &environment(facts(&head, route)),
                &[
                    ("SCRIPT_NAME", script_name),
                    ("PATH_INFO", path_info),
                    ("PATH_TRANSLATED", path_info),
                    ("X_RAW_PATH_INFO", raw),
                    ("QUERY_STRING", query),
                    ("X_MATCHED_ROUTE", route),
                ],
            );
        }
    }

    #[test]
    fn headers_of_one_name_are_joined() {
        let head = head(|request| {
            request
                .uri("http://h/")
                .header("X-Forwarded-For", "1.1.1.1")
                .header("X-Forwarded-For", "2.2.2.2")
                .header("Cookie", "a=1")
                .header("Cookie", "b=2")
        });
        assert_holds(
            &environment(facts(&head, "/")),
            &[
                ("HTTP_X_FORWARDED_FOR", "1.1.1.1, 2.2.2.2"),
                ("HTTP_COOKIE", "a=1; b=2"),
            ],
        );
    }

    #[test]
    fn an_underscore_cannot_talk_over_a_dash() {
        for names in [["X_User", "X-User"], ["X-User", "X_User"]] {
            let head = head(|request| {
                request
                    .uri("http://h/")
                    .header(names[0], names[0])
                    .header(names[1], names[1])
                    .header("X_Alone", "kept")
            });
            assert_holds(
                &environment(facts(&head, "/")),
                &[("HTTP_X_USER", "X-User"), ("HTTP_X_ALONE", "kept")],
            );
        }
    }

    #[test]
    fn a_value_that_is_not_visible_ascii_is_marked() {
        let head = head(|request| {
            request
                .uri("http://h/")
                .header("X-Name", HeaderValue::from_bytes("é".as_bytes()).unwrap())
                .header("Content-Type", HeaderValue::from_bytes(b"\xff").unwrap())
        });
        assert_holds(
            &environment(facts(&head, "/")),
            &[("HTTP_X_NAME", CORRUPT), ("CONTENT_TYPE", "")],
        );
    }

    #[test]
    fn the_request_wins_over_what_is_configured() {
        let configured = [
            ("GREETING", "hi\0there"),
            ("REQUEST_METHOD", "FAKE"),
            ("HTTP_ACCEPT", "configured"),
            ("HTTP_X_KEY", "configured"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let head = head(|request| request.uri("http://h/").header("Accept", "sent"));
        let found = environment(Facts {
            configured: &configured,
            ..facts(&head, "/")
        });
        assert_holds(
            &found,
            &[
                ("GREETING", "hithere"),
                ("REQUEST_METHOD", "GET"),
                ("HTTP_ACCEPT", "sent"),
                ("HTTP_X_KEY", "configured"),
            ],
        );
    }

    #[test]
    fn protocols_hosts_and_addresses() {
        let head = head(|request| {
            request
                .version(Version::HTTP_2)
                .method("PROPFIND")
                .uri("https://[::1]/x")
        });
        assert_holds(
            &environment(Facts {
                client: Some("[2001:db8::1]:99".parse().unwrap()),
                ..facts(&head, "/x")
            }),
            &[
                ("SERVER_PROTOCOL", "HTTP/2.0"),
                ("HTTP_HOST", "[::1]"),
                ("SERVER_NAME", "[::1]"),
                ("SERVER_PORT", "443"),
                ("X_FULL_URL", "https://[::1]:443/x"),
                ("REMOTE_ADDR", "2001:db8::1"),
                ("REQUEST_METHOD", "PROPFIND"),
            ],
        );
    }
}
