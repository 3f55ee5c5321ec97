//! Requests to the server rather than to a resource: C6 of `docs/explanation/hardening.md`.

use http::uri::{PathAndQuery, Uri};

use super::limits::{CLOSE, mirror, status};
use crate::testing::{get_h2, h2, raw, start};

#[tokio::test]
async fn c6_methods_that_no_service_is_to_answer_are_405_and_the_others_are_named() {
    let server = start(mirror()).await;
    for method in ["CONNECT x:1", "TRACE /", "TRACE *"] {
        let request = format!("{method} HTTP/1.1\r\n{CLOSE}x-secret: 1\r\n\r\n");
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), 405, "{answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD, "), "{answer}");
        assert!(!answer.contains("x-secret"), "{answer}");
    }
    let mut client = h2(server.address).await;
    let mut request = get_h2("/");
    *request.method_mut() = http::Method::TRACE;
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn c6_an_upgrade_is_ignored_and_no_service_hears_of_it() {
    let server = start(mirror()).await;
    for upgrade in ["websocket", "h2c", "TLS/1.0"] {
        let request = format!(
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings, close\r\n\
             upgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nkeep-alive: timeout=5\r\n\
             sec-websocket-version: 13\r\nte: trailers, gzip\r\n\r\n"
        );
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        for gone in ["connection:", "upgrade:", "http2-settings:", "keep-alive:"] {
            assert!(!seen.contains(gone), "{gone} {seen}");
        }
        assert!(seen.contains("sec-websocket-version: 13\n"), "{seen}");
        assert!(seen.contains("te: trailers\n"), "{seen}");
    }
    let chunked =
        format!("POST / HTTP/1.1\r\n{CLOSE}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    let answer = raw(server.address, chunked.as_bytes()).await;
    assert!(!answer.contains("transfer-encoding: chunked"), "{answer}");
}

#[tokio::test]
async fn the_server_as_a_whole_is_asked_for_its_options_and_for_nothing_else() {
    let server = start(mirror()).await;
    let ask = async |line: &str| {
        let request = format!("{line} HTTP/1.1\r\n{CLOSE}\r\n");
        raw(server.address, request.as_bytes()).await
    };
    let answer = ask("OPTIONS *").await;
    assert_eq!(status(&answer), 204, "{answer}");
    assert!(answer.contains("\r\nallow: GET, HEAD, "), "{answer}");
    assert!(answer.contains("\r\nx-request-id: "), "{answer}");
    // For a path, the services decide.
    let answer = ask("OPTIONS /").await;
    assert_eq!(status(&answer), 200, "{answer}");
    for line in ["GET *", "GET sub", "GET x.example:80", "GET ftp://x/"] {
        let answer = ask(line).await;
        assert_eq!(status(&answer), 400, "{answer}");
    }
    let mut client = h2(server.address).await;
    let mut request = get_h2("/");
    *request.method_mut() = http::Method::OPTIONS;
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.path_and_query = Some(PathAndQuery::from_static("*"));
    *request.uri_mut() = Uri::from_parts(target).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn a_body_in_a_coding_that_no_service_would_be_told_of_is_refused_and_the_connection_closed()
{
    let server = start(mirror()).await;
    for fields in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
    ] {
        // Does not ask to close.
        let request =
            format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n").into_bytes();
        let answer = raw(server.address, &request).await;
        assert_eq!(status(&answer), 501, "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}
