use anyhow::{Context, Result, ensure};
use bytes::Bytes;

/// A received request, or whatever was received instead.
#[derive(Debug, Clone)]
pub struct Message {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// The whole head, including the empty line.
    pub head: String,
    /// The body, or the part that had arrived when the connection ended.
    pub body: Bytes,
    /// The trailers after a chunked body, as lines.
    pub trailers: Vec<String>,
    /// True if the whole body arrived.
    pub complete: bool,
}

/// The number of bytes that a body takes up, its contents, and the trailers after it.
type Body = (usize, Vec<u8>, Vec<String>);

impl Message {
    pub(super) fn new(connection: usize, head: &[u8]) -> Self {
        Self {
            connection,
            head: String::from_utf8_lossy(head).into_owned(),
            body: Bytes::new(),
            trailers: Vec::new(),
            complete: false,
        }
    }

    /// Returns the request line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// Returns the path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// Returns the values of a header, in order.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1);
        let fields = lines.filter_map(|line| line.split_once(':'));
        fields
            .filter(|(has, _)| has.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// Returns true if it begins like a request. The rest of another request's body does not.
    #[must_use]
    pub fn is_request(&self) -> bool {
        let mut words = self.line().split(' ');
        let method = words.next().unwrap_or_default();
        !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase())
            && words.next().is_some_and(|target| target.starts_with('/'))
            && words.next() == Some("HTTP/1.1")
            && words.next().is_none()
            && self.head.ends_with("\r\n\r\n")
    }

    /// Parses the body at the beginning of `bytes`; `None` if it is incomplete.
    pub(super) fn body_in(&self, bytes: &[u8]) -> Result<Option<Body>> {
        let lengths = self.header("content-length");
        if self.header("transfer-encoding") == ["chunked"] {
            ensure!(lengths.is_empty(), "a length beside chunks");
            return chunked(bytes);
        }
        ensure!(lengths.len() <= 1, "several lengths");
        let length: usize = match lengths.first() {
            Some(length) => length.parse()?,
            None => 0,
        };
        Ok(bytes
            .get(..length)
            .map(|body| (length, body.to_vec(), Vec::new())))
    }
}

fn chunked(bytes: &[u8]) -> Result<Option<Body>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some((size, next)) = line(bytes, at)? else {
            return Ok(None);
        };
        let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
        at = next;
        if size == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        ensure!(chunk.ends_with(b"\r\n"), "a chunk without an end");
        body.extend(&chunk[..size]);
        at += size + 2;
    }
    let mut trailers = Vec::new();
    while let Some((trailer, next)) = line(bytes, at)? {
        at = next;
        if trailer.is_empty() {
            return Ok(Some((at, body, trailers)));
        }
        trailers.push(trailer.to_owned());
    }
    Ok(None)
}

/// Returns the line at an offset, and the offset of the next one.
fn line(bytes: &[u8], at: usize) -> Result<Option<(&str, usize)>> {
    let rest = &bytes[at..];
    match rest.windows(2).position(|it| it == b"\r\n") {
        Some(end) => Ok(Some((std::str::from_utf8(&rest[..end])?, at + end + 2))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let message = Message::new(0, b"POST /x?y HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
        assert!(message.is_request());
        assert_eq!(message.path(), "/x");
        assert!(message.body_in(b"ab").unwrap().is_none());
        let (length, body, _) = message.body_in(b"abcGET").unwrap().unwrap();
        assert_eq!((length, &*body), (3, &b"abc"[..]));
        let left_over = Message::new(0, b"bbGET /x HTTP/1.1\r\n\r\n");
        assert!(!left_over.is_request());
    }

    #[test]
    fn chunks_are_put_together_and_trailers_kept() {
        let message = Message::new(0, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        let wire = b"2\r\nab\r\n1\r\nc\r\n0\r\nx: y\r\n\r\nGET";
        let (length, body, trailers) = message.body_in(wire).unwrap().unwrap();
        assert_eq!((length, &*body), (wire.len() - 3, &b"abc"[..]));
        assert_eq!(trailers, ["x: y"]);
        assert!(message.body_in(&wire[..10]).unwrap().is_none());
        assert!(message.body_in(b"zz\r\n").is_err());
    }
}
