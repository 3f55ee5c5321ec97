//! Uses of `content-length` by a guest: it announces another length than it writes, and sends the
//! same length twice.
//!
//! `GET /promise?length=10&write=3`, `ANY /copy`

use guest::{ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, text, whole_body};
use wasip3::{spawn_local, wit_future, wit_stream};

const CONTENT_LENGTH: &str = "content-length";

struct Lengths;

impl wasip3::exports::http::handler::Guest for Lengths {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        match query.path.as_str() {
            "/promise" => {
                let fields = Fields::new();
                add(&fields, CONTENT_LENGTH, query.number("length", 10))?;
                let bytes = query.number("write", 3) as usize;
                Ok(answer(fields, vec![b'x'; bytes]))
            }
            "/copy" => copy(request).await,
            _ => Ok(text(404, "try /promise or /copy\n")),
        }
    }
}

wasip3::http::service::export!(Lengths);

/// Answers with the request's fields, one after another, and its body, whose length is added to the
/// fields as if they did not have it.
async fn copy(request: Request) -> Result<Response, ErrorCode> {
    let fields = Fields::new();
    for (name, value) in request.get_headers().copy_all() {
        append(&fields, &name, &value)?;
    }
    let body = whole_body(request).await?;
    add(&fields, CONTENT_LENGTH, body.len() as u64)?;
    Ok(answer(fields, body))
}

/// Returns an answer with these fields and this body, which is written when the host reads it.
fn answer(fields: Fields, body: Vec<u8>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (_, end) = wit_future::new(WHOLE_BODY);
    let (response, sent) = Response::new(fields, Some(reader), end);
    spawn_local(async move {
        writer.write_all(body).await;
        drop(writer);
        if let Err(code) = sent.await {
            eprintln!("the response was not sent: {code:?}");
        }
    });
    response
}

fn add(fields: &Fields, name: &str, number: u64) -> Result<(), ErrorCode> {
    append(fields, name, number.to_string().as_bytes())
}

fn append(fields: &Fields, name: &str, value: &[u8]) -> Result<(), ErrorCode> {
    fields.append(name, value).map_err(|problem| {
        ErrorCode::InternalError(Some(format!("{name} cannot be added: {problem:?}")))
    })
}
