use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Attribution, BodyError};
use http::{Request, Response};
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::testing::{Upstream, egress, get, listen, send, serve, whole};
use crate::{EgressError, SendOptions};

/// Reads something, sends these bytes, and closes.
async fn scripted(says: &'static [u8]) -> Upstream {
    listen(move |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(says).await;
    })
    .await
}

async fn body_error(answer: Response<headwater_core::Body>) -> EgressError {
    let error = whole(answer.into_body()).await.unwrap_err();
    *error.downcast::<EgressError>().unwrap()
}

#[tokio::test]
async fn nobody_there_is_a_connection_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = send(&egress(), get(&uri)).await.unwrap_err();
    assert!(matches!(error, EgressError::ConnectionRefused), "{error:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_error() {
    // RFC 6761 (6.4) reserves the domain for this.
    let error = send(&egress(), get("http://nobody.invalid/"))
        .await
        .unwrap_err();
    let EgressError::Dns { host, rcode, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(host, "nobody.invalid");
    // A machine without name servers gives another answer.
    assert!(matches!(rcode, Some("NXDOMAIN" | "SERVFAIL")), "{rcode:?}");
}

#[tokio::test]
async fn timeouts_of_zero_and_of_ages_do_not_panic() {
    let upstream = serve(|_| async { Response::new(headwater_core::full("ok")) }).await;
    let all = |timeout| SendOptions {
        connect_timeout: Some(timeout),
        first_byte_timeout: Some(timeout),
        between_bytes_timeout: Some(timeout),
    };
    let egress = egress();
    for ages in [Duration::MAX, Duration::from_nanos(u64::MAX)] {
        let answer = egress
            .send(get(&upstream.uri("/")), all(ages), Attribution::unknown())
            .await
            .unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    let silent = serve(|_| std::future::pending()).await;
    let error = egress
        .send(
            get(&silent.uri("/")),
            all(Duration::ZERO),
            Attribution::unknown(),
        )
        .await
        .unwrap_err();
    // Which of them comes first depends on the machine.
    let timed_out = matches!(
        error,
        EgressError::ConnectTimeout | EgressError::FirstByteTimeout
    );
    assert!(timed_out, "{error:?}");
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_incomplete_response() {
    for says in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let upstream = scripted(says).await;
        let answer = send(&egress(), get(&upstream.uri("/"))).await.unwrap();
        let error = body_error(answer).await;
        assert!(
            matches!(error, EgressError::ResponseIncomplete(_)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_terminated() {
    for says in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let upstream = scripted(says).await;
        let error = send(&egress(), get(&upstream.uri("/"))).await.unwrap_err();
        assert!(
            matches!(error, EgressError::ConnectionTerminated(_)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_error() {
    for (says, kind) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..], "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "protocol"),
    ] {
        let upstream = scripted(says).await;
        let error = send(&egress(), get(&upstream.uri("/"))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}

#[tokio::test]
async fn a_switch_of_protocols_is_refused() {
    let upstream =
        scripted(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            .await;
    assert!(send(&egress(), get(&upstream.uri("/"))).await.is_err());
}

#[tokio::test]
async fn a_request_body_that_is_cut_reaches_the_upstream_as_cut() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let upstream = listen(move |mut stream: TcpStream| {
        let seen = seen.clone();
        async move {
            let mut all = Vec::new();
            while !all.ends_with(b"\r\n4\r\npart\r\n") {
                assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
            }
            seen.send(String::new()).unwrap();
            // A reset is as good an end as a close.
            let _ = stream.read_to_end(&mut all).await;
            seen.send(String::from_utf8(all).unwrap()).unwrap();
        }
    })
    .await;
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post(upstream.uri("/"))
        .body(UnsyncBoxBody::new(body))
        .unwrap();
    let sending = tokio::spawn(async move { send(&egress(), request).await });
    sender.send_data(Bytes::from_static(b"part")).await.unwrap();
    sees.recv().await.unwrap();
    sender.abort("cut".into());
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, EgressError::RequestBody(_)), "{error:?}");
    let all = sees.recv().await.unwrap();
    assert!(all.ends_with("\r\n4\r\npart\r\n"), "{all}");
}
