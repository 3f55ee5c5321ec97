//! Streamed bodies in constant memory: an echo with trailers, one that never sees the bytes, a source, a
//! sink, and server-sent events.
//!
//! `POST /echo`, `POST /pass`, `GET /bytes?n=1048576`, `POST /count`, `GET /ticks?n=3&every=100`

use guest::{BodyEnd, ErrorCode, Fields, Query, Request, Response, text, wait};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// The number of bytes in one read.
const CHUNK: usize = 64 * 1024;

struct Stream;

impl wasip3::exports::http::handler::Guest for Stream {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        match query.path.as_str() {
            "/echo" => echo(request),
            "/pass" => pass(request),
            "/bytes" => bytes(query.number("n", 1024 * 1024)),
            "/count" => count(request).await,
            "/ticks" => ticks(query.number("n", 3), query.number("every", 100)),
            _ => Ok(text(404, "try /echo, /pass, /bytes, /count or /ticks\n")),
        }
    }
}

wasip3::http::service::export!(Stream);

/// Answers with the request's body and trailers as they arrive.
fn echo(request: Request) -> Result<Response, ErrorCode> {
    let headers = headers_of_echo(&request);
    let (mut from, from_end) = body_of(request);
    let (response, mut to, to_end) = streamed(headers);
    spawn_local(async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let (result, read) = from.read(chunk).await;
            let unsent = to.write_all(read).await;
            if !unsent.is_empty() {
                return;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
            chunk = Vec::with_capacity(CHUNK);
        }
        // The stream ends first, then the trailers follow, or the reason why there are none.
        drop((from, to));
        let _ = to_end.write(from_end.await).await;
    });
    Ok(response)
}

/// Answers with the request's body and trailers, without reading them: the host moves the bytes.
fn pass(request: Request) -> Result<Response, ErrorCode> {
    let headers = headers_of_echo(&request);
    let (from, from_end) = body_of(request);
    let (response, _sent) = Response::new(headers, Some(from), from_end);
    Ok(response)
}

fn headers_of_echo(request: &Request) -> Fields {
    let received = request.get_headers();
    let headers = Fields::new();
    // HTTP/1.1 sends only the trailers that `trailer` names.
    for name in ["content-type", "trailer"] {
        // The host may reject the header.
        let _ = headers.set(name, &received.get(name));
    }
    headers
}

/// Answers with `n` bytes, of which the byte at offset `i` is `i mod 251`.
fn bytes(n: u64) -> Result<Response, ErrorCode> {
    let (response, mut to, end) = streamed(content_type("application/octet-stream"));
    spawn_local(async move {
        // The length is a multiple of 251, so each chunk starts like the first.
        let chunk: Vec<u8> = (0..=250).cycle().take(251 * 256).collect();
        let mut left = n;
        while left > 0 {
            let length = left.min(chunk.len() as u64);
            if !to
                .write_all(chunk[..length as usize].to_vec())
                .await
                .is_empty()
            {
                return;
            }
            left -= length;
        }
        drop(to);
        let _ = end.write(Ok(None)).await;
    });
    Ok(response)
}

/// Answers with the length of the request's body. A cut body is an error.
async fn count(request: Request) -> Result<Response, ErrorCode> {
    let (mut from, end) = body_of(request);
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut length = 0;
    loop {
        let (result, read) = from.read(chunk).await;
        length += read.len() as u64;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
        chunk = read;
        chunk.clear();
    }
    drop(from);
    end.await?;
    Ok(text(200, format!("{length}\n")))
}

/// Answers with `n` events: the first at once, the others at intervals of `every` milliseconds.
fn ticks(n: u64, every: u64) -> Result<Response, ErrorCode> {
    let (response, mut to, end) = streamed(content_type("text/event-stream"));
    spawn_local(async move {
        for i in 0..n {
            if i > 0 {
                wait(every).await;
            }
            if !to
                .write_all(format!("data: tick {i}\n\n").into())
                .await
                .is_empty()
            {
                return;
            }
        }
        drop(to);
        let _ = end.write(Ok(None)).await;
    });
    Ok(response)
}

fn content_type(value: &str) -> Fields {
    Fields::from_list(&[("content-type".into(), value.into())]).expect("the header is valid")
}

/// Returns the request's body and its end.
fn body_of(request: Request) -> (StreamReader<u8>, FutureReader<BodyEnd>) {
    let (_, accepted) = wit_future::new(|| Ok(()));
    Request::consume_body(request, accepted)
}

/// Returns a response whose body is not written yet. If its writers are dropped before the end, the
/// host sees that the body was cut short.
fn streamed(headers: Fields) -> (Response, StreamWriter<u8>, FutureWriter<BodyEnd>) {
    let (writer, reader) = wit_stream::new();
    let (end_writer, end) = wit_future::new(|| {
        Err(ErrorCode::InternalError(Some(
            "the body was cut short".to_owned(),
        )))
    });
    let (response, _sent) = Response::new(headers, Some(reader), end);
    (response, writer, end_writer)
}
