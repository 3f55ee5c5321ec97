//! The addresses that a service may reach: the second layer of its policy.
//!
//! The first layer ([`Grants`]) sees the destination as the guest wrote it, not what it resolves to. This one
//! checks each address just before it is dialled. It permits ordinary public addresses; it permits special
//! ones (see [`crate::address`]) only if they were granted as an address or by a network. A grant of a name,
//! or of `*`, does not cover them: it means the internet, and the owner of the name decides what it resolves
//! to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::address::special;
use crate::grants::Grant;
use crate::target::{Host, Target};
use crate::{EgressError, GrantSource, Grants};

#[derive(Debug, Clone)]
pub(crate) struct AddressPolicy {
    pub(crate) service: Arc<str>,
    pub(crate) grants: Grants,
    pub(crate) source: GrantSource,
}

// === impl AddressPolicy ===

impl AddressPolicy {
    /// Returns the addresses of a destination that may be dialled, with its port, or
    /// [`EgressError::AddressDenied`] of the first. Dial these without resolving again: the next look-up
    /// may return others.
    pub(crate) fn vet(
        &self,
        target: &Target,
        found: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let mut first_denied = None;
        let mut permitted = Vec::with_capacity(found.len());
        for address in found {
            // Judged, granted and dialled in one spelling: an IPv4-mapped address is its IPv4 address, to
            // which the system would connect.
            let address = address.to_canonical();
            match special(address) {
                Some(special) if !self.grants.allow_address(target, address) => {
                    first_denied.get_or_insert((address, special));
                }
                _ => permitted.push(SocketAddr::new(address, target.port)),
            }
        }
        match first_denied {
            Some((address, special)) if permitted.is_empty() => Err(EgressError::AddressDenied {
                destination: target.to_string(),
                address,
                range: special.to_string(),
                remedy: self.source.remedy(
                    &self.service,
                    &self.grants,
                    &Grant::of(&Target {
                        host: Host::Address(address),
                        ..target.clone()
                    }),
                ),
            }),
            _ => Ok(permitted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(grants: &[&str]) -> AddressPolicy {
        let grants = Grants::parse(grants).unwrap();
        AddressPolicy {
            service: "test".into(),
            grants,
            source: GrantSource::Flag,
        }
    }

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().unwrap()).unwrap()
    }

    fn vet(grants: &[&str], uri: &str, found: &[&str]) -> Result<Vec<String>, EgressError> {
        let found: Vec<IpAddr> = found.iter().map(|found| found.parse().unwrap()).collect();
        let permitted = policy(grants).vet(&target(uri), &found)?;
        Ok(permitted.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_special_address_needs_a_grant_of_its_own_with_scheme_and_port() {
        let local = "http://localhost:9000/";
        for (grants, allowed) in [
            (&["*"][..], false),
            (&["localhost"], false),
            (&["http://localhost:9000", "http://localhost"], false),
            (&["*", "127.0.0.1"], true),
            (&["127.0.0.1:9000"], true),
            (&["http://127.0.0.1:9000"], true),
            (&["[::ffff:127.0.0.1]:9000"], true),
            (&["127.0.0.0/8"], true),
            (&["http://127.0.0.0/8:9000"], true),
            (&["0.0.0.0/0"], true),
            (&["http://127.0.0.1"], false),
            (&["https://127.0.0.1:9000"], false),
            (&["127.0.0.1:9001"], false),
            (&["127.0.0.2"], false),
            (&["127.0.0.0/8:80"], false),
            (&["[::1]", "[::]/0"], false),
        ] {
            let vetted = vet(grants, local, &["127.0.0.1"]);
            assert_eq!(vetted.is_ok(), allowed, "{grants:?}");
        }
    }

    #[test]
    fn a_public_address_needs_none() {
        let vetted = vet(&["a.example"], "https://a.example/", &["93.184.215.14"]).unwrap();
        assert_eq!(vetted, ["93.184.215.14:443"]);
    }

    #[test]
    fn of_several_addresses_only_the_permitted_are_left_in_their_one_spelling() {
        let found = ["10.0.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "::1"];
        let vetted = vet(&["a.example"], "http://a.example:81/", &found).unwrap();
        assert_eq!(vetted, ["[2606:4700::1111]:81", "8.8.8.8:81"]);
    }

    #[test]
    fn a_denial_names_address_range_and_remedy() {
        let error = vet(&["*"], "http://db.example:5432/", &["10.0.0.5", "::1"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("http://db.example:5432"), "{text}");
        assert!(text.contains("10.0.0.5"), "{text}");
        assert!(text.contains("private (10.0.0.0/8)"), "{text}");
        let remedy = "--allow-outgoing http://10.0.0.5:5432";
        assert!(text.contains(remedy), "{text}");
        let grants = ["*", "http://10.0.0.5:5432"];
        assert!(vet(&grants, "http://db.example:5432/", &["10.0.0.5"]).is_ok());
    }
}
