//! Parses `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! The parser is our own, because within a quoted string, which clients may send, a comma does not split the
//! list. The existing crates split at every comma.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::request::forwarded::sender::Sender;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// One proxy's statement about the request that it received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hop<'a> {
    pub(super) sender: Sender,
    pub(super) proto: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
}

/// The error of a field that does not follow RFC 7239.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a `forwarded` field is malformed")]
pub(super) struct Malformed;

/// Parses `Forwarded`, the nearest proxy last.
pub(super) fn forwarded(headers: &HeaderMap) -> Result<Vec<Hop<'_>>, Malformed> {
    let mut hops = Vec::new();
    for value in headers.get_all(http::header::FORWARDED) {
        let mut rest = Text(value.to_str().map_err(|_| Malformed)?);
        loop {
            rest.skip_space();
            // Empty list elements are ignored (RFC 9110 5.6.1.2).
            if !rest.0.is_empty() && !rest.0.starts_with(',') {
                hops.push(rest.hop()?);
            }
            match rest.take(',') {
                true => {}
                false if rest.0.is_empty() => break,
                false => return Err(Malformed),
            }
        }
    }
    Ok(hops)
}

/// Parses `X-Forwarded-For`, `-Proto` and `-Host`, the nearest proxy last.
pub(super) fn x_forwarded(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let mut senders: Vec<_> = list(headers, &X_FORWARDED_FOR)
        .map(Sender::common)
        .collect();
    let protos: Vec<_> = list(headers, &X_FORWARDED_PROTO).collect();
    let hosts: Vec<_> = list(headers, &X_FORWARDED_HOST).collect();
    if senders.is_empty() && !(protos.is_empty() && hosts.is_empty()) {
        // Only the nearest proxy speaks, and does not name the client.
        senders.push(Sender::Hidden);
    }
    let count = senders.len();
    let (protos, hosts) = (beside(protos, count), beside(hosts, count));
    senders
        .into_iter()
        .zip(protos.into_iter().zip(hosts))
        .map(|(sender, (proto, host))| Hop {
            sender,
            proto: proto.map(Cow::Borrowed),
            host: host.map(Cow::Borrowed),
        })
        .collect()
}

/// Returns a value for each hop: its own if there are as many values as hops, else the last value for all,
/// because some proxies write one value beside a list.
fn beside(values: Vec<&str>, count: usize) -> Vec<Option<&str>> {
    match values.len() == count {
        true => values.into_iter().map(Some).collect(),
        false => vec![values.last().copied(); count],
    }
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        // A value that is not text keeps its position in the list.
        .flat_map(|value: &HeaderValue| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
}

/// The text that is not parsed yet.
struct Text<'a>(&'a str);

// === impl Text ===

impl<'a> Text<'a> {
    /// Parses `for=192.0.2.43;proto=https`, in any order, each once (RFC 7239 4).
    fn hop(&mut self) -> Result<Hop<'a>, Malformed> {
        let mut hop = Hop::default();
        let (mut sender, mut by) = (None, None);
        loop {
            self.skip_space();
            let name = self.token()?;
            if !self.take('=') {
                return Err(Malformed);
            }
            let value = match self.take('"') {
                true => self.quoted()?,
                false => Cow::Borrowed(self.token()?),
            };
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let mut other = None;
            let slot = match name {
                _ if is("for") => &mut sender,
                _ if is("proto") => &mut hop.proto,
                _ if is("host") => &mut hop.host,
                _ if is("by") => &mut by,
                _ => &mut other,
            };
            if slot.replace(value).is_some() {
                return Err(Malformed);
            }
            self.skip_space();
            if !self.take(';') {
                if let Some(sender) = sender {
                    hop.sender = Sender::standard(&sender);
                }
                return Ok(hop);
            }
        }
    }

    /// Parses a token, also with `:` and brackets: proxies often leave addresses and ports unquoted.
    fn token(&mut self) -> Result<&'a str, Malformed> {
        let end = self
            .0
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';' | '=' | '"'))
            .unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        match token.is_empty() {
            true => Err(Malformed),
            false => Ok(token),
        }
    }

    /// Parses up to the closing quote.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let whole = &self.0[..at];
                    self.0 = &self.0[at + 1..];
                    return Ok(match text.len() == whole.len() {
                        true => Cow::Borrowed(whole),
                        false => Cow::Owned(text),
                    });
                }
                '\\' => text.push(chars.next().ok_or(Malformed)?.1),
                c => text.push(c),
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, c: char) -> bool {
        match self.0.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn hop(
        sender: Option<&str>,
        proto: Option<&'static str>,
        host: Option<&'static str>,
    ) -> Hop<'static> {
        Hop {
            sender: sender.map_or(Sender::Hidden, |sender| {
                Sender::Named(sender.parse().unwrap())
            }),
            proto: proto.map(Cow::Borrowed),
            host: host.map(Cow::Borrowed),
        }
    }

    #[test]
    fn forwarded_is_read_as_the_standard_s_examples_have_it() {
        for (values, expected) in [
            (&[][..], vec![]),
            (&["for=\"_gazonk\""], vec![hop(None, None, None)]),
            (
                &["For=\"[2001:db8:cafe::17]:4711\""],
                vec![hop(Some("[2001:db8:cafe::17]:4711"), None, None)],
            ),
            (
                &["for=192.0.2.60;proto=http;by=203.0.113.43;host=a:80"],
                vec![hop(Some("192.0.2.60:0"), Some("http"), Some("a:80"))],
            ),
            (
                &["for=192.0.2.43, for=198.51.100.17", ",, for=unknown ,"],
                vec![
                    hop(Some("192.0.2.43:0"), None, None),
                    hop(Some("198.51.100.17:0"), None, None),
                    hop(None, None, None),
                ],
            ),
            // A comma within quotes is text, and a backslash escapes a quote.
            (
                &["ext=\"a,\\\" for=1.1.1.1\";for=192.0.2.1"],
                vec![hop(Some("192.0.2.1:0"), None, None)],
            ),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
            assert_eq!(forwarded(&headers(&fields)), Ok(expected), "{values:?}");
        }
        for value in [
            "for",
            "for=",
            "=1",
            "for=\"192.0.2.1",
            "for=a b",
            "for=1.1.1.1;",
            "for=1.1.1.1;proto=http;For=2.2.2.2",
            "proto=http;proto=http",
            "host=a;HOST=b",
            "by=_a;by=_b",
            "\\",
        ] {
            let headers = headers(&[("forwarded", value)]);
            assert_eq!(forwarded(&headers), Err(Malformed), "{value}");
        }
    }

    #[test]
    fn x_forwarded_fields_stand_beside_each_other_or_one_for_all() {
        let each = headers(&[
            ("x-forwarded-for", "192.0.2.1, 2001:db8::1"),
            ("x-forwarded-for", "[::1]:9, unknown"),
            ("x-forwarded-proto", "https,http,http,http"),
            ("x-forwarded-host", "a.example"),
        ]);
        let a = Some("a.example");
        assert_eq!(
            x_forwarded(&each),
            [
                hop(Some("192.0.2.1:0"), Some("https"), a),
                hop(Some("[2001:db8::1]:0"), Some("http"), a),
                hop(Some("[::1]:9"), Some("http"), a),
                hop(None, Some("http"), a),
            ]
        );
        assert_eq!(x_forwarded(&HeaderMap::new()), []);
    }

    #[test]
    fn a_proxy_that_tells_only_how_it_was_asked_tells_that() {
        let headers = headers(&[
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "a.example"),
        ]);
        let told = hop(None, Some("https"), Some("a.example"));
        assert_eq!(x_forwarded(&headers), [told]);
    }
}
