use http::Uri;
use http::header::{HOST, HeaderMap};

/// The server's name and port as the client addressed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// A name, an IPv4 address, or an IPv6 address in brackets (RFC 3875, 4.1.14).
    pub(crate) host: String,
    /// The port. Without one it is the scheme's default, because clients omit only that. Always a
    /// number, except for IPv6 addresses in the way of WAGI 0.8.1.
    pub(crate) port: String,
    /// True if the request came by `https`.
    pub(crate) secure: bool,
}

impl Authority {
    /// Returns the first of these that names a host: the URI, in which the server
    /// puts the host that it determined; the `Host` header; `default_host`; `localhost`.
    ///
    /// WAGI 0.8.1 split IPv6 addresses at their first colon, and took a missing port from its
    /// `--hostname`, also under TLS.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, default_host: &str) -> Self {
        let from_uri = uri.authority().map(|authority| {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host)
        });
        let from_header = headers.get(HOST).and_then(|value| value.to_str().ok());
        let (host, port) = [from_uri, from_header, Some(default_host)]
            .into_iter()
            .flatten()
            .map(split)
            .find(|(host, _)| !host.is_empty())
            .unwrap_or(("localhost", None));
        let secure = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        Self {
            host: host.to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }).to_string(),
            secure,
        }
    }

    /// Returns the authority as WAGI 0.8.1 did: the URI, then `--hostname`, then the `Host` header,
    /// each split at its first colon. Later parts override earlier ones.
    pub(crate) fn as_in_wagi(uri: &Uri, headers: &HeaderMap, default_host: &str) -> Self {
        let mut found = Self {
            host: uri.host().unwrap_or("localhost").to_owned(),
            port: uri.port_u16().unwrap_or(80).to_string(),
            secure: uri.scheme() == Some(&http::uri::Scheme::HTTPS),
        };
        let from_header = headers.get(HOST).and_then(|value| value.to_str().ok());
        for text in [Some(default_host), from_header].into_iter().flatten() {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            for (part, said) in [(&mut found.host, host), (&mut found.port, port)] {
                if !said.is_empty() {
                    said.clone_into(part);
                }
            }
        }
        found
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`. An invalid port is ignored.
fn split(text: &str) -> (&str, Option<u16>) {
    // The port's colon is the first one after the bracket of an IPv6 address, else the first one.
    let name = match text.find(']') {
        Some(bracket) if text.starts_with('[') => bracket + 1,
        _ => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(name);
    (
        host,
        rest.strip_prefix(':').and_then(|port| port.parse().ok()),
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn host_and_port() {
        for (uri, header, default, expected) in [
            // The URI comes first.
            (
                "http://example.com:8080/a",
                None,
                "d:1",
                "http example.com 8080",
            ),
            (
                "http://example.com/a",
                Some("other:9"),
                "d:1",
                "http example.com 80",
            ),
            // Then the `Host` header, then the default, then localhost.
            (
                "/a",
                Some("example.com:8080"),
                "d:1",
                "http example.com 8080",
            ),
            (
                "/a",
                Some("example.com"),
                "localhost:3000",
                "http example.com 80",
            ),
            ("/a", None, "localhost:3000", "http localhost 3000"),
            ("/a", None, "", "http localhost 80"),
            ("/a", Some(""), "example.com", "http example.com 80"),
            ("/a", Some(":9"), "example.com:1", "http example.com 1"),
            // TLS has its own default port.
            (
                "https://example.com/a",
                None,
                "d:1",
                "https example.com 443",
            ),
            (
                "https://example.com:8443/a",
                None,
                "d:1",
                "https example.com 8443",
            ),
            // IPv6.
            ("http://[::1]:3000/a", None, "d:1", "http [::1] 3000"),
            (
                "https://[2001:db8::7]/a",
                None,
                "d:1",
                "https [2001:db8::7] 443",
            ),
            ("/a", Some("[::1]:3000"), "d:1", "http [::1] 3000"),
            ("/a", Some("[::1]"), "d:1", "http [::1] 80"),
            ("/a", None, "[::1]:8080", "http [::1] 8080"),
            // Invalid ports.
            ("/a", Some("example.com:"), "d:1", "http example.com 80"),
            ("/a", Some("example.com:x"), "d:1", "http example.com 80"),
            (
                "/a",
                Some("example.com:70000"),
                "d:1",
                "http example.com 80",
            ),
            // Credentials are not part of the name.
            (
                "http://user:secret@example.com:81/",
                None,
                "d:1",
                "http example.com 81",
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(HOST, HeaderValue::from_static(header));
            }
            let found = Authority::of(&uri.parse().unwrap(), &headers, default);
            assert_eq!(
                format!("{} {} {}", found.scheme(), found.host, found.port),
                expected,
                "{uri} {header:?} {default}"
            );
        }
    }

    #[test]
    fn strict_is_what_0_8_1_made_of_it() {
        for (uri, header, default, expected) in [
            // The port of --hostname if the client gives none, also under TLS.
            (
                "http://example.com/a",
                Some("example.com"),
                "localhost:3000",
                "example.com 3000",
            ),
            (
                "https://example.com/a",
                Some("example.com"),
                "localhost:3000",
                "example.com 3000",
            ),
            (
                "https://example.com/a",
                Some("example.com"),
                "",
                "example.com 80",
            ),
            (
                "/a",
                Some("example.com:8080"),
                "localhost:3000",
                "example.com 8080",
            ),
            // HTTP/2 without a Host header.
            (
                "http://example.com:81/a",
                None,
                "localhost:3000",
                "localhost 3000",
            ),
            ("http://example.com:81/a", None, "fallback", "fallback 81"),
            // An IPv6 address is split at its first colon.
            (
                "http://[::1]:3000/a",
                Some("[::1]:3000"),
                "localhost:3000",
                "[ :1]:3000",
            ),
            ("/a", Some(":9"), "example.com", "example.com 9"),
            ("/a", None, "", "localhost 80"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(HOST, HeaderValue::from_static(header));
            }
            let found = Authority::as_in_wagi(&uri.parse().unwrap(), &headers, default);
            assert_eq!(
                format!("{} {}", found.host, found.port),
                expected,
                "{uri} {header:?} {default}"
            );
        }
    }

    #[test]
    fn a_host_header_that_is_not_text_is_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_bytes(b"ex\xffmple").unwrap());
        let found = Authority::of(&"/".parse().unwrap(), &headers, "localhost:3000");
        assert_eq!(
            (found.host.as_str(), found.port.as_str()),
            ("localhost", "3000")
        );
    }
}
