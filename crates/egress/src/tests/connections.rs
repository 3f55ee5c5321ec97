//! Promise: connections are kept and reused, dead ones are found, and a request that has reached
//! the wire is never sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_core::full;
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::testing::{egress, get, listen, send, serve, whole};
use crate::{ConnectionCount, Egress, EgressError};

async fn all_closed(egress: &Egress) {
    while !egress.connections().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_has_closed_is_not_used_again() {
    let upstream = listen(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let egress = egress();
    for _ in 0..5 {
        let request = Request::post(upstream.uri("/")).body(full("x")).unwrap();
        let answer = send(&egress, request).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
        all_closed(&egress).await;
    }
    assert_eq!(upstream.accepted(), 5);
}

#[tokio::test]
async fn a_request_that_reached_the_upstream_is_not_sent_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let sees = Arc::clone(&seen);
    // Answers the first request on a connection, and closes it upon the second.
    let upstream = listen(move |mut stream: TcpStream| {
        let seen = Arc::clone(&seen);
        async move {
            let _ = stream.read(&mut [0; 1024]).await;
            seen.fetch_add(1, Ordering::SeqCst);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            if stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let egress = egress();
    let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    whole(answer.into_body()).await.unwrap();
    let error = send(&egress, get(&upstream.uri("/"))).await.unwrap_err();
    assert!(
        matches!(error, EgressError::ConnectionTerminated(_)),
        "{error:?}"
    );
    all_closed(&egress).await;
    assert_eq!(sees.load(Ordering::SeqCst), 2);
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn connections_are_counted_as_active_and_idle() {
    let upstream = serve(|_| async { Response::new(full("ok")) }).await;
    let egress = egress();
    let counted = |active, idle| ConnectionCount {
        address: "127.0.0.1".into(),
        port: upstream.address.port(),
        active,
        idle,
    };
    let one = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    let other = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    let counts = egress.connections();
    assert!(
        counts == [counted(2, 0)] || counts == [counted(1, 0)],
        "{counts:?}"
    );
    let open = counts[0].active;
    whole(one.into_body()).await.unwrap();
    whole(other.into_body()).await.unwrap();
    // The pool takes them back asynchronously.
    while egress.connections() != [counted(0, open)] {
        tokio::task::yield_now().await;
    }
    let totals = egress.totals();
    assert_eq!(totals.new as usize, open);
    assert_eq!(totals.reused as usize, 2 - open);
}

#[tokio::test]
async fn the_connections_of_a_client_that_is_gone_are_closed() {
    let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let upstream = listen(move |mut stream: TcpStream| {
        let closed = closed.clone();
        async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.write_all(answer).await;
            closed.send(stream.read(&mut [0; 1024]).await).unwrap();
        }
    })
    .await;
    let egress = egress();
    let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    whole(answer.into_body()).await.unwrap();
    drop(egress);
    assert_eq!(closes.recv().await.unwrap().unwrap(), 0);
}
