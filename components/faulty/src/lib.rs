//! All the ways to go wrong, each under a path of its own, and a good answer under every other: what
//! goes wrong for one request must leave the others alone.
//!
//! `GET /trap`, `/error`, `/spin`, `/never`, `/late-trap`

use guest::{ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, text, wait};
use std::hint::black_box;
use wasip3::{spawn_local, wit_future, wit_stream};

const AN_HOUR: u64 = 60 * 60 * 1000;

struct Faulty;

impl wasip3::exports::http::handler::Guest for Faulty {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        match Query::of(&request).path.as_str() {
            "/trap" => panic!("deliberate panic"),
            "/error" => Err(ErrorCode::InternalError(Some(
                "deliberate error".to_owned(),
            ))),
            "/spin" => loop {
                black_box(());
            },
            "/never" => loop {
                wait(AN_HOUR).await;
            },
            "/late-trap" => Ok(late_trap()),
            // The request's body is dropped unread.
            _ => Ok(text(200, "fine\n")),
        }
    }
}

wasip3::http::service::export!(Faulty);

/// A head and five bytes; then, when they have had time to leave, a trap.
fn late_trap() -> Response {
    let headers = Fields::from_list(&[("content-type".into(), b"text/plain".into())])
        .expect("the header is valid");
    let (mut writer, reader) = wit_stream::new();
    let (end_writer, end) = wit_future::new(WHOLE_BODY);
    let (response, _sent) = Response::new(headers, Some(reader), end);
    spawn_local(async move {
        writer.write_all(b"first".into()).await;
        wait(50).await;
        // Both ends of the body are still open: nothing but the trap says that it is over.
        black_box((&writer, &end_writer));
        panic!("deliberate panic in the middle of a body");
    });
    response
}
