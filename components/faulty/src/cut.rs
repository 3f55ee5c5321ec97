//! Bodies without a proper end: `GET /late-trap`, `/trap-at-end?length=0&head=50`, `/drop-body`,
//! `/trailer-error`, `/no-end`; and a slow one with a proper end: `/drip?to=URL`.

use crate::forever;
use guest::{BodyEnd, Call, ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, wait};
use std::hint::black_box;
use wasip3::wit_bindgen::{FutureWriter, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// A head without `content-length`; the body and its end are not written yet.
fn begun() -> (Response, StreamWriter<u8>, FutureWriter<BodyEnd>) {
    begun_with(&[("content-type".into(), b"text/plain".into())])
}

fn begun_with(
    headers: &[(String, Vec<u8>)],
) -> (Response, StreamWriter<u8>, FutureWriter<BodyEnd>) {
    let headers = Fields::from_list(headers).expect("the headers are valid");
    let (writer, reader) = wit_stream::new();
    let (end_writer, end) = wit_future::new(WHOLE_BODY);
    let (response, _sent) = Response::new(headers, Some(reader), end);
    (response, writer, end_writer)
}

fn deliberate() -> ErrorCode {
    ErrorCode::InternalError(Some("deliberate error in the middle of a body".to_owned()))
}

/// Sends a head and five bytes; traps after they had time to leave.
pub fn late_trap() -> Response {
    let (response, mut writer, end_writer) = begun();
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        wait(50).await;
        // Both ends of the body are still open: only the trap ends it.
        black_box((&writer, &end_writer));
        panic!("deliberate panic in the middle of a body");
    });
    response
}

/// Sends a whole body of five bytes and traps immediately afterwards; with `head`, this many
/// milliseconds after the head. With `length=1` the head has `content-length: 5`; with `trailers=1`
/// the body ends in trailers.
pub fn trap_at_end(query: &Query) -> Response {
    let head = query.number("head", 0);
    let (response, mut writer, end_writer) = match query.number("length", 0) {
        0 => begun(),
        _ => begun_with(&[("content-length".into(), b"5".into())]),
    };
    let end = match query.number("trailers", 0) {
        0 => WHOLE_BODY(),
        _ => {
            let trailers = [("x-last".to_owned(), b"yes".to_vec())];
            Ok(Some(
                Fields::from_list(&trailers).expect("the trailers are valid"),
            ))
        }
    };
    spawn_local(async move {
        if head > 0 {
            wait(head).await;
        }
        writer.write_all(b"first".into()).await;
        drop(writer);
        let _ = end_writer.write(end).await;
        panic!("deliberate panic at the end of a body");
    });
    response
}

/// Sends five bytes; then drops the stream, and ends the body with an error.
pub fn drop_body() -> Response {
    let headers = Fields::new();
    let (mut writer, reader) = wit_stream::new();
    // A dropped writer sends this.
    let (end_writer, end) = wit_future::new(|| BodyEnd::Err(deliberate()));
    let (response, _sent) = Response::new(headers, Some(reader), end);
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        drop((writer, end_writer));
    });
    response
}

/// Sends five bytes, the proper end of the stream, and an error instead of trailers.
pub fn trailer_error() -> Response {
    let (response, mut writer, end_writer) = begun();
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        drop(writer);
        let _ = end_writer.write(Err(deliberate())).await;
    });
    response
}

/// Sends five bytes and the proper end of the stream, but never ends the body with or without
/// trailers.
pub fn no_end() -> Response {
    let (response, mut writer, end_writer) = begun();
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        drop(writer);
        let _kept = end_writer;
        forever().await;
    });
    response
}

/// Sends `first`, and `last` once the upstream has answered. Without an upstream, `last` is never
/// sent.
pub fn drip(query: Query, request: &Request) -> Response {
    let call = Call::to(&query, request).ok();
    let (response, mut writer, end_writer) = begun();
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        match call {
            Some(call) => {
                // A failed call is finished, too.
                let _ = call.make(0).await;
            }
            None => forever().await,
        }
        writer.write_all(b"last".into()).await;
        drop((writer, end_writer));
    });
    response
}
