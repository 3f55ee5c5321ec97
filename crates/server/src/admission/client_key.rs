//! The key that identifies a client for limits.

use std::net::IpAddr;

/// A client, as limits tell clients apart: an IPv4 address or an IPv6 /64 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    V4(u32),
    /// The first 64 bits: the smallest network that one customer gets (RFC 6177).
    V6(u64),
}

// === impl ClientKey ===

impl From<IpAddr> for ClientKey {
    fn from(client: IpAddr) -> Self {
        // A dual-stack socket reports IPv4 clients as mapped IPv6 addresses.
        match client.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_is_one_client_and_so_is_a_network_of_ipv6() {
        let key = |address: &str| ClientKey::from(address.parse::<IpAddr>().unwrap());
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }
}
