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
        context: &[],
        default_host: "localhost:3000",
        compat: Compat::Default,
        pass_authorization: false,
    }
}

fn strict<'a>(head: &'a request::Parts, route: &'a str) -> Facts<'a> {
    Facts {
        compat: Compat::Strict,
        ..facts(head, route)
    }
}

fn assert_holds(found: &Environment<'_>, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(found.get(*name).map(AsRef::as_ref), Some(*value), "{name}");
    }
}

/// Returns the request that WAGI's own test of the whole environment sends.
fn full() -> request::Parts {
    head(|request| {
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
    })
}

/// The expected variables in either mode.
const FULL: [(&str, &str); 23] = [
    ("AUTH_TYPE", ""),
    ("CONTENT_LENGTH", "1234"),
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

fn assert_is(found: &Environment<'_>, more: &[(&str, &str)]) {
    let mut expected = [&FULL, more].concat();
    expected.sort_unstable();
    assert_holds(found, &expected);
    let names: Vec<&str> = found.keys().map(AsRef::as_ref).collect();
    let expected: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected, "in this order, and no more");
}

#[test]
fn the_full_set() {
    let head = full();
    let found = environment(Facts {
        content_length: 1234,
        ..facts(&head, "/path/...")
    });
    let fixed = [
        ("CONTENT_TYPE", "text/plain; charset=utf-8"),
        ("HTTPS", "on"),
        ("REMOTE_PORT", "3000"),
        ("REQUEST_SCHEME", "https"),
        ("REQUEST_URI", "/path/test%3brun?foo=bar"),
    ];
    assert_is(&found, &fixed);
}

#[test]
fn the_full_set_is_strictly_wagi_s() {
    let head = full();
    let found = environment(Facts {
        content_length: 1234,
        ..strict(&head, "/path/...")
    });
    let broken = [("CONTENT_TYPE", ""), ("HTTP_PROXY", "http://evil.example")];
    assert_is(&found, &broken);
}

#[test]
fn credentials_are_given_to_a_module_that_asks_for_them() {
    let head = full();
    for facts in [facts(&head, "/"), strict(&head, "/")] {
        let found = environment(Facts {
            pass_authorization: true,
            ..facts
        });
        assert_holds(&found, &[("HTTP_AUTHORIZATION", "supersecret")]);
        assert!(!found.contains_key("HTTP_CONNECTION"));
    }
}

#[test]
fn strictly_the_last_of_a_header_wins_and_a_nul_stays() {
    let head = head(|request| {
        request
            .uri("http://h/a%00b")
            .header("X-Forwarded-For", "1.1.1.1")
            .header("X-Forwarded-For", "2.2.2.2")
            .header("X-User", "dash")
            .header("X_User", "underscore")
    });
    assert_holds(
        &environment(strict(&head, "/...")),
        &[
            ("HTTP_X_FORWARDED_FOR", "2.2.2.2"),
            ("HTTP_X_USER", "underscore"),
            ("PATH_INFO", "/a\0b"),
        ],
    );
}

#[test]
fn modules_of_0_2_get_the_relative_path() {
    for (route, uri, expected) in [
        ("/static/...", "http://h/static/a%20b/c.txt", "a%20b/c.txt"),
        ("/static/...", "http://h/static/", ""),
        ("/static/...", "http://h/static", ""),
        ("/...", "http://h/x", "x"),
        ("/x", "http://h/x", ""),
    ] {
        let head = head(|request| request.uri(uri));
        let found = environment(Facts {
            compat: Compat::V0_2,
            ..facts(&head, route)
        });
        assert_holds(&found, &[("X_RELATIVE_PATH", expected)]);
        for facts in [facts(&head, route), strict(&head, route)] {
            assert!(!environment(facts).contains_key("X_RELATIVE_PATH"));
        }
    }
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

#[test]
fn what_is_said_to_be_set_by_each_request_is() {
    let configured = SET_BY_HOST.map(|name| (name.to_owned(), "configured".to_owned()));
    let head = head(|request| request.uri("http://h/x"));
    let found = environment(Facts {
        configured: &configured,
        ..facts(&head, "/...")
    });
    for name in SET_BY_HOST {
        assert_ne!(found[name], "configured", "{name}");
    }
}

#[test]
fn values_of_the_context_win_over_all_and_nothing_else_sets_their_variables() {
    let head = head(|request| {
        request
            .uri("http://a.example/x")
            .header("headwater-context-user", "eve")
            .header("Headwater_Context_User", "eve")
            .header("http-headwater-context-user", "eve")
    });
    let configured = [
        ("STAGE", "test"),
        ("HEADWATER_CONTEXT_USER", "configured"),
        ("HEADWATER_CONTEXT_ROLE", "configured"),
    ];
    let configured = configured.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for compat in [Compat::Default, Compat::Strict, Compat::V0_2] {
        let of_context = |context| Facts {
            configured: &configured,
            context,
            compat,
            ..facts(&head, "/...")
        };
        let none = environment(of_context(&[]));
        assert!(
            !none.keys().any(|name| name.starts_with(CONTEXT_VARIABLE)),
            "{none:?}"
        );
        assert_holds(&none, &[("STAGE", "test"), ("REMOTE_USER", "")]);
        let set = [
            ("HEADWATER_CONTEXT_USER", "ann"),
            ("STAGE", "debug"),
            ("REMOTE_USER", "ann"),
        ];
        let context = set.map(|(name, value)| (name.to_owned(), Arc::from(value)));
        assert_holds(&environment(of_context(&context)), &set);
    }
}
