//! A request that is sent again and again, and the answer that is expected.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use headwater_tests::client::{self, Body};
use http::header::{CONTENT_TYPE, HOST};
use serde_json::json;

/// A body to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// None: the request is a `GET`.
    None,
    /// A JSON document of [`DOCUMENT`] bytes.
    Json,
    /// This many bytes, in chunks of [`CHUNK`], or with a known length if they fit in one.
    Bytes(usize),
}

/// The expected body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    /// A text that has this part.
    Text(&'static str),
    /// A body of this length.
    Length(usize),
}

/// A request to a server.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Paths, one for each connection in turn.
    pub(crate) paths: Arc<[String]>,
    pub(crate) payload: Payload,
    pub(crate) expected: Expected,
}

/// The length of the JSON document.
pub(crate) const DOCUMENT: usize = 1024;
/// The length of the chunks of a long body.
const CHUNK: usize = 1 << 20;
static ZEROES: [u8; CHUNK] = [0; CHUNK];

// === impl Payload ===

impl Payload {
    /// Returns the whole body, for one that is not sent in chunks.
    fn bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::Json => document().into(),
            Self::Bytes(length) => Bytes::from_static(&ZEROES[..length.min(CHUNK)]),
        }
    }

    fn body(self) -> Body {
        match self {
            Self::None => client::empty(),
            Self::Bytes(length) if length > CHUNK => {
                let chunk = Bytes::from_static(&ZEROES);
                client::streamed((0..length / CHUNK).map(move |_| chunk.clone()), None)
            }
            payload => client::full(payload.bytes()),
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            _ => "application/octet-stream",
        }
    }
}

// === impl Request ===

impl Request {
    /// Returns a request for this path that takes any answer.
    pub(crate) fn get(path: &str) -> Self {
        Self {
            paths: [path.to_owned()].into(),
            payload: Payload::None,
            expected: Expected::Any,
        }
    }

    /// Returns the same request with at most a KiB to send, to find out if a server is ready.
    pub(crate) fn small(&self) -> Self {
        let payload = match self.payload {
            Payload::Bytes(length) => Payload::Bytes(length.min(1024)),
            payload => payload,
        };
        Self {
            payload,
            ..self.clone()
        }
    }

    /// Returns the bytes of the request of a connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the body is sent in chunks.
    pub(crate) fn raw(&self, connection: usize, authority: &str) -> Result<Vec<u8>> {
        let path = self.path(connection);
        if self.payload == Payload::None {
            return Ok(format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").into_bytes());
        }
        let body = self.payload.bytes();
        if let Payload::Bytes(length) = self.payload {
            ensure!(body.len() == length, "the body is sent in chunks");
        }
        let kind = self.payload.content_type();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n"
        );
        Ok([head.as_bytes(), &body].concat())
    }

    /// Returns the request of a connection for hyper.
    pub(crate) fn http(&self, connection: usize, authority: &str) -> Result<http::Request<Body>> {
        let path = self.path(connection);
        let request = match self.payload {
            Payload::None => http::Request::get(path),
            payload => http::Request::post(path).header(CONTENT_TYPE, payload.content_type()),
        };
        let request = request.header(HOST, authority).body(self.payload.body());
        request.context("making a request")
    }

    fn path(&self, connection: usize) -> &str {
        &self.paths[connection % self.paths.len()]
    }
}

// === impl Expected ===

impl Expected {
    /// Compares the body of an answer.
    pub(crate) fn check(self, body: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
        match self {
            Self::Any => {}
            Self::Text(part) => ensure!(text.contains(part), "no `{part}` in `{text}`"),
            Self::Length(length) => ensure!(
                body.len() == length,
                "{} bytes in place of {length}: `{text}`",
                body.len()
            ),
        }
        Ok(())
    }
}

/// Returns a JSON document of [`DOCUMENT`] bytes, without white space.
fn document() -> String {
    let write = |padding: usize| {
        let items: Vec<_> = (0..8)
            .map(|item| {
                json!({"id": 1000 + item, "name": format!("item {item}"), "price": 99, "stock": true,
                       "tags": ["one", "two"]})
            })
            .collect();
        json!({"items": items, "note": "n".repeat(padding), "total": 8}).to_string()
    };
    write(DOCUMENT.saturating_sub(write(0).len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(payload: Payload) -> Request {
        Request {
            paths: ["/a".to_owned(), "/b".to_owned()].into(),
            payload,
            expected: Expected::Any,
        }
    }

    #[test]
    fn the_document_has_its_length_and_is_json() {
        assert_eq!(document().len(), DOCUMENT);
        serde_json::from_str::<serde_json::Value>(&document()).unwrap();
    }

    #[test]
    fn connections_take_turns_with_the_paths() {
        let get = request(Payload::None);
        let raw = get.raw(3, "h:1").unwrap();
        assert_eq!(raw, b"GET /b HTTP/1.1\r\nhost: h:1\r\n\r\n");
        assert_eq!(get.http(2, "h:1").unwrap().uri(), "/a");
    }

    #[test]
    fn a_body_of_known_length_follows_the_head() {
        let raw = request(Payload::Json).raw(0, "h:1").unwrap();
        let raw = String::from_utf8(raw).unwrap();
        assert!(raw.contains("content-length: 1024\r\n\r\n{\"items\""));
        request(Payload::Bytes(CHUNK + 1)).raw(0, "h").unwrap_err();
        let small = request(Payload::Bytes(CHUNK + 1)).small();
        assert_eq!(small.payload, Payload::Bytes(1024));
    }

    #[test]
    fn an_unexpected_answer_is_an_error() {
        Expected::Text("Hello").check(b"Hello!").unwrap();
        Expected::Length(3).check(b"abc").unwrap();
        Expected::Text("Hello").check(b"Oh no").unwrap_err();
        Expected::Length(3).check(b"ab").unwrap_err();
    }
}
