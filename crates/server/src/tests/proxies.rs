//! Trust in proxies.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::limits::{CLOSE, mirror, status, told};
use crate::testing::{params, raw, route, start_with};
use crate::{ForwardedParams, ListenerParams};

/// All peers are trusted proxies, and so is 10.0.0.0/8.
fn trusted() -> ForwardedParams {
    ForwardedParams {
        trusted: ["127.0.0.0/8", "10.0.0.0/8"]
            .map(|net| net.parse().unwrap())
            .to_vec(),
        ..ForwardedParams::default()
    }
}

/// The proxy itself is the client.
const ITSELF: &str = "127.0.0.1:";

#[tokio::test]
async fn a_proxy_that_hides_its_client_is_believed_how_it_was_asked() {
    for (fields, uri, client) in [
        ("x-forwarded-proto: https\r\n", "https://x/p", ITSELF),
        (
            "x-forwarded-host: a.example\r\n",
            "http://a.example/p",
            ITSELF,
        ),
        (
            "x-forwarded-proto: http, https\r\nx-forwarded-host: b, a\r\n",
            "https://a/p",
            ITSELF,
        ),
        (
            "x-forwarded-for: unknown\r\nx-forwarded-proto: https\r\n",
            "https://x/p",
            ITSELF,
        ),
        // nginx writes `unix:` for a client on a Unix-domain socket.
        ("x-forwarded-for: 1.2.3.4, unix:\r\n", "http://x/p", ITSELF),
        ("forwarded: proto=https;host=a\r\n", "https://a/p", ITSELF),
        (
            "forwarded: for=unknown;proto=https\r\n",
            "https://x/p",
            ITSELF,
        ),
        (
            "forwarded: for=_hidden;proto=https\r\n",
            "https://x/p",
            ITSELF,
        ),
        // If the nearest proxy hides its client, farther ones cannot name it.
        (
            "forwarded: for=1.2.3.4;host=evil, proto=https\r\n",
            "https://x/p",
            ITSELF,
        ),
        (
            "forwarded: for=1.2.3.4;host=evil, for=_hidden;host=a, for=10.0.0.2;proto=https\r\n",
            "https://a/p",
            "10.0.0.2:0",
        ),
        // Both agree.
        (
            "forwarded: proto=https\r\nx-forwarded-proto: https\r\n",
            "https://x/p",
            ITSELF,
        ),
        // A proxy wrote the field that names a client; the other may be the client's own.
        (
            "forwarded: for=unknown;proto=https;host=evil\r\nx-forwarded-for: 198.51.100.7\r\n",
            "http://x/p",
            "198.51.100.7:0",
        ),
        (
            "forwarded: for=198.51.100.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil\r\n",
            "http://x/p",
            "198.51.100.7:0",
        ),
        // Hops beyond an untrusted one are ignored.
        (
            "x-forwarded-for: evil, 198.51.100.7\r\n",
            "http://x/p",
            "198.51.100.7:0",
        ),
    ] {
        let answer = told(trusted(), fields).await;
        assert!(
            answer.contains(&format!("uri: {uri}\n")),
            "{fields}: {answer}"
        );
        assert!(
            answer.contains(&format!("client: Some({client}")),
            "{fields}: {answer}"
        );
        assert!(!answer.contains("1.2.3.4"), "{answer}");
        assert!(!answer.contains("evil"), "{answer}");
        // From any other peer, everything is ignored.
        let answer = told(ForwardedParams::default(), fields).await;
        assert!(answer.contains("uri: http://x/p\n"), "{fields}: {answer}");
    }
}

#[tokio::test]
async fn what_no_proxy_writes_is_refused_and_so_is_what_does_not_agree() {
    for fields in [
        "x-forwarded-host: a b\r\n",
        "forwarded: host=\"a b\"\r\n",
        "x-forwarded-for: evil\r\n",
        "x-forwarded-for: 198.51.100.7, evil, 10.0.0.2\r\n",
        "x-forwarded-for: _hidden\r\n",
        "forwarded: for=evil\r\n",
        "forwarded: for=198.51.100.7;for=198.51.100.8\r\n",
        "forwarded: proto=http;proto=https\r\n",
        "forwarded: proto=https\r\nx-forwarded-proto: http\r\n",
        "forwarded: host=evil\r\nx-forwarded-proto: https\r\n",
        "forwarded: for=_hidden\r\nx-forwarded-proto: https\r\n",
        "x-forwarded-for: unknown\r\nforwarded: host=evil\r\n",
    ] {
        let answer = told(trusted(), fields).await;
        assert_eq!(status(&answer), 400, "{fields}: {answer}");
    }
}

#[tokio::test]
async fn a_client_of_ipv4_has_one_address_whatever_socket_it_came_by() {
    let mut params = params();
    params.listeners[0] = ListenerParams::at(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    let server = start_with(params, [route("/...", mirror())]).await;
    let address = (Ipv4Addr::LOCALHOST, server.address.port()).into();
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    let answer = raw(address, request.as_bytes()).await;
    assert!(answer.contains("client: Some(127.0.0.1:"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\n"), "{answer}");
}
