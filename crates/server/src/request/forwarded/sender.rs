//! The client that a proxy names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The sender of the request that a proxy received.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Named(SocketAddr),
    /// The proxy does not say, or does not know.
    #[default]
    Hidden,
    /// The value is malformed. That is an error only if the proxy is trusted.
    Malformed,
}

/// Converts an IPv4-mapped address (`::ffff:192.0.2.1`) to IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

// === impl Sender ===

impl Sender {
    /// Parses the form of `Forwarded` (RFC 7239 6).
    pub(super) fn standard(text: &str) -> Self {
        if let Some(address) = address(text) {
            return Self::Named(address);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let port_is_hidden = port.is_some_and(is_obfuscated);
        let is_port = |port: &str| port_is_hidden || port.parse::<u16>().is_ok();
        let is_hidden = name.eq_ignore_ascii_case("unknown") || is_obfuscated(name);
        match address(name) {
            Some(address) if port_is_hidden => Self::Named(address),
            None if is_hidden && port.is_none_or(is_port) => Self::Hidden,
            _ => Self::Malformed,
        }
    }

    pub(super) fn common(text: &str) -> Self {
        if let Some(address) = address(text) {
            return Self::Named(address);
        }
        // A link-local address means something only to the proxy.
        let is_of_a_link = text
            .split_once('%')
            .is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        // nginx writes `unix:` for a client without an address.
        let is_hidden = text.is_empty()
            || text.eq_ignore_ascii_case("unknown")
            || text.eq_ignore_ascii_case("unix:");
        match is_hidden || is_of_a_link {
            true => Self::Hidden,
            false => Self::Malformed,
        }
    }
}

/// Parses an address in the forms that proxies write: with or without brackets and port.
fn address(text: &str) -> Option<SocketAddr> {
    let address = |text| IpAddr::from_str(text).ok();
    if let Ok(with_port) = SocketAddr::from_str(text) {
        return Some(canonical(with_port));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    address(bare.unwrap_or(text)).map(|address| canonical(SocketAddr::new(address, 0)))
}

/// Returns true for an obfuscated identifier or port (RFC 7239 6.3).
fn is_obfuscated(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() > 1 && text.starts_with('_') && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sent_it_is_an_address_or_hidden_and_nothing_else() {
        let named = |text: &str| Sender::Named(text.parse().unwrap());
        for (text, standard, common) in [
            ("192.0.2.1", named("192.0.2.1:0"), named("192.0.2.1:0")),
            ("192.0.2.1:4", named("192.0.2.1:4"), named("192.0.2.1:4")),
            (
                "::ffff:192.0.2.1",
                named("192.0.2.1:0"),
                named("192.0.2.1:0"),
            ),
            (
                "[2001:db8::1]",
                named("[2001:db8::1]:0"),
                named("[2001:db8::1]:0"),
            ),
            ("192.0.2.1:_a", named("192.0.2.1:0"), Sender::Malformed),
            (
                "[2001:db8::1]:_a",
                named("[2001:db8::1]:0"),
                Sender::Malformed,
            ),
            ("Unknown", Sender::Hidden, Sender::Hidden),
            ("unknown:80", Sender::Hidden, Sender::Malformed),
            ("_hidden-1:_2", Sender::Hidden, Sender::Malformed),
            ("_hidden", Sender::Hidden, Sender::Malformed),
            ("fe80::1%eth0", Sender::Malformed, Sender::Hidden),
            ("unix:", Sender::Malformed, Sender::Hidden),
            ("", Sender::Malformed, Sender::Hidden),
            ("_", Sender::Malformed, Sender::Malformed),
            ("_a b", Sender::Malformed, Sender::Malformed),
            ("unknown:x", Sender::Malformed, Sender::Malformed),
            ("192.0.2.1:99999", Sender::Malformed, Sender::Malformed),
            ("evil", Sender::Malformed, Sender::Malformed),
        ] {
            assert_eq!(Sender::standard(text), standard, "{text}");
            assert_eq!(Sender::common(text), common, "{text}");
        }
    }
}
