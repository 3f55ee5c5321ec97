//! Reads a JSON document, and answers with it: written anew, without the white space. It shows the
//! cost of a small body each way and of some work in the guest.
//!
//! `POST /`

use guest::{ErrorCode, Fields, Request, Response, WHOLE_BODY, text, whole_body};
use serde_json::Value;
use wasip3::{spawn_local, wit_future, wit_stream};

struct Echo;

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let document: Value = match serde_json::from_slice(&whole_body(request).await?) {
            Ok(document) => document,
            Err(error) => return Ok(text(400, format!("{error}\n"))),
        };
        let answer = document.to_string().into_bytes();
        let headers = Fields::from_list(&[
            ("content-type".into(), b"application/json".into()),
            ("content-length".into(), answer.len().to_string().into()),
        ])
        .expect("these headers are valid");
        let (mut writer, reader) = wit_stream::new();
        let (_, end) = wit_future::new(WHOLE_BODY);
        let (response, _sent) = Response::new(headers, Some(reader), end);
        spawn_local(async move {
            // A rest was not wanted: the client has left.
            writer.write_all(answer).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Echo);
