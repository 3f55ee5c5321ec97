//! Promises about limits on one client: whatever it does with its connections and requests, others are
//! served.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headwater_core::{Body, Handler};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::limits::{CLOSE, status};
use crate::testing::{
    Running, address, answer_with, each, get_h2, h1, h2, params, raw, route, start_front,
};
use crate::{
    ForwardedParams, Front, FrontParams, ProxyProtocol, RequestLimits, Router, Server, ServerParams,
};

/// Reports a request at `/wait` and never answers it; answers at once everywhere else.
fn waits() -> (Arc<dyn Handler>, mpsc::UnboundedReceiver<()>) {
    let (asked, were_asked) = mpsc::unbounded_channel();
    let handler = each(move |request: Request<Body>, _| {
        let asked = asked.clone();
        async move {
            if request.uri().path() == "/wait" {
                asked.send(()).unwrap();
                pending::<()>().await;
            }
            Ok(Response::new(headwater_core::full("ok")))
        }
    });
    (handler, were_asked)
}

/// A server with a limit on the requests of each client.
async fn limited(most: usize, trusted: &[&str], handler: Arc<dyn Handler>) -> Running {
    let front = FrontParams {
        limits: RequestLimits {
            max_in_flight_per_client: Some(most),
            ..RequestLimits::default()
        },
        forwarded: ForwardedParams {
            trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
            ..ForwardedParams::default()
        },
        ..FrontParams::default()
    };
    start_front(params(), front, [route("/...", handler)]).await
}

/// Connects from another address of this machine.
async fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(address).unwrap();
    socket.connect(to).await.unwrap()
}

async fn said(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_has_so_many_requests_in_flight_by_all_its_streams_and_others_are_served() {
    let (handler, mut asked) = waits();
    let server = limited(3, &[], handler).await;
    let (mut one, mut other) = (h2(server.address).await, h2(server.address).await);
    let held = [
        one.send_request(get_h2("/wait")),
        one.send_request(get_h2("/wait")),
        other.send_request(get_h2("/wait")),
    ]
    .map(tokio::spawn);
    for _ in &held {
        asked.recv().await.unwrap();
    }
    let refused = other.send_request(get_h2("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    let text = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(
        text.starts_with(b"the client has too many requests"),
        "{text:?}"
    );
    // The client is the same over another version of HTTP.
    let mut third = h1(server.address).await;
    let get = crate::testing::get("/");
    assert_eq!(third.send_request(get).await.unwrap().status(), 429);

    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    let others = said(from(2, server.address).await, &request).await;
    assert_eq!(status(&others), 200);

    // The end of one makes room for one.
    held[0].abort();
    while other.send_request(get_h2("/")).await.unwrap().status() != 200 {}
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_bounded_each_for_itself() {
    let (handler, mut asked) = waits();
    let server = limited(1, &["127.0.0.1/32"], handler).await;
    let mut proxy = h2(server.address).await;
    let mut ask = |path: &str, client: Option<&'static str>| {
        let mut request = get_h2(path);
        if let Some(client) = client {
            let client = http::HeaderValue::from_static(client);
            request.headers_mut().insert("x-forwarded-for", client);
        }
        tokio::spawn(proxy.send_request(request))
    };
    let held = ask("/wait", Some("192.0.2.1"));
    asked.recv().await.unwrap();
    for (client, expected) in [
        (Some("192.0.2.1"), 429),
        (Some("192.0.2.2"), 200),
        // One client is one IPv6 network.
        (Some("2001:db8::1"), 200),
        // The proxy itself.
        (None, 200),
    ] {
        let answer = ask("/", client).await.unwrap().unwrap();
        assert_eq!(answer.status(), expected, "{client:?}");
    }
    held.abort();
    while ask("/", Some("192.0.2.1")).await.unwrap().unwrap().status() != 200 {}
}

/// A server with a limit on the connections of each client, and its counts.
async fn bounded(
    proxy_protocol: ProxyProtocol,
    trusted: &[&str],
) -> (SocketAddr, crate::ConnectionCounts) {
    let mut params: ServerParams = params();
    params.limits.max_connections_per_client = Some(1);
    params.listeners[0].proxy_protocol = proxy_protocol;
    let server = Server::bind(params).await.unwrap();
    let (address, counts) = (address(&server), server.connections());
    let front = FrontParams {
        forwarded: ForwardedParams {
            trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
            ..ForwardedParams::default()
        },
        ..FrontParams::default()
    };
    let router = Router::new([route("/...", answer_with("ok"))]).unwrap();
    tokio::spawn(server.serve(Front::new(front, router), CancellationToken::new()));
    (address, counts)
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_others_are_served() {
    let (address, counts) = bounded(ProxyProtocol::Off, &[]).await;
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    let first = TcpStream::connect(address).await.unwrap();
    let refused = raw(address, request.as_bytes()).await;
    assert_eq!(status(&refused), 429, "{refused}");
    assert!(refused.contains("\r\nretry-after: "), "{refused}");
    assert!(refused.ends_with("\r\n\r\nthe client has too many connections\n"));
    let others = said(from(2, address).await, &request).await;
    assert_eq!(status(&others), 200);
    let total = counts.total();
    assert_eq!((total.refused_client, total.refused), (1, 0));
    drop(first);
    while status(&raw(address, request.as_bytes()).await) != 200 {}
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_likes() {
    let (address, _counts) = bounded(ProxyProtocol::Off, &["127.0.0.1/32"]).await;
    let request = format!("GET / HTTP/1.1\r\n{CLOSE}\r\n");
    let _first = TcpStream::connect(address).await.unwrap();
    assert_eq!(status(&raw(address, request.as_bytes()).await), 200);
}

#[tokio::test]
async fn connections_are_those_of_the_client_that_a_proxy_header_names() {
    let trusted = Vec::new();
    let (address, counts) = bounded(ProxyProtocol::Required { trusted }, &[]).await;
    let by_proxy = |client: &str| {
        format!("PROXY TCP4 {client} 192.0.2.9 1 80\r\nGET / HTTP/1.1\r\n{CLOSE}\r\n")
    };
    let mut first = TcpStream::connect(address).await.unwrap();
    let keep = by_proxy("192.0.2.1").replace("connection: close\r\n", "");
    first.write_all(keep.as_bytes()).await.unwrap();
    first.read_u8().await.unwrap();
    assert_eq!(
        status(&raw(address, by_proxy("192.0.2.1").as_bytes()).await),
        429
    );
    assert_eq!(
        status(&raw(address, by_proxy("192.0.2.2").as_bytes()).await),
        200
    );
    assert_eq!(counts.total().refused_client, 1);
}
