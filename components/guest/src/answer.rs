use crate::{BodyEnd, Fields, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

/// The end of a complete body without trailers.
pub const WHOLE_BODY: fn() -> BodyEnd = || Ok(None);

/// Returns a `text/plain` answer of known length.
///
/// The body is written by a spawned task: the host starts to read it only once the response has been
/// returned.
pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
    let body = body.into();
    let headers = Fields::from_list(&[
        ("content-type".into(), b"text/plain".into()),
        ("content-length".into(), body.len().to_string().into()),
    ])
    .expect("these headers are valid");
    let (mut writer, reader) = wit_stream::new();
    // A dropped writer of a future sends the default: here, no trailers.
    let (_, end) = wit_future::new(WHOLE_BODY);
    let (response, _sent) = Response::new(headers, Some(reader), end);
    response
        .set_status_code(status)
        .expect("the status code is valid");
    spawn_local(async move {
        // A rest was not wanted: the client has left.
        writer.write_all(body).await;
    });
    response
}
