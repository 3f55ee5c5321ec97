//! Special addresses, which are not simply another machine on the public internet.
//!
//! A grant of `api.example.com` does not include the host's own machine, the cloud's metadata service, or a
//! private network; yet the owner of a name can make it resolve to any of them. So every address is looked up
//! here before it is dialled, and a special one is denied unless it was granted as an address
//! ([`AddressPolicy`](crate::policy)).
//!
//! The ranges are those of IANA's special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>), multicast, reserved ranges, and metadata
//! services that clouds run at addresses of their own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range {
    network: IpNet,
    name: &'static str,
}

/// The range of a special address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Special {
    range: &'static Range,
    /// The IPv4 address that a NAT64 gateway translates to, if that is the one in the range.
    translated: Option<Ipv4Addr>,
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8, name: &'static str) -> Range {
    let network = Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix);
    Range {
        network: IpNet::V4(network),
        name,
    }
}

/// The first 64 bits are enough for most ranges.
const fn v6([a, b, c, d]: [u16; 4], prefix: u8, name: &'static str) -> Range {
    network_v6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix, name)
}

const fn network_v6(address: Ipv6Addr, prefix: u8, name: &'static str) -> Range {
    Range {
        network: IpNet::V6(Ipv6Net::new_assert(address, prefix)),
        name,
    }
}

const THIS_MACHINE: &str = "the unspecified address, which is this machine";

/// The first range with an address wins, so narrow ranges come first.
static RANGES: [Range; 43] = [
    // Metadata services, which give credentials to any caller.
    v4([169, 254, 169, 254], 32, "a cloud's metadata service"),
    v4(
        [169, 254, 170, 2],
        32,
        "the metadata service of AWS containers",
    ),
    v4(
        [100, 100, 100, 200],
        32,
        "the metadata service of Alibaba Cloud",
    ),
    v4([192, 0, 0, 192], 32, "the metadata service of Oracle Cloud"),
    // The only one in a public range.
    v4([168, 63, 129, 16], 32, "the host services of Azure"),
    network_v6(
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        128,
        "the metadata service of AWS",
    ),
    network_v6(
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        128,
        "the metadata service of Google Cloud",
    ),
    v4([0, 0, 0, 0], 32, THIS_MACHINE),
    v4([0, 0, 0, 0], 8, "this network"),
    v4([10, 0, 0, 0], 8, "private"),
    v4([100, 64, 0, 0], 10, "shared by a provider's customers"),
    v4([127, 0, 0, 0], 8, "loopback"),
    v4([169, 254, 0, 0], 16, "link-local"),
    v4([172, 16, 0, 0], 12, "private"),
    v4([192, 0, 0, 0], 24, "for protocol assignments"),
    v4([192, 0, 2, 0], 24, "for documentation"),
    v4([192, 88, 99, 0], 24, "the former 6to4 relays"),
    v4([192, 168, 0, 0], 16, "private"),
    v4([198, 18, 0, 0], 15, "for benchmarks"),
    v4([198, 51, 100, 0], 24, "for documentation"),
    v4([203, 0, 113, 0], 24, "for documentation"),
    v4([224, 0, 0, 0], 4, "multicast"),
    v4([255, 255, 255, 255], 32, "broadcast"),
    v4([240, 0, 0, 0], 4, "reserved"),
    v6([0, 0, 0, 0], 128, THIS_MACHINE),
    network_v6(Ipv6Addr::LOCALHOST, 128, "loopback"),
    v6([0, 0, 0, 0], 96, "an IPv4 address in a deprecated form"),
    // An operator's own translator decides what these mean (RFC 8215).
    v6([0x64, 0xff9b, 1, 0], 48, "for local NAT64"),
    v6([0x100, 0, 0, 0], 64, "discarded"),
    v6([0x2001, 0, 0, 0], 32, "Teredo, a tunnel to an IPv4 address"),
    v6([0x2001, 2, 0, 0], 48, "for benchmarks"),
    v6([0x2001, 0xdb8, 0, 0], 32, "for documentation"),
    v6([0x2001, 0, 0, 0], 23, "for protocol assignments"),
    v6([0x2002, 0, 0, 0], 16, "6to4, a tunnel to an IPv4 address"),
    v6([0x3fff, 0, 0, 0], 20, "for documentation"),
    v6([0x5f00, 0, 0, 0], 16, "for segment routing"),
    v6([0xfc00, 0, 0, 0], 7, "private"),
    v6([0xfe80, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0], 8, "multicast"),
    // Of the rest, only 2000::/3 is allocated.
    v6([0, 0, 0, 0], 3, "reserved"),
    v6([0x4000, 0, 0, 0], 2, "reserved"),
    v6([0x8000, 0, 0, 0], 1, "reserved"),
];

/// An IPv6-only network reaches the IPv4 internet by these addresses (RFC 6052), which embed an IPv4 address.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Returns the range of a special address; `None` for an ordinary public one.
pub(crate) fn special(address: IpAddr) -> Option<Special> {
    let address = address.to_canonical();
    let translated = match address {
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    };
    let address = translated.map_or(address, IpAddr::V4);
    let range = RANGES
        .iter()
        .find(|range| range.network.contains(&address))?;
    Some(Special { range, translated })
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { network, name } = self.range;
        write!(f, "{name} ({network})")?;
        match self.translated {
            Some(address) => write!(f, ", as {address} behind NAT64"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(address: &str) -> Option<&'static str> {
        special(address.parse().unwrap()).map(|special| special.range.name)
    }

    #[test]
    fn each_special_address_is_named_by_its_narrowest_range() {
        for (address, expected) in [
            ("169.254.169.254", "a cloud's metadata service"),
            ("169.254.170.2", "the metadata service of AWS containers"),
            ("100.100.100.200", "the metadata service of Alibaba Cloud"),
            ("192.0.0.192", "the metadata service of Oracle Cloud"),
            ("168.63.129.16", "the host services of Azure"),
            ("fd00:ec2::254", "the metadata service of AWS"),
            ("fd20:ce::254", "the metadata service of Google Cloud"),
            ("0.1.2.3", "this network"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "shared by a provider's customers"),
            ("100.127.255.255", "shared by a provider's customers"),
            ("127.255.255.254", "loopback"),
            ("169.254.1.1", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "for protocol assignments"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "the former 6to4 relays"),
            ("192.168.0.1", "private"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.1", "for documentation"),
            ("203.0.113.1", "for documentation"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::1", "loopback"),
            ("::7f00:1", "an IPv4 address in a deprecated form"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "a cloud's metadata service"),
            // Translated by SIIT (RFC 2765).
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b:1::8.8.8.8", "for local NAT64"),
            ("100::1", "discarded"),
            ("2001::1", "Teredo, a tunnel to an IPv4 address"),
            ("2001:2::1", "for benchmarks"),
            ("2001:20::1", "for protocol assignments"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "6to4, a tunnel to an IPv4 address"),
            ("3fff:fff::1", "for documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "for segment routing"),
            ("8000::1", "reserved"),
            ("fc00::1", "private"),
            ("fdff::1", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(name(address), Some(expected), "{address}");
        }
        let unspecified = Some("the unspecified address, which is this machine");
        assert_eq!(name("0.0.0.0"), unspecified);
        assert_eq!(name("::"), unspecified);
        assert_eq!(name("::ffff:0.0.0.0"), unspecified);
    }

    #[test]
    fn what_is_next_to_a_range_is_not_in_it() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
        ] {
            assert_eq!(name(address), None, "{address}");
        }
    }

    #[test]
    fn a_range_is_shown_with_its_network() {
        let show = |address: &str| special(address.parse().unwrap()).unwrap().to_string();
        assert_eq!(show("10.1.2.3"), "private (10.0.0.0/8)");
        assert_eq!(
            show("64:ff9b::10.1.2.3"),
            "private (10.0.0.0/8), as 10.1.2.3 behind NAT64"
        );
    }

    proptest! {
        /// The table includes at least the ranges that the standard library knows.
        #[test]
        fn what_the_standard_library_calls_special_is(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let known = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || address.is_unspecified();
            let is_special = special(address.into()).is_some();
            prop_assert!(is_special || !known);
            // All spellings of an address give the same result.
            let mapped = special(address.to_ipv6_mapped().into()).is_some();
            prop_assert_eq!(mapped, is_special);
        }

        #[test]
        fn only_global_unicast_is_ordinary_in_ipv6(bits: u128) {
            let address = Ipv6Addr::from(bits);
            if special(address.into()).is_none() {
                let first = address.segments()[0];
                prop_assert!(first & 0xe000 == 0x2000 || NAT64.contains(&address)
                    || address.to_ipv4_mapped().is_some());
            }
        }
    }
}
