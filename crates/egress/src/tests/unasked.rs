//! Promise: what an upstream sends unasked is never taken for an answer, and sending too much ends the
//! connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use headwater_core::full;
use http::{Request, Response};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tls::{certified, roots};
use crate::testing::{egress, everything, get, listen, send, serve, whole};
use crate::{ConnectionCount, Egress, EgressError, EgressParams, H2c};

const FIRST: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
const SECOND: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond";
const POISON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";

/// An upstream that answers once, and once more on demand. It has its own threads, and goes on while the
/// runtime's only one is busy.
struct Late {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    more: SyncSender<()>,
    arrived: Receiver<()>,
}

impl Late {
    fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (more, told) = sync_channel(0);
        let (arrives, arrived) = sync_channel(0);
        let mut unasked = Some((told, arrives));
        let tls = tls.map(Arc::new);
        thread::spawn({
            let accepted = Arc::clone(&accepted);
            move || {
                while let Ok((stream, client)) = listener.accept() {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let (unasked, tls) = (unasked.take(), tls.clone());
                    thread::spawn(move || match tls {
                        None => answer(stream, client, unasked),
                        Some(tls) => {
                            let session = ServerConnection::new(tls).unwrap();
                            answer(StreamOwned::new(session, stream), client, unasked);
                        }
                    });
                }
            }
        });
        Self {
            address,
            accepted,
            more,
            arrived,
        }
    }

    /// Sends unasked data, and returns when it has arrived.
    fn send_unasked(&self) {
        self.more.send(()).unwrap();
        self.arrived.recv().unwrap();
    }
}

/// Answers on a connection until its end.
fn answer(
    mut stream: impl Read + Write,
    client: SocketAddr,
    unasked: Option<(Receiver<()>, SyncSender<()>)>,
) {
    let mut asked = [0; 1024];
    if let Some((told, arrives)) = unasked {
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(FIRST).and_then(|()| stream.flush());
        if told.recv().is_ok() {
            let _ = stream.write_all(POISON).and_then(|()| stream.flush());
            while !has_arrived(client) {
                thread::yield_now();
            }
            let _ = arrives.send(());
        }
    }
    while stream.read(&mut asked).is_ok_and(|read| read > 0) {
        let _ = stream.write_all(SECOND).and_then(|()| stream.flush());
    }
}

/// Returns true if a socket of this machine has unread bytes, by the system's table.
fn has_arrived(socket: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", socket.port());
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port))
            && fields
                .nth(2)
                .is_some_and(|queues| !queues.ends_with(":00000000"))
    })
}

/// Waits until there is one connection, and it is idle.
async fn idle(egress: &Egress) {
    let is_idle = |counts: Vec<ConnectionCount>| {
        matches!(
            &*counts,
            [ConnectionCount {
                active: 0,
                idle: 1,
                ..
            }]
        )
    };
    while !is_idle(egress.connections()) {
        tokio::task::yield_now().await;
    }
    // The pool takes it back in its own task.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn body(egress: &Egress, uri: &str) -> String {
    let answer = send(egress, get(uri)).await.unwrap();
    let body = whole(answer.into_body()).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn what_came_unasked_while_the_thread_was_busy_is_not_the_next_answer() {
    let upstream = Late::start(None);
    let egress = egress();
    let uri = format!("http://{}/", upstream.address);
    assert_eq!(body(&egress, &uri).await, "first");
    idle(&egress).await;
    // The runtime's only thread polls for no events meanwhile.
    upstream.send_unasked();
    assert_eq!(body(&egress, &uri).await, "second");
    assert_eq!(upstream.accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_came_unasked_within_tls_is_not_the_next_answer_either() {
    let (config, certificate) = certified();
    let upstream = Late::start(Some(config));
    let egress = Egress::new(EgressParams {
        grants: everything(),
        tls_roots: roots(&certificate),
        ..EgressParams::new("test")
    });
    let uri = format!("https://localhost:{}/", upstream.address.port());
    assert_eq!(body(&egress, &uri).await, "first");
    idle(&egress).await;
    upstream.send_unasked();
    assert_eq!(body(&egress, &uri).await, "second");
    assert_eq!(upstream.accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_idle_connection_on_which_anything_comes_is_closed() {
    let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let upstream = listen(move |mut stream: tokio::net::TcpStream| {
        let closed = closed.clone();
        async move {
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(FIRST).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let _ = stream.write_all(POISON).await;
            closed
                .send(stream.read(&mut asked).await.unwrap_or(0))
                .unwrap();
        }
    })
    .await;
    let egress = egress();
    assert_eq!(body(&egress, &upstream.uri("/")).await, "first");
    assert_eq!(closes.recv().await, Some(0), "another request came");
    while !egress.connections().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_response_with_a_length_and_chunks_is_refused_and_the_last_on_its_connection() {
    let upstream = listen(|mut stream: tokio::net::TcpStream| async move {
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
            let both =
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
                         5\r\nfine\n\r\n0\r\n\r\n";
            let _ = stream.write_all(both).await;
        }
    })
    .await;
    let egress = egress();
    for nth in 1..=3 {
        let error = send(&egress, get(&upstream.uri("/"))).await.unwrap_err();
        assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
        assert!(headwater_core::explain(&error).contains("transfer-encoding"));
        assert_eq!(upstream.accepted(), nth);
        while !egress.connections().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn interim_responses_without_end_are_an_error_long_before_the_response_is_late() {
    let upstream = listen(|mut stream: tokio::net::TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let many = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000);
        while stream.write_all(&many).await.is_ok() {}
    })
    .await;
    let egress = egress();
    let error = send(&egress, get(&upstream.uri("/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::InterimResponses), "{error:?}");
    while !egress.connections().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// An upstream that is faster than its reader, so that no read ever waits.
#[tokio::test]
async fn interim_responses_that_come_faster_than_they_are_read_are_an_error_too() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let many = b"HTTP/1.1 103 E\r\nlink: <x>\r\n\r\n".repeat(4_000);
        while stream.write_all(&many).is_ok() {}
    });
    let egress = egress();
    let error = send(&egress, get(&uri)).await.unwrap_err();
    assert!(matches!(error, EgressError::InterimResponses), "{error:?}");
    drop(egress);
    while !upstream.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn some_interim_responses_are_passed_over_and_the_next_request_may_have_as_many() {
    let upstream = listen(|mut stream: tokio::net::TcpStream| async move {
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
            let some = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
            let _ = stream.write_all(&[&some, FIRST].concat()).await;
        }
    })
    .await;
    let egress = egress();
    for _ in 0..3 {
        assert_eq!(body(&egress, &upstream.uri("/")).await, "first");
        idle(&egress).await;
    }
    assert_eq!(upstream.accepted(), 1);
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn interim_responses_without_end_are_an_error_over_http_2_too() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let upstream = listen(|mut stream: tokio::net::TcpStream| async move {
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
        // The preface, settings and the request are enough.
        let _ = stream.read(&mut [0; 1024]).await;
        // `:status: 103`, END_HEADERS.
        let hints = frame(HEADERS, 4, 1, b"\x08\x03103").repeat(1_000);
        let (mut reads, mut writes) = stream.split();
        let reading =
            async { while reads.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
        let writing = async { while writes.write_all(&hints).await.is_ok() {} };
        tokio::join!(reading, writing);
    })
    .await;
    let egress = Egress::new(EgressParams {
        grants: everything(),
        h2c: vec![upstream.address.to_string().parse::<H2c>().unwrap()],
        ..EgressParams::new("test")
    });
    let error = send(&egress, get(&upstream.uri("/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::InterimResponses), "{error:?}");
}

#[tokio::test]
async fn an_http_2_connection_serves_more_requests_than_headers_are_saved_for() {
    let upstream = serve(|_| async { Response::new(full("ok")) }).await;
    let egress = Egress::new(EgressParams {
        grants: everything(),
        h2c: vec![upstream.address.to_string().parse::<H2c>().unwrap()],
        ..EgressParams::new("test")
    });
    for _ in 0..300 {
        let request = Request::get(upstream.uri("/")).body(full("")).unwrap();
        let answer = send(&egress, request).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    assert_eq!(upstream.accepted(), 1);
}
