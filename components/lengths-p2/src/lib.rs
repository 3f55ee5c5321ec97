//! Uses of `content-length` by a guest of `wasi:http@0.2`: it announces another length than it
//! writes, and sends the same length twice.
//!
//! `GET /promise?length=10&write=3`, `GET /drop?length=10&write=3`, `ANY /copy`

use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::StreamError;

const CONTENT_LENGTH: &str = "content-length";

struct Lengths;

/// The end of a body after everything was written.
#[derive(PartialEq)]
enum End {
    Finish,
    Drop,
}

impl wasip2::exports::http::incoming_handler::Guest for Lengths {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let asked = request.path_with_query().unwrap_or_default();
        let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
        let made = match path {
            "/copy" => copy(request).map(|(fields, body)| (fields, body, End::Finish)),
            "/drop" => promise(query).map(|(fields, body)| (fields, body, End::Drop)),
            _ => promise(query).map(|(fields, body)| (fields, body, End::Finish)),
        };
        match made {
            Ok((fields, body, end)) => answer(out, fields, &body, end),
            Err(code) => ResponseOutparam::set(out, Err(code)),
        }
    }
}

wasip2::http::proxy::export!(Lengths);

/// Returns as many bytes as the query says, and the length that it says.
fn promise(query: &str) -> Result<(Fields, Vec<u8>), ErrorCode> {
    let number = |name: &str, default| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(of, _)| *of == name);
        value.map_or(default, |(_, value)| value.parse().unwrap_or(default))
    };
    let fields = Fields::new();
    add(&fields, CONTENT_LENGTH, number("length", 10))?;
    Ok((fields, vec![b'x'; number("write", 3)]))
}

/// Returns the request's fields, one after another, and its body, whose length is added to the
/// fields as if they did not have it.
fn copy(request: IncomingRequest) -> Result<(Fields, Vec<u8>), ErrorCode> {
    let fields = Fields::new();
    for (name, value) in request.headers().entries() {
        append(&fields, &name, &value)?;
    }
    let incoming = request.consume().expect("nobody else has taken it");
    let stream = incoming.stream().expect("nobody else has taken it");
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(mut bytes) => body.append(&mut bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(ErrorCode::InternalError(Some(format!("{error:?}")))),
        }
    }
    drop(stream);
    drop(IncomingBody::finish(incoming));
    add(&fields, CONTENT_LENGTH, body.len())?;
    Ok((fields, body))
}

fn answer(out: ResponseOutparam, fields: Fields, body: &[u8], end: End) {
    let response = OutgoingResponse::new(fields);
    let outgoing = response.body().expect("nobody else has taken it");
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().expect("nobody else has taken it");
    for chunk in body.chunks(4096) {
        if let Err(error) = stream.blocking_write_and_flush(chunk) {
            eprintln!("the body was not written: {error:?}");
            break;
        }
    }
    drop(stream);
    if end == End::Finish
        && let Err(code) = OutgoingBody::finish(outgoing, None)
    {
        eprintln!("the response was not sent: {code:?}");
    }
}

fn add(fields: &Fields, name: &str, number: usize) -> Result<(), ErrorCode> {
    append(fields, name, number.to_string().as_bytes())
}

fn append(fields: &Fields, name: &str, value: &[u8]) -> Result<(), ErrorCode> {
    fields.append(name, value).map_err(|problem| {
        ErrorCode::InternalError(Some(format!("{name} cannot be added: {problem:?}")))
    })
}
