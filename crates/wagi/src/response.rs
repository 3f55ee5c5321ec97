//! Parses a response head from a module's output before the blank line (WAGI 0.8.1's grammar).

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Response, StatusCode};
use thiserror::Error;

use crate::head::HeadTooLarge;
use crate::settings::Compat;

/// The maximum number of warnings for one response; a module could cause millions.
const MOST_WARNINGS: usize = 8;

/// A response's head, and what was omitted from it.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) response: Response<()>,
    /// The body's length according to the module. The server counts the bytes for the header.
    pub(crate) declared: Option<u64>,
    /// A sentence for the log about each header line that was omitted or replaced.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BadOutput {
    #[error("the module's output has no content-type, status or location header")]
    Insufficient,
    #[error("the module's response headers are not UTF-8")]
    NotUtf8,
    #[error(transparent)]
    HeadTooLarge(#[from] HeadTooLarge),
}

/// Parses a response head from a header block of [`crate::head::HeadScanner`].
///
/// Unlike WAGI 0.8.1, which kept headers in a map of random order, it keeps duplicates, and an
/// explicit status wins over the 302 of a location. Headers about the framing of the message are
/// left to the server. A value that HTTP does not allow is omitted (0.8.1 dropped the connection).
///
/// With [`Compat::Strict`] the last of several headers of one name wins, as it did in WAGI if they
/// were spelled alike. Whatever was random there, or ended the connection, is the same as without
/// it.
pub(crate) fn compose(head: &[u8], compat: Compat) -> Result<Composed, BadOutput> {
    let head = std::str::from_utf8(head).map_err(|_| BadOutput::NotUtf8)?;
    let mut builder = Builder {
        replaces: compat == Compat::Strict,
        ..Builder::default()
    };
    for line in head.trim().split('\n').filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) => builder.header(name.trim(), value.trim())?,
            None => builder.warn(|| {
                format!(
                    "a header line without a colon: {}",
                    excerpt(line.as_bytes())
                )
            }),
        }
    }
    builder.finish()
}

/// Returns the first bytes of a module's output in printable form, for the log.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const LENGTH: usize = 200;
    let more = if bytes.len() > LENGTH { "…" } else { "" };
    format!(
        "\"{}\"{more}",
        bytes[..bytes.len().min(LENGTH)].escape_ascii()
    )
}

#[derive(Debug, Default)]
struct Builder {
    response: Response<()>,
    /// The last status line; the inner `None` is an invalid status.
    explicit: Option<Option<StatusCode>>,
    sufficient: bool,
    /// If true, a header replaces an earlier one of its name.
    replaces: bool,
    declared: Option<u64>,
    warnings: Vec<String>,
}

impl Builder {
    fn header(&mut self, name: &str, value: &str) -> Result<(), BadOutput> {
        if name.eq_ignore_ascii_case("status") {
            self.sufficient = true;
            let status = status(value);
            if status.is_none() {
                self.warn(|| format!("not a status: {}", excerpt(value.as_bytes())));
            }
            self.explicit = Some(status);
            return Ok(());
        }
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            self.warn(|| format!("not a header name: {}", excerpt(name.as_bytes())));
            return Ok(());
        };
        let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
            self.warn(|| format!("the value of {header} contains control characters"));
            return Ok(());
        };
        if header == CONTENT_LENGTH {
            self.declared = value.to_str().ok().and_then(|value| value.parse().ok());
            return Ok(());
        }
        if is_framing(&header) {
            self.warn(|| format!("only the server may set {header}"));
            return Ok(());
        }
        let single = header == CONTENT_TYPE || header == LOCATION;
        self.sufficient |= single;
        let headers = self.response.headers_mut();
        let result = if single || self.replaces {
            headers.try_insert(header, value).map(drop)
        } else {
            headers.try_append(header, value).map(drop)
        };
        result.map_err(|_| HeadTooLarge.into())
    }

    fn finish(mut self) -> Result<Composed, BadOutput> {
        if !self.sufficient {
            return Err(BadOutput::Insufficient);
        }
        let status = match self.explicit {
            Some(status) => status.unwrap_or(StatusCode::BAD_GATEWAY),
            None if self.response.headers().contains_key(LOCATION) => StatusCode::FOUND,
            None => StatusCode::OK,
        };
        *self.response.status_mut() = status;
        Ok(Composed {
            response: self.response,
            declared: self.declared,
            warnings: self.warnings,
        })
    }

    fn warn(&mut self, warning: impl FnOnce() -> String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning());
        }
    }
}

/// Parses the code before the reason phrase. A response cannot end with an interim status (1xx).
fn status(value: &str) -> Option<StatusCode> {
    let code = value.split(' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(code.as_bytes()).ok()?;
    (!status.is_informational()).then_some(status)
}

/// Returns true for headers about the message's framing rather than its content, which only the
/// server sets. A module that set them could make the next response on a connection look like a
/// part of its own.
fn is_framing(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::SET_COOKIE;
    use proptest::prelude::*;

    use super::*;
    use crate::head::{HeadScanner, LONGEST_HEAD};

    /// The result of a module's whole output.
    #[derive(Debug)]
    struct Whole {
        response: Response<Bytes>,
        declared: Option<u64>,
        warnings: Vec<String>,
    }

    fn whole(stdout: &[u8], compat: Compat) -> Result<Whole, BadOutput> {
        let mut head = HeadScanner::default();
        let used = head.push(stdout)?;
        let Composed {
            response,
            declared,
            warnings,
        } = compose(head.text(), compat)?;
        Ok(Whole {
            response: response.map(|()| Bytes::copy_from_slice(&stdout[used..])),
            declared,
            warnings,
        })
    }

    fn composed(stdout: &[u8]) -> Whole {
        whole(stdout, Compat::Default).unwrap()
    }

    fn failure(stdout: &[u8]) -> BadOutput {
        whole(stdout, Compat::Default).unwrap_err()
    }

    #[test]
    fn a_blank_line_parts_headers_from_body() {
        for (stdout, body) in [
            ("content-type: t\n\nbody", "body"),
            ("Content-Type: t\r\n\r\nbody", "body"),
            ("CONTENT-TYPE:t\n\r\nbody", "body"),
            ("content-type: t\r\n\nbody", "body"),
            // Carriage returns are allowed anywhere in the head, and are kept everywhere in the
            // body.
            (
                "con\rtent-type: t\n\r\r\nOh hi world\r\n",
                "Oh hi world\r\n",
            ),
            ("content-type: t\n\n\n\nbody\n\n", "\n\nbody\n\n"),
            ("content-type: t\n\n", ""),
            // A line of spaces is not blank, and a line feed at the start does not end the head.
            ("content-type: t\n  \n\nbody", "body"),
            ("\ncontent-type: t\n\nbody", "body"),
        ] {
            let response = composed(stdout.as_bytes()).response;
            assert_eq!(response.status(), 200, "{stdout:?}");
            assert_eq!(response.headers()[CONTENT_TYPE], "t", "{stdout:?}");
            assert_eq!(response.body(), body, "{stdout:?}");
        }
    }

    #[test]
    fn the_body_is_the_very_bytes() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\r\n\0\r\n\r\n").collect();
        let stdout = [b"content-type: t\n\n".as_slice(), &bytes].concat();
        assert_eq!(*composed(&stdout).response.body(), bytes);
    }

    #[test]
    fn output_without_what_makes_a_response_is_refused() {
        for stdout in [
            "",
            "\n",
            "\n\n",
            "\r\n\r\n",
            "hello, world\n",
            "content-type: t",
            "content-type: t\n",
            "content-type: t\nbody",
            "x-other: 1\n\nbody",
            "content-type\n\nbody",
            "content type: t\n\nbody",
            // A value that cannot be sent does not count.
            "content-type: a\x1bb\n\nbody",
            "\n\ncontent-type: t\n\nbody",
        ] {
            assert_eq!(
                failure(stdout.as_bytes()),
                BadOutput::Insufficient,
                "{stdout:?}"
            );
        }
        assert_eq!(failure(b"content-type: \xff\n\nbody"), BadOutput::NotUtf8);
    }

    #[test]
    fn status_and_location() {
        for (head, status) in [
            ("status: 404", 404),
            ("Status: 404 Not Found", 404),
            ("status:201", 201),
            ("status: 999", 999),
            ("location: /x", 302),
            ("location: /x\nstatus: 301", 301),
            ("status: 301 Moved\nlocation: /x", 301),
            ("status: 200\nlocation: /x", 200),
            ("status: 404\nstatus: 410", 410),
            // Invalid statuses: the body is kept, the status is 502.
            ("status: teapot", 502),
            ("status: 42", 502),
            ("status: 1000", 502),
            ("status:", 502),
            ("status: 404, Not Found", 502),
            ("status: 101", 502),
            ("location: /x\nstatus: -1", 502),
        ] {
            let response = composed(format!("{head}\n\nbody").as_bytes()).response;
            assert_eq!(response.status(), status, "{head:?}");
            assert_eq!(response.body(), "body", "{head:?}");
            assert!(!response.headers().contains_key("status"), "{head:?}");
            let location = head.contains("location").then_some("/x");
            let found = response
                .headers()
                .get(LOCATION)
                .map(|value| value.to_str().unwrap());
            assert_eq!(found, location, "{head:?}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_their_duplicates() {
        let stdout = "Set-Cookie: a=1\ncontent-type: t\nset-cookie: b=2\nSET-COOKIE: c=3\n\
            X-Url: http://h:1/\ncontent-type: u\n\n";
        let response = composed(stdout.as_bytes()).response;
        let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
        assert_eq!(response.headers()["x-url"], "http://h:1/");
        let types: Vec<_> = response.headers().get_all(CONTENT_TYPE).iter().collect();
        assert_eq!(types, ["u"], "the last, of what there can be one of only");

        let strict = whole(stdout.as_bytes(), Compat::Strict).unwrap().response;
        let cookies: Vec<_> = strict.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["c=3"], "WAGI 0.8.1 kept one");
        assert_eq!(strict.headers()["x-url"], "http://h:1/");
    }

    #[test]
    fn what_frames_the_message_is_left_to_the_server() {
        let stdout = "content-type: t\nContent-Length: 3\nTransfer-Encoding: chunked\n\
            Connection: close\nKeep-Alive: 1\nUpgrade: h2c\nTrailer: x\nTE: y\n\nbody";
        let Whole {
            response,
            declared,
            warnings,
        } = composed(stdout.as_bytes());
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.body(), "body");
        assert_eq!(declared, Some(3));
        assert_eq!(warnings.len(), 6);
    }

    #[test]
    fn odd_lines_are_left_out_and_told() {
        let stdout = b"content-type: t\nno colon here\nx-bell: a\x07b\nx y: 1\n: 2\n<b>: 3\n\
            x-high: caf\xc3\xa9\nx-tab: a\tb\nx-nul: a\0b\nx-empty:\n\n";
        let Whole {
            response, warnings, ..
        } = composed(stdout);
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            ["content-type", "x-high", "x-tab", "x-nul", "x-empty"]
        );
        assert_eq!(response.headers()["x-nul"], "ab");
        assert_eq!(response.headers()["x-high"].as_bytes(), "café".as_bytes());
        assert_eq!(
            warnings,
            [
                "a header line without a colon: \"no colon here\"",
                "the value of x-bell contains control characters",
                "not a header name: \"x y\"",
                "not a header name: \"\"",
                "not a header name: \"<b>\"",
            ]
        );
    }

    #[test]
    fn warnings_and_headers_are_bounded() {
        let many = "odd\n".repeat(10_000);
        let found = composed(format!("content-type: t\n{many}\nbody").as_bytes());
        assert_eq!(found.warnings.len(), MOST_WARNINGS);

        let long = format!("content-type: t\nx: {}\n\n", "a".repeat(LONGEST_HEAD));
        assert_eq!(
            failure(long.as_bytes()),
            BadOutput::HeadTooLarge(HeadTooLarge)
        );
        // More names than a header map can hold.
        let many: String = (0..30_000).map(|number| format!("{number:x}:\n")).collect();
        let many = format!("content-type: t\n{many}\n");
        assert_eq!(
            failure(many.as_bytes()),
            BadOutput::HeadTooLarge(HeadTooLarge)
        );
    }

    #[test]
    fn excerpts_are_printable_and_short() {
        assert_eq!(excerpt(b"a\n\x1b[2J\xff"), r#""a\n\x1b[2J\xff""#);
        assert_eq!(
            excerpt(&[b'a'; 300]).chars().filter(|c| *c == 'a').count(),
            200
        );
    }

    /// Tests text made of the bytes that matter to the grammar, in every order up to this length.
    #[test]
    fn no_short_output_panics() {
        const ALPHABET: &[u8] = b"\n\r:\0 a\xff1";
        for length in 0..=6_u32 {
            for number in 0..ALPHABET.len().pow(length) {
                let mut rest = number;
                let mut bytes = b"status:".to_vec();
                for _ in 0..length {
                    bytes.push(ALPHABET[rest % ALPHABET.len()]);
                    rest /= ALPHABET.len();
                }
                let bytes = Bytes::from(bytes);
                for output in [bytes.clone(), bytes.slice("status:".len()..)] {
                    if let Ok(found) = whole(&output, Compat::Default) {
                        assert!(output.ends_with(found.response.body()));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_output_panics(stdout in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = whole(&stdout, Compat::Strict);
        }

        #[test]
        fn no_header_panics(
            name in "(content-type|location|status|set-cookie|[a-zA-Z -]{0,9}|\\PC{0,4})",
            value in prop::collection::vec(any::<u8>(), 0..60),
            body in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut stdout = b"content-type: t\n".to_vec();
            stdout.extend_from_slice(name.as_bytes());
            stdout.push(b':');
            stdout.extend(value.iter().filter(|byte| **byte != b'\n'));
            stdout.extend_from_slice(b"\n\n");
            stdout.extend_from_slice(&body);
            match whole(&stdout, Compat::Default) {
                Ok(found) => prop_assert_eq!(found.response.body(), &body),
                Err(error) => prop_assert_eq!(error, BadOutput::NotUtf8),
            }
        }
    }
}
