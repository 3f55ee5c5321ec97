//! The parts of a URL for the semantic conventions.

use std::fmt;

use http::Uri;
use http::uri::Authority;

/// Returns `server.address` and `server.port`, with the scheme's port as the default.
pub(crate) fn address_and_port(authority: &Authority, scheme: &str) -> (String, Option<u16>) {
    let host = authority.host();
    // Only a URL has brackets around an IPv6 address.
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = authority.port_u16().or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    });
    (host.to_owned(), port)
}

/// `url.full`: the URL without the user's name and password.
///
/// The query stays as it is. The conventions ask to redact the values of a few parameters that are
/// known to hold credentials (`sig`, `X-Goog-Signature` and others); the collector's configuration
/// can do so.
pub(super) struct Full<'a>(pub(super) &'a Uri);

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0;
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                let host = authority.as_str().rsplit('@').next().unwrap_or_default();
                let scheme = uri.scheme_str().unwrap_or("http");
                write!(f, "{scheme}://REDACTED:REDACTED@{host}{}", uri.path())?;
                match uri.query() {
                    Some(query) => write!(f, "?{query}"),
                    None => Ok(()),
                }
            }
            _ => uri.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_are_redacted_and_nothing_else() {
        for (uri, full) in [
            (
                "https://ann:secret@example.com:8443/a?b=c",
                "https://REDACTED:REDACTED@example.com:8443/a?b=c",
            ),
            ("http://ann@[::1]/", "http://REDACTED:REDACTED@[::1]/"),
            ("http://example.com/a@b?c=@", "http://example.com/a@b?c=@"),
        ] {
            assert_eq!(Full(&uri.parse().unwrap()).to_string(), full);
        }
    }

    #[test]
    fn the_port_is_the_schemes_if_none_is_given() {
        let parts = |authority: &str, scheme| {
            let authority = authority.parse().unwrap();
            address_and_port(&authority, scheme)
        };
        assert_eq!(parts("a.example", "https"), ("a.example".into(), Some(443)));
        assert_eq!(
            parts("u@a.example:1", "http"),
            ("a.example".into(), Some(1))
        );
        assert_eq!(parts("[::1]", "http"), ("::1".into(), Some(80)));
    }
}
