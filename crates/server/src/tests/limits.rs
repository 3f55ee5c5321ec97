//! Limits on requests, and trust in proxies: C6, C7, C8, C9 and C11 of `docs/explanation/hardening.md`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Body, Handler};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::testing::{Running, answer_with, each, params, raw, route, start, start_front};
use crate::{
    ForwardedParams, Front, FrontParams, Rate, RequestLimits, Route, RouteLimits, Router, Server,
    ServiceLimits,
};

/// Reads the whole body, and answers with the URI and all fields of the request.
pub(super) fn mirror() -> Arc<dyn Handler> {
    each(|request: Request<Body>, scope| async move {
        let (parts, body) = request.into_parts();
        let mut text = format!("uri: {}\nclient: {:?}\n", parts.uri, scope.client());
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap_or("?"));
        }
        // Goes on after an error, as a guest might.
        let _ = body.collect().await;
        Ok(Response::new(headwater_core::full(text)))
    })
}

async fn limited(limits: RequestLimits, handler: Arc<dyn Handler>) -> Running {
    let front = FrontParams {
        limits,
        ..FrontParams::default()
    };
    start_front(params(), front, [route("/...", handler)]).await
}

pub(super) fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

fn rate(burst: u32) -> Rate {
    Rate {
        requests: NonZeroU32::MIN,
        period: Duration::from_secs(3_600),
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

pub(super) const CLOSE: &str = "host: x\r\nconnection: close\r\n";

#[tokio::test]
async fn c7_a_uri_longer_than_it_may_be_is_414_and_giant_fields_are_431() {
    let server = start(answer_with("ok")).await;
    for (length, expected) in [(8 << 10, 200), ((8 << 10) + 1, 414)] {
        let path = "a".repeat(length - 1);
        let request = format!("GET /{path} HTTP/1.1\r\n{CLOSE}\r\n");
        assert_eq!(
            status(&raw(server.address, request.as_bytes()).await),
            expected
        );
    }
    let many = "x-a: b\r\n".repeat(200);
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}{many}\r\n");
    assert_eq!(status(&raw(server.address, request.as_bytes()).await), 431);
}

#[tokio::test]
async fn c7_a_body_larger_than_it_may_be_is_413_whether_declared_or_not() {
    let limits = RequestLimits {
        max_body: Some(10),
        ..RequestLimits::default()
    };
    let server = limited(limits, mirror()).await;
    for (framing, body, expected) in [
        ("content-length: 10\r\n", "0123456789", 200),
        ("content-length: 11\r\n", "0123456789a", 413),
        (
            "transfer-encoding: chunked\r\n",
            "a\r\n0123456789\r\n0\r\n\r\n",
            200,
        ),
        (
            "transfer-encoding: chunked\r\n",
            "a\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n",
            413,
        ),
    ] {
        let request = format!("POST / HTTP/1.1\r\n{CLOSE}{framing}\r\n{body}");
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{framing}{body}");
    }
    // Refused before it was sent, so no 100 precedes the answer.
    let request =
        format!("POST / HTTP/1.1\r\n{CLOSE}content-length: 11\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(status(&raw(server.address, request.as_bytes()).await), 413);
}

#[tokio::test]
async fn c1_a_body_that_stands_still_is_408() {
    let limits = RequestLimits {
        body_idle_timeout: Duration::from_millis(50),
        ..RequestLimits::default()
    };
    let server = limited(limits, mirror()).await;
    let request = format!("POST / HTTP/1.1\r\n{CLOSE}content-length: 5\r\n\r\nabc");
    assert_eq!(status(&raw(server.address, request.as_bytes()).await), 408);
}

#[tokio::test]
async fn requests_beyond_a_rate_are_429_and_told_when_to_come_back() {
    let limits = RequestLimits {
        client_rate: Some(rate(2)),
        ..RequestLimits::default()
    };
    let server = limited(limits, answer_with("ok")).await;
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    for expected in [200, 200, 429, 429] {
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), expected);
        assert_eq!(
            answer.contains("\r\nretry-after: "),
            expected == 429,
            "{answer}"
        );
    }
    // The routes of one service share a rate.
    let of = |pattern: &str| {
        let mut route: Route = route(pattern, answer_with("ok"));
        route.limits = RouteLimits {
            rate: Some(rate(1)),
            ..RouteLimits::default()
        };
        route
    };
    let server = start_front(params(), FrontParams::default(), [of("/a"), of("/b")]).await;
    for (path, expected) in [("/a", 200), ("/b", 429), ("/a", 429)] {
        let request = format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n");
        assert_eq!(
            status(&raw(server.address, request.as_bytes()).await),
            expected
        );
    }
}

#[tokio::test]
async fn c8_places_come_free_when_a_client_goes_away_and_the_last_request_ends_old_routes() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let stuck = each(move |_, scope| {
        seen.send(scope).unwrap();
        std::future::pending()
    });
    let mut stuck = route("/stuck", stuck);
    stuck.limits.max_in_flight = Some(1);
    let server = Server::bind(params()).await.unwrap();
    let address = crate::testing::address(&server);
    let front = Front::new(
        FrontParams {
            limits: RequestLimits {
                max_in_flight: Some(2),
                ..RequestLimits::default()
            },
            keep_requests: true,
            ..FrontParams::default()
        },
        Router::new([stuck, route("/...", answer_with("old"))]).unwrap(),
    );
    tokio::spawn(server.serve(front.clone(), CancellationToken::new()));
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n");
        raw(address, request.as_bytes()).await
    };

    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET /stuck?secret HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let scope = sees.recv().await.unwrap();
    assert_eq!(front.in_flight(), 1);
    let listed = front.requests();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path, "/stuck");
    assert!(!listed[0].answered);
    assert_eq!(listed[0].scope.id(), scope.id());
    let refused = ask("/stuck").await;
    assert_eq!(status(&refused), 503);
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert_eq!(status(&ask("/").await), 200);

    let retired = front.replace(Router::new([route("/...", answer_with("new"))]).unwrap());
    assert!(ask("/").await.ends_with("new"));
    let ended = retired.ended();
    tokio::pin!(ended);
    assert!(futures::poll!(ended.as_mut()).is_pending());
    drop(client);
    ended.await;
    front.idle().await;
    assert_eq!(front.in_flight(), 0);
    assert!(front.requests().is_empty());
    assert!(scope.is_over());
}

#[tokio::test]
async fn what_was_counted_goes_on_where_a_route_is_replaced_by_one_with_the_same_gate() {
    let limits = RouteLimits {
        rate: Some(rate(2)),
        ..RouteLimits::default()
    };
    let service_limits = ServiceLimits::new(&limits);
    let routes = |service_limits: Option<&ServiceLimits>| {
        let mut route: Route = route("/...", answer_with("ok"));
        route.limits = limits.clone();
        route.service_limits = service_limits.cloned();
        Router::new([route]).unwrap()
    };
    let server = Server::bind(params()).await.unwrap();
    let address = crate::testing::address(&server);
    let front = Front::new(FrontParams::default(), routes(Some(&service_limits)));
    tokio::spawn(server.serve(front.clone(), CancellationToken::new()));
    let ask = async || {
        let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
        status(&raw(address, request.as_bytes()).await)
    };
    assert_eq!(ask().await, 200);
    drop(front.replace(routes(Some(&service_limits))));
    assert_eq!((ask().await, ask().await), (200, 429));
    drop(front.replace(routes(None)));
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn c8_beyond_the_places_of_all_a_request_is_503_at_once() {
    let limits = RequestLimits {
        max_in_flight: Some(0),
        ..RequestLimits::default()
    };
    let server = limited(limits, answer_with("ok")).await;
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    assert_eq!(status(&raw(server.address, request.as_bytes()).await), 503);
}

pub(super) async fn told(forwarded: ForwardedParams, fields: &str) -> String {
    let front = FrontParams {
        forwarded,
        ..FrontParams::default()
    };
    let server = start_front(params(), front, [route("/...", mirror())]).await;
    let request = format!("GET /p HTTP/1.1\r\n{CLOSE}{fields}\r\n");
    raw(server.address, request.as_bytes()).await
}

#[tokio::test]
async fn c11_what_anybody_says_of_clients_is_replaced_and_proxies_are_believed() {
    let forged = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n\
        x-forwarded-host: evil\r\nx-forwarded-prefix: /evil\r\nclient-cert: :AA==:\r\n\
        client-cert-chain: :AA==:\r\nx-client-cert-subject: CN=root\r\nheadwater-route-id: 1\r\n";
    let answer = told(ForwardedParams::default(), forged).await;
    assert!(answer.contains("uri: http://x/p\n"), "{answer}");
    assert!(answer.contains("client: Some(127.0.0.1:"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\n"), "{answer}");
    assert!(answer.contains("x-forwarded-proto: http\n"), "{answer}");
    assert!(answer.contains("x-forwarded-host: x\n"), "{answer}");
    assert!(
        answer.contains("forwarded: for=127.0.0.1;proto=http\n"),
        "{answer}"
    );
    for gone in ["evil", "client-cert", "headwater-route", "203.0.113.9"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }

    // Without rewriting, passed on as received, and still not trusted.
    let as_it_came = ForwardedParams {
        rewrite: false,
        ..ForwardedParams::default()
    };
    let answer = told(as_it_came, forged).await;
    assert!(answer.contains("client: Some(127.0.0.1:"), "{answer}");
    assert!(answer.contains("uri: http://x/p\n"), "{answer}");
    assert!(
        answer.contains("x-forwarded-for: 203.0.113.9\n"),
        "{answer}"
    );
    assert!(!answer.contains("client-cert"), "{answer}");

    let trusted = ForwardedParams {
        trusted: ["127.0.0.0/8", "10.0.0.0/8"]
            .map(|net| net.parse().unwrap())
            .to_vec(),
        ..ForwardedParams::default()
    };
    for (fields, uri, client) in [
        (
            "x-forwarded-for: 1.2.3.4, 198.51.100.7, 10.0.0.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: a.example\r\n",
            "https://a.example/p",
            "198.51.100.7:0",
        ),
        (
            "forwarded: for=1.2.3.4, for=\"[2001:db8::1]:5\";proto=https;host=\"b.example:1\"\r\n",
            "https://b.example:1/p",
            "[2001:db8::1]:5",
        ),
        (
            "x-forwarded-for: 198.51.100.7, unknown, 10.0.0.2\r\n",
            "http://x/p",
            "10.0.0.2:0",
        ),
        ("", "http://x/p", "127.0.0.1:"),
    ] {
        let answer = told(trusted.clone(), fields).await;
        assert!(answer.contains(&format!("uri: {uri}\n")), "{answer}");
        assert!(
            answer.contains(&format!("client: Some({client}")),
            "{answer}"
        );
        assert!(!answer.contains("1.2.3.4"), "{answer}");
    }
    for fields in [
        "forwarded: for=1.2.3.4\r\nx-forwarded-for: 198.51.100.7\r\n",
        "forwarded: for=\"1.2.3.4\r\n",
        "x-forwarded-for: 198.51.100.7\r\nx-forwarded-host: a b\r\n",
    ] {
        assert_eq!(
            status(&told(trusted.clone(), fields).await),
            400,
            "{fields}"
        );
    }
}

#[tokio::test]
async fn wildcards_reach_the_service_and_a_prefix_is_taken_away() {
    let mut api = route("/api/{version}/...", mirror());
    api.strip_prefix = true;
    let server = start_front(params(), FrontParams::default(), [api]).await;
    for (path, uri) in [
        ("/api/v%201/a/b?c", "http://x/a/b?c"),
        ("/api/v%201", "http://x/"),
        ("/api/v%201/", "http://x/"),
        ("/api/v%201//y", "http://x//y"),
    ] {
        let forged = "headwater-route-version: 9\r\nx-forwarded-prefix: /evil\r\n";
        let request = format!("GET {path} HTTP/1.1\r\n{CLOSE}{forged}\r\n");
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.contains(&format!("uri: {uri}\n")), "{answer}");
        assert!(
            answer.contains("headwater-route-version: v%201\n"),
            "{answer}"
        );
        assert!(
            answer.contains("x-forwarded-prefix: /api/v%201\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn c6_messages_that_can_be_read_in_two_ways_are_refused() {
    let server = start(mirror()).await;
    for (request, allowed) in [
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
            &[400][..],
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nabcde",
            &[400],
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        (
            "POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        ("GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nhost : x\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", &[400]),
        ("CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n", &[405]),
        ("GET / HTTP/1.0\r\n\r\n", &[200]),
        ("TRACE / HTTP/1.1\r\nhost: x\r\n\r\n", &[405]),
        (
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
            &[200],
        ),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(!answer.is_empty(), "{request}");
        assert!(allowed.contains(&status(&answer)), "{request}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    }
    // With both framings, the chunks count (RFC 9112 6.3), and the rest is not a second request of the
    // attacker's.
    let smuggled = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\
        transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = raw(server.address, smuggled.as_bytes()).await;
    assert!(!answer.contains("/smuggled"), "{answer}");
    // The host of the absolute form wins over `Host`.
    let request = format!("GET http://real/p HTTP/1.1\r\n{CLOSE}\r\n");
    let answer = raw(server.address, request.as_bytes()).await;
    assert!(
        answer.contains("uri: http://real/p\nclient") && answer.contains("host: real\n"),
        "{answer}"
    );
    // The server does not wait for megabytes of chunk extensions.
    let bomb = format!(
        "POST / HTTP/1.1\r\n{CLOSE}transfer-encoding: chunked\r\n\r\n1;{}\r\na\r\n0\r\n\r\n",
        "a".repeat(64 << 10)
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.write_all(bomb.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn c9_malformed_and_oversized_trace_fields_and_ids_are_ignored() {
    let server = start(mirror()).await;
    let long = "a".repeat(20_000);
    for fields in [
        "traceparent: 00-zz-b7ad6b7169203331-01\r\n".to_owned(),
        "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n".to_owned(),
        format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-{long}\r\n"),
        format!("tracestate: {long}\r\nbaggage: {long}\r\nx-request-id: {long}\r\n"),
        "x-request-id: \r\ntraceparent: \r\ntraceparent: \r\n".to_owned(),
    ] {
        let request = format!("GET / HTTP/1.1\r\n{CLOSE}{fields}\r\n");
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), 200);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let id = |text: &str| {
            let (_, rest) = text.split_once("x-request-id: ").unwrap();
            rest[..36].to_owned()
        };
        assert_eq!(id(head), id(body));
        assert!(!body.contains("zz-b7ad"), "{fields}");
    }
}
