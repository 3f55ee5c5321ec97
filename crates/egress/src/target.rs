//! The normalised scheme, host and port of an outgoing request's URI.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::EgressError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// A normalised host: an address, or a name in lower case without its final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

// === impl Target ===

impl Target {
    /// Parses an absolute URI: `http` or `https` with a host, no user information and a port from 1
    /// to 65535. Anything else is [`EgressError::InvalidUri`].
    pub(crate) fn of(uri: &Uri) -> Result<Self, EgressError> {
        let invalid = |reason| EgressError::InvalidUri { reason };
        let scheme = uri
            .scheme_str()
            .and_then(Scheme::parse)
            .ok_or(invalid("its scheme is not http or https"))?;
        let authority = uri.authority().ok_or(invalid("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it has user information"));
        }
        let host = Host::parse(authority.host()).ok_or(invalid("its host is malformed"))?;
        // `Authority::port` is `None` for a malformed port, too, so the text decides.
        let port = match authority.as_str().get(authority.host().len()..) {
            None | Some("" | ":") => scheme.default_port(),
            Some(port) => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port != 0)
                .ok_or(invalid("its port is not a number from 1 to 65535"))?,
        };
        Ok(Self { scheme, host, port })
    }
}

// === impl Scheme ===

impl Scheme {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

// === impl Host ===

impl Host {
    /// Parses a host of a URI: a name, an IPv4 address of four decimal numbers, or an IPv6 address in
    /// brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            // No zone: guests must not choose an interface.
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let well_formed = !name.is_empty()
            && name.split('.').all(|label| !label.is_empty())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !well_formed {
            return None;
        }
        match name.parse::<Ipv4Addr>() {
            Ok(address) => Some(Self::Address(address.into())),
            Err(_) if ends_in_a_number(name) => None,
            Err(_) => Some(Self::Name(name.to_ascii_lowercase())),
        }
    }
}

/// Returns true if resolvers may take a host for an IPv4 address in an old spelling: `127.1`, `2130706433`,
/// `0177.0.0.1`, `0x7f000001`. No name ends in a number (the URL standard's "ends in a number checker",
/// <https://url.spec.whatwg.org/#ends-in-a-number-checker>).
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("0x"))
        && last[2..].bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_spelling() {
        for (uri, target) in [
            ("http://A.Example./x", "http://a.example:80"),
            ("HTTPS://a.example", "https://a.example:443"),
            ("http://a.example:", "http://a.example:80"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("http://[0:0::1]/", "http://[::1]:80"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(Target::of(&uri).unwrap().to_string(), target);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for uri in [
            "/path",
            "a.example:80",
            "ftp://a.example/",
            "http://user@a.example/",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a..example/",
            "http://a%2eexample/",
            "http://[fe80::1%25eth0]/",
            "http://[::1]x/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0X7F.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.01/",
            "http://a.example.1/",
            "http://1.2.3.4.5/",
            "http://0x./",
        ] {
            // Some of them are not valid URIs at all.
            if let Ok(uri) = uri.parse::<Uri>() {
                let refused = matches!(Target::of(&uri), Err(EgressError::InvalidUri { .. }));
                assert!(refused, "{uri}");
            }
        }
    }
}
