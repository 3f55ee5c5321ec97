//! The hosts of a route.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// A host of a route: `example.com`, or `*.example.com` for all hosts below it, each with or
/// without a port. Case and a final dot do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualHost {
    /// In lower case; for a wildcard, the part after `*`, including the dot.
    pub(super) name: String,
    pub(super) wildcard: bool,
    pub(super) port: Option<u16>,
}

/// The error of a text that is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host: write `example.com`, `*.example.com`, `[::1]`, each with `:PORT` if only that \
     port is meant"
)]
pub struct VirtualHostError(String);

// === impl VirtualHost ===

impl VirtualHost {
    /// Returns true if a request with this absolute URI is for the host.
    #[must_use]
    pub fn matches(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else {
            return false;
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let name_matches = if self.wildcard {
            // The star stands for at least one character.
            host.len() > self.name.len()
                && host
                    .get(host.len() - self.name.len()..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(&self.name))
        } else {
            host.eq_ignore_ascii_case(&self.name)
        };
        name_matches && self.port.is_none_or(|port| port == port_of(uri))
    }
}

/// Returns the URI's port, or the default of its scheme.
pub(crate) fn port_of(uri: &Uri) -> u16 {
    let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
    uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 })
}

impl FromStr for VirtualHost {
    type Err = VirtualHostError;

    fn from_str(text: &str) -> Result<Self, VirtualHostError> {
        let error = || VirtualHostError(text.to_owned());
        let (wildcard, rest) = match text.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => (true, rest),
            Some(_) => return Err(error()),
            None => (false, text),
        };
        // An IPv6 address contains colons, in brackets.
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, Some(port.parse().map_err(|_| error())?))
            }
            _ => (rest, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_address = name.starts_with('[') && name.ends_with(']');
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.trim_matches('.').is_empty() || !(is_address || name.chars().all(is_name)) {
            return Err(error());
        }
        Ok(Self {
            name,
            wildcard,
            port,
        })
    }
}

impl fmt::Display for VirtualHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*" } else { "" };
        write!(f, "{star}{}", self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_itself_in_any_case_and_at_any_port_unless_one_is_named() {
        for (pattern, uri, expected) in [
            ("example.com", "http://example.com/", true),
            ("example.com", "http://EXAMPLE.com:8080/", true),
            ("Example.COM", "http://example.com./", true),
            ("example.com.", "http://example.com/", true),
            ("example.com", "http://www.example.com/", false),
            ("example.com", "http://example.com.evil/", false),
            ("example.com:8080", "http://example.com:8080/", true),
            ("example.com:8080", "http://example.com/", false),
            ("example.com:80", "http://example.com/", true),
            ("example.com:443", "https://example.com/", true),
            ("*.example.com", "http://a.example.com/", true),
            ("*.example.com", "http://a.b.Example.com:1/", true),
            ("*.example.com", "http://example.com/", false),
            ("*.example.com", "http://.example.com/", false),
            ("*.example.com", "http://badexample.com/", false),
            ("[::1]", "http://[::1]:3000/", true),
            ("[::1]:3000", "http://[::1]:3000/", true),
            ("[::1]:3000", "http://[::1]/", false),
            ("127.0.0.1", "http://127.0.0.1:9/", true),
            ("example.com", "/", false),
        ] {
            let Ok(uri) = uri.parse::<Uri>() else {
                continue;
            };
            let host: VirtualHost = pattern.parse().unwrap();
            assert_eq!(host.matches(&uri), expected, "{pattern} {uri}");
            // The printed form parses to the same host.
            let again: VirtualHost = host.to_string().parse().unwrap();
            assert_eq!(again, host);
        }
    }

    #[test]
    fn what_is_no_host_is_refused_by_name() {
        for text in [
            "",
            "*",
            "*example.com",
            "*.",
            "a b",
            "http://a",
            "a/b",
            "a:port",
            "a:99999",
            ":80",
            "a*b",
        ] {
            let error = text.parse::<VirtualHost>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
