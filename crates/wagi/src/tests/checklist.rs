//! WAGI's own unit tests, under the same names. Its tests of a server are in
//! `tests/tests/it/wagi_checklist.rs`; `test_env_var_merge` and similar ones are with the command
//! line.

use http::header::{HOST, HeaderMap, HeaderValue};

use crate::ModuleReference;
use crate::authority::Authority;
use crate::dynamic::interpret;
use crate::route::Route;

#[test]
fn should_produce_relative_path() {
    for (pattern, path, expected) in [
        ("/static/...", "/static/images/icon.png", "/images/icon.png"),
        ("/static/images/icon.png", "/static/images/icon.png", ""),
        ("/...", "/", "/"),
        ("/", "/", ""),
        ("/static/...", "/other/images", ""),
    ] {
        assert_eq!(Route::parse(pattern).path_info(path), expected);
    }
}

#[test]
fn empty_route_map_is_error() {
    assert!(interpret(b"").is_err());
}

#[test]
fn route_map_with_one_column_is_error() {
    assert!(interpret(b"/hello").is_err());
    let error = interpret(b"/hello hello\n/goodbye").unwrap_err();
    assert!(error.to_string().contains("\"/goodbye\""), "{error}");
}

#[test]
fn route_map_with_three_columns_is_error() {
    assert!(interpret(b"/hello hello heya").is_err());
    assert!(interpret(b"/hello hello\n/goodbye goodbye and_farewell").is_err());
}

#[test]
fn route_map_with_two_columns_is_ok() {
    assert!(interpret(b"/hello hello").is_ok());
    assert!(interpret(b"/hello hello\n").is_ok());
    assert!(interpret(b"/hello hello\n\n/goodbye goodbye\r\n").is_ok());
}

#[test]
fn route_map_that_is_no_text_is_error() {
    assert!(interpret(b"/hello \xff").is_err());
    assert!(interpret(b"   \n").is_err());
}

#[test]
fn can_parse_plain_routes() {
    let routes = interpret(b"/hello hello\n/goodbye farewell").unwrap();
    let [hello, goodbye] = &routes[..] else {
        panic!("two routes")
    };
    assert_eq!(Route::parse(&hello.pattern), Route::Exact("/hello"));
    assert_eq!(hello.entrypoint, "hello");
    assert_eq!(Route::parse(&goodbye.pattern), Route::Exact("/goodbye"));
    assert_eq!(goodbye.entrypoint, "farewell");
}

#[test]
fn can_parse_wildcard_routes() {
    let routes = interpret(b"/hello/... hello\n/goodbye/... au_revoir").unwrap();
    let [hello, goodbye] = &routes[..] else {
        panic!("two routes")
    };
    assert_eq!(Route::parse(&hello.pattern), Route::Prefix("/hello"));
    assert_eq!(Route::parse(&goodbye.pattern), Route::Prefix("/goodbye"));
    assert_eq!(goodbye.entrypoint, "au_revoir");
}

#[test]
fn test_parse_host_header_uri() {
    let found = |uri: &str, header: Option<&'static str>, default: &str| {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(HOST, HeaderValue::from_static(header));
        }
        let found = Authority::as_in_wagi(&uri.parse().unwrap(), &headers, default);
        (found.host, found.port)
    };
    let pair = |host: &str, port: &str| (host.to_owned(), port.to_owned());
    // The `Host` header, then --hostname, then the URI, then the last resort.
    assert_eq!(
        found(
            "http://localhost:8080",
            Some("example.com:9000"),
            "example.net:1"
        ),
        pair("example.com", "9000")
    );
    assert_eq!(
        found("http://localhost:8080", None, "example.net:8888"),
        pair("example.net", "8888")
    );
    assert_eq!(
        found("http://localhost:8080", None, ""),
        pair("localhost", "8080")
    );
    assert_eq!(found("/", None, ""), pair("localhost", "80"));
}

#[test]
fn test_url_to_oci() {
    for (text, expected) in [
        ("oci:foo:bar", "foo:bar"),
        ("oci://example.com/foo:dev", "example.com/foo:dev"),
        ("oci:example/foo:1.2.3", "example/foo:1.2.3"),
        ("oci://example.com:9000/foo:dev", "example.com:9000/foo:dev"),
    ] {
        let parsed = ModuleReference::parse(text);
        assert_eq!(
            parsed,
            Ok(ModuleReference::Oci(expected.to_owned())),
            "{text}"
        );
    }
}
