//! C5: HTTP/2 clients that cost more than they should, with hand-written frames (RFC 9113).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::testing::{Running, each, get_h2, h2, params, route, start_with};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET /` or `POST /` from HPACK's static table (RFC 7541 A).
fn head(method: u8) -> Vec<u8> {
    let mut head = vec![method, 0x86, 0x84, 0x01, 9];
    head.extend(b"x.example");
    head
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// The numbers of the streams that a client opens.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

async fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// Sends all bytes while it reads; returns the error code of the GOAWAY that ended the connection.
async fn goaway(stream: TcpStream, bytes: Vec<u8>) -> Option<u32> {
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        // Fails when the server closes.
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut received = Vec::new();
    // A reset is as good an end as a close.
    while reading
        .read_buf(&mut received)
        .await
        .is_ok_and(|read| read > 0)
    {}
    drop(sending.await);
    let mut rest = &received[..];
    let mut code = None;
    while let Some((header, more)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let Some((payload, more)) = more.split_at_checked(length) else {
            break;
        };
        if header[3] == GOAWAY {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = more;
    }
    code
}

/// A server that never answers a POST, and a count of requests.
async fn serve() -> (Running, Arc<AtomicUsize>) {
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let handler = each(move |request: http::Request<headwater_core::Body>, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if request.method() == http::Method::POST {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(headwater_core::empty()))
        }
    });
    let mut params = params();
    params.connection.send_timeout = Duration::from_millis(40);
    (start_with(params, [route("/...", handler)]).await, handled)
}

async fn others_are_served(server: &Running) {
    let answer = h2(server.address).await.send_request(get_h2("/"));
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn c5_rapid_resets_end_the_connection() {
    let (server, handled) = serve().await;
    let mut bytes = Vec::new();
    for id in streams().take(20_000) {
        bytes.extend(frame(HEADERS, END_HEADERS, id, &head(POST)));
        bytes.extend(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
    }
    let stream = connect(server.address).await;
    assert_eq!(goaway(stream, bytes).await, Some(ENHANCE_YOUR_CALM));
    assert!(handled.load(Ordering::Relaxed) < 1_000);
    others_are_served(&server).await;
}

#[tokio::test]
async fn c5_a_head_without_an_end_ends_the_connection() {
    let (server, handled) = serve().await;
    let mut bytes = frame(HEADERS, 0, 1, &head(GET));
    for _ in 0..20_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"));
    }
    let stream = connect(server.address).await;
    assert_eq!(goaway(stream, bytes).await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(handled.load(Ordering::Relaxed), 0);
    others_are_served(&server).await;
}

#[tokio::test]
async fn c5_data_frames_of_nothing_end_the_connection() {
    let (server, _) = serve().await;
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &head(POST));
    for _ in 0..200_000 {
        bytes.extend(frame(DATA, 0, 1, b""));
    }
    let stream = connect(server.address).await;
    assert_eq!(goaway(stream, bytes).await, Some(ENHANCE_YOUR_CALM));
    others_are_served(&server).await;
}

#[tokio::test]
async fn c5_whoever_asks_for_signs_of_life_and_reads_none_is_closed() {
    let (server, _) = serve().await;
    for one in [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"),
    ] {
        let mut stream = connect(server.address).await;
        let many = one.repeat(1_000);
        // As long as the server accepts them.
        while stream.write_all(&many).await.is_ok() {}
        others_are_served(&server).await;
    }
}

#[tokio::test]
async fn c5_a_small_head_that_unfolds_to_a_huge_one_reaches_no_service() {
    let (server, handled) = serve().await;
    for (references, reach) in [(2, 1), (1_000, 0)] {
        // Puts one field of 4000 bytes into the table, and then refers to it.
        let mut bomb = head(GET);
        // 127, and the rest of the length in groups of seven bits (RFC 7541 5.1).
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'a'; 4_000]);
        bomb.extend(std::iter::repeat_n(0xbe, references));
        let mut bytes = frame(HEADERS, END_HEADERS | 1, 1, &bomb);
        bytes.extend(frame(PING, 0, 0, b"12345678"));
        let mut stream = connect(server.address).await;
        stream.write_all(&bytes).await.unwrap();
        // The stream or the connection is refused; either way the server has read it by then.
        let mut received = Vec::new();
        let pong = frame(PING, 1, 0, b"12345678");
        while !received.windows(pong.len()).any(|bytes| bytes == pong) {
            if !stream
                .read_buf(&mut received)
                .await
                .is_ok_and(|read| read > 0)
            {
                break;
            }
        }
        others_are_served(&server).await;
        // The other connection's request is the one more.
        assert_eq!(handled.swap(0, Ordering::Relaxed), reach + 1);
    }
}
