//! Forward proxies, over real sockets.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_rustls::TlsAcceptor;

use super::tls::{certified, https, https_by};
use crate::resolve::Resolver;
use crate::testing::{SHORT, Upstream, everything, get, listen, send, serve, whole};
use crate::transport::ConnectionInfo;
use crate::{Egress, EgressError, EgressParams, Network, Proxy, Timeouts, TlsRoots};

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy that reports the heads it reads, gives this answer to CONNECT, and answers everything else itself.
async fn proxy(answer: &'static str) -> (Upstream, UnboundedReceiver<String>) {
    let (seen, sees) = mpsc::unbounded_channel();
    let upstream = listen(move |stream| relay(stream, answer, seen.clone())).await;
    (upstream, sees)
}

async fn relay<S>(mut stream: S, answer: &'static str, seen: UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let connect = head.strip_prefix("CONNECT ").map(|rest| {
        let (authority, _) = rest.split_once(' ').unwrap();
        let (_, port) = authority.rsplit_once(':').unwrap();
        port.parse::<u16>().unwrap()
    });
    seen.send(head).unwrap();
    let Some(port) = connect else {
        let own = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nby proxy!";
        stream.write_all(own).await.unwrap();
        return;
    };
    stream.write_all(answer.as_bytes()).await.unwrap();
    if answer == ESTABLISHED {
        let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
    }
}

/// Uses the proxy for everything, and resolves no names.
fn by(url: &str, no_proxy: &str) -> EgressParams {
    EgressParams {
        grants: everything(),
        proxy: Proxy::new(url, no_proxy).unwrap(),
        network: Network {
            resolver: Resolver::Scripted(Arc::new(|name| panic!("{name} was looked up"))),
            ..Network::default()
        },
        ..EgressParams::new("test")
    }
}

#[tokio::test]
async fn http_is_asked_of_the_proxy_in_absolute_form() {
    let (upstream, mut sees) = proxy(ESTABLISHED).await;
    let url = format!("http://me:secret@{}", upstream.address);
    let egress = Egress::new(by(&url, ""));
    let answer = send(&egress, get("http://far.example:81/a?b"))
        .await
        .unwrap();
    let info = answer.extensions().get::<ConnectionInfo>().unwrap();
    assert!(info.proxied);
    assert_eq!(info.peer, upstream.address);
    assert_eq!(whole(answer.into_body()).await.unwrap(), "by proxy!");
    let head = sees.recv().await.unwrap();
    assert!(
        head.starts_with("GET http://far.example:81/a?b HTTP/1.1\r\n"),
        "{head}"
    );
    // me:secret
    assert!(
        head.contains("proxy-authorization: Basic bWU6c2VjcmV0\r\n"),
        "{head}"
    );
    assert!(head.contains("host: far.example:81\r\n"), "{head}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_proxy_sees_nothing_of_it() {
    let (upstream, roots) = https(&[b"h2", b"http/1.1"]).await;
    let (relay, mut sees) = proxy(ESTABLISHED).await;
    let port = upstream.address.port();
    let egress = Egress::new(EgressParams {
        tls_roots: roots,
        ..by(&format!("http://me:secret@{}", relay.address), "")
    });
    for _ in 0..2 {
        let uri = format!("https://localhost:{port}/");
        let answer = send(&egress, get(&uri)).await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        assert_eq!(whole(answer.into_body()).await.unwrap(), "secret");
    }
    assert_eq!(relay.accepted(), 1);
    let head = sees.recv().await.unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")));
    assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let (config, certificate) = certified();
    let upstream = https_by(config, |_| {}).await;
    let (config, its_certificate) = certified();
    let mut both = RootCertStore::empty();
    both.add_parsable_certificates([certificate, its_certificate].map(|made| made.der().clone()));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (seen, mut sees) = mpsc::unbounded_channel();
    let relaying = listen(move |stream: TcpStream| {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                relay(stream, ESTABLISHED, seen).await;
            }
        }
    })
    .await;
    let port = upstream.address.port();
    let egress = Egress::new(EgressParams {
        tls_roots: TlsRoots::given(both),
        network: Network::default(),
        ..by(
            &format!("https://localhost:{}", relaying.address.port()),
            "",
        )
    });
    let uri = format!("https://localhost:{port}/");
    let answer = send(&egress, get(&uri)).await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), "secret");
    let head = sees.recv().await.unwrap();
    assert!(head.starts_with("CONNECT "), "{head}");
}

#[tokio::test]
async fn grants_hold_behind_a_proxy_and_so_does_the_policy_on_written_addresses() {
    let (upstream, _sees) = proxy(ESTABLISHED).await;
    let egress = Egress::new(EgressParams {
        grants: crate::Grants::parse(["a.example", "https://*"]).unwrap(),
        ..by(&format!("http://{}", upstream.address), "")
    });
    for (uri, kind) in [
        ("http://b.example/", "denied"),
        ("https://127.0.0.1/", "address_denied"),
        ("https://[::ffff:169.254.169.254]/", "address_denied"),
        ("https://2130706433/", "invalid_uri"),
    ] {
        let error = send(&egress, get(uri)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{uri}");
    }
    assert_eq!(upstream.accepted(), 0);
    send(&egress, get("http://a.example/")).await.unwrap();
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn what_is_excepted_goes_directly() {
    let (relay, _sees) = proxy(ESTABLISHED).await;
    let upstream = serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let egress = Egress::new(by(&format!("http://{}", relay.address), "127.0.0.0/8"));
    let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    let info = answer.extensions().get::<ConnectionInfo>().unwrap();
    assert!(!info.proxied);
    assert_eq!((relay.accepted(), upstream.accepted()), (0, 1));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    for answer in [
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let (relay, _sees) = proxy(answer).await;
        let egress = Egress::new(by(&format!("http://me:secret@{}", relay.address), ""));
        let error = send(&egress, get("https://far.example/")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, EgressError::Proxy { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&relay.address.to_string()), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_a_connect_timeout() {
    let held = listen(|stream: TcpStream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let egress = Egress::new(EgressParams {
        timeouts: Timeouts {
            connect: SHORT,
            // Not this timeout.
            tls_handshake: Duration::from_secs(3_600),
            ..Timeouts::default()
        },
        ..by(&format!("http://{}", held.address), "")
    });
    let error = send(&egress, get("https://far.example/")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, EgressError::ConnectTimeout), "{error:?}");
}
