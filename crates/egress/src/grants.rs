//! The destinations that a service may reach, by the URI: the first layer of its policy. The default denies
//! everything.
//!
//! The second layer ([`crate::policy`]) checks the addresses that a destination resolves to, with the same
//! grants.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

use crate::host_pattern::HostPattern;
use crate::internal::{DOMAIN, unspoken};
use crate::target::{Scheme, Target};

/// The forms of a grant, for messages.
const FORMS: &str = "*, HOST, HOST:PORT, http://HOST[:PORT], https://HOST[:PORT]; HOST is a name, \
                     *.NAME for all names below it, an IPv4 address, an IPv6 address in brackets, \
                     or a network such as 10.0.0.0/8 or [fd00::]/8";

/// The grants of a service. Empty: nothing may be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

/// One value of `--allow-outgoing`.
///
/// | form | scheme | port |
/// | --- | --- | --- |
/// | `*` | both | any |
/// | `HOST` | both | any |
/// | `HOST:PORT` | both | this |
/// | `http://HOST` | this | 80 |
/// | `https://HOST` | this | 443 |
/// | `http://HOST:PORT` | this | this |
///
/// `HOST` is one of the forms of a [`HostPattern`]: a name, `*.example.com` for every name below
/// `example.com`, an address, a network such as `10.0.0.0/8` or `[fd00::]/8`, or `*`. Case and a
/// final dot do not matter.
///
/// A special address (loopback, private, link-local and so on) is reached only by a grant that names
/// it as an address or by its network; `*` and names do not cover what they resolve to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    scheme: Option<Scheme>,
    host: HostPattern,
    port: Option<u16>,
}

/// The error of a malformed grant.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("cannot allow outgoing requests to \"{value}\": {problem}; accepted are: {FORMS}")]
pub struct GrantError {
    value: String,
    problem: &'static str,
}

// === impl Grants ===

impl Grants {
    /// Grants nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Grants `*`: everything on the public internet.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Grant {
            scheme: None,
            host: HostPattern::ANY,
            port: None,
        }])
    }

    /// Parses the values of `--allow-outgoing`.
    ///
    /// # Errors
    ///
    /// Returns an error for the first malformed value.
    pub fn parse<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Result<Self, GrantError> {
        values
            .into_iter()
            .map(|value| value.as_ref().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns true if the URI may be reached, without resolving it; false if it is not an absolute `http` or
    /// `https` URI.
    #[must_use]
    pub fn allow(&self, uri: &Uri) -> bool {
        Target::of(uri).is_ok_and(|target| self.allow_target(&target))
    }

    pub(crate) fn allow_target(&self, target: &Target) -> bool {
        self.0.iter().any(|grant| grant.allows(target))
    }

    /// Returns true if a grant other than `*` covers the target's host.
    pub(crate) fn allow_by_name(&self, target: &Target) -> bool {
        let mut named = self.0.iter().filter(|grant| !grant.host.is_any());
        named.any(|grant| grant.allows(target))
    }

    /// Returns true if an address was granted as an address, for the destination's scheme and port.
    pub(crate) fn allow_address(&self, target: &Target, address: IpAddr) -> bool {
        let mut grants = self.0.iter().filter(|grant| grant.is_for(target));
        grants.any(|grant| grant.host.names_address(address))
    }

    /// Returns true if nothing may be reached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if `*` grants all public addresses.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.for_all().any(HostPattern::is_any)
    }

    /// Returns true if `0.0.0.0/0` or `[::]/0` grants all addresses of a family, including special ones and
    /// this machine's.
    #[must_use]
    pub fn is_every_address(&self) -> bool {
        self.for_all().any(HostPattern::is_every_address)
    }

    fn for_all(&self) -> impl Iterator<Item = &HostPattern> {
        let wide = |grant: &&Grant| grant.scheme.is_none() && grant.port.is_none();
        self.0.iter().filter(wide).map(|grant| &grant.host)
    }

    /// Returns the grants, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

// === impl Grant ===

impl Grant {
    /// Returns the narrowest grant for a destination.
    pub(crate) fn of(target: &Target) -> Self {
        Self {
            scheme: Some(target.scheme),
            host: HostPattern::exactly(target.host.clone()),
            port: Some(target.port),
        }
    }

    fn allows(&self, target: &Target) -> bool {
        self.is_for(target) && self.host.matches(&target.host)
    }

    fn is_for(&self, target: &Target) -> bool {
        self.scheme.is_none_or(|scheme| scheme == target.scheme)
            && self.port.is_none_or(|port| port == target.port)
    }

    /// Returns the NAME of a grant for `NAME.internal`, a service of this host.
    #[must_use]
    pub fn internal_service(&self) -> Option<&str> {
        self.host.name()?.strip_suffix(DOMAIN)
    }

    /// Returns why a grant for [a service of this host](Self::internal_service) covers nothing that can be
    /// called: its scheme or port is wrong.
    #[must_use]
    pub fn internal_problem(&self) -> Option<&'static str> {
        self.internal_service()?;
        unspoken(self.scheme, self.port)
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(value: &str) -> Result<Self, GrantError> {
        let bad = |problem| GrantError {
            value: value.to_owned(),
            problem,
        };
        let (scheme, rest) = match value.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = Scheme::parse(scheme).ok_or(bad("its scheme is not http or https"))?;
                // As copied from a browser.
                (Some(scheme), rest.strip_suffix('/').unwrap_or(rest))
            }
            None => (None, value),
        };
        if rest.contains(['?', '#']) {
            return Err(bad("it has a query, and grants are for whole hosts"));
        }
        if rest.contains('@') {
            return Err(bad("it has user information"));
        }
        // The colons of an IPv6 address precede its closing bracket.
        let after_address = rest.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match rest[after_address..].split_once(':') {
            Some((host_end, port)) => {
                let port = port.parse().ok().filter(|port| *port != 0);
                let port = port.ok_or(bad("its port is not a number from 1 to 65535"))?;
                (&rest[..after_address + host_end.len()], Some(port))
            }
            None => (rest, None),
        };
        Ok(Self {
            scheme,
            host: HostPattern::parse(host).map_err(bad)?,
            port: port.or(scheme.map(Scheme::default_port)),
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        self.host.fmt(f)?;
        match self.port {
            Some(port) if self.scheme.map(Scheme::default_port) != Some(port) => {
                write!(f, ":{port}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_all_mean_something() {
        for (grant, allowed, denied) in [
            (
                "*",
                &["http://a.example/", "https://[::1]:1/", "http://127.0.0.1/"][..],
                &["ftp://a.example/", "/a"][..],
            ),
            (
                "example.com",
                &[
                    "http://example.com/",
                    "https://example.com/x",
                    "http://example.com:8080/",
                    "http://EXAMPLE.com./",
                ],
                &[
                    "http://evilexample.com/",
                    "http://example.com.evil/",
                    "http://sub.example.com/",
                    "http://example.co/",
                    "http://example.com@evil/",
                    "http://evil/?example.com",
                ],
            ),
            (
                "Example.COM.:8080",
                &["http://example.com:8080/", "https://example.com:8080/"],
                &["http://example.com/", "http://example.com:80801/"],
            ),
            (
                "https://example.com",
                &["https://example.com/", "https://example.com:443/"],
                &[
                    "http://example.com/",
                    "https://example.com:8443/",
                    "http://example.com:443/",
                ],
            ),
            (
                "http://127.0.0.1:9000",
                &["http://127.0.0.1:9000/x"],
                &[
                    "http://127.0.0.1/",
                    "https://127.0.0.1:9000/",
                    "http://127.1:9000/",
                    "http://2130706433:9000/",
                    "http://0x7f000001:9000/",
                    "http://localhost:9000/",
                    "http://[::ffff:127.0.0.1]:9000/",
                ],
            ),
            (
                "*.example.com:443",
                &[
                    "https://a.example.com/",
                    "https://a.b.example.com/",
                    "http://A.Example.com.:443/",
                ],
                &[
                    "https://example.com/",
                    "https://evilexample.com/",
                    "https://a.example.com.evil/",
                    "http://a.example.com/",
                    "https://.example.com/",
                ],
            ),
            (
                "[::1]:9000",
                &["http://[::1]:9000/", "http://[0:0:0::1]:9000/"],
                &[
                    "http://[::1]/",
                    "http://[::2]:9000/",
                    "http://127.0.0.1:9000/",
                ],
            ),
            (
                "[::1]",
                &["http://[::1]:9000/", "https://[::1]/"],
                &["http://[::2]/"],
            ),
            (
                "https://*",
                &["https://a.example/"],
                &["http://a.example/", "https://a.example:444/"],
            ),
            (
                "https://example.com/",
                &["https://example.com/deep/path"],
                &["http://example.com/"],
            ),
            (
                "10.0.0.0/8:5432",
                &["http://10.1.2.3:5432/", "https://10.255.255.255:5432/"],
                &[
                    "http://10.1.2.3/",
                    "http://11.0.0.0:5432/",
                    "http://[::ffff:10.1.2.3]:5432/",
                    "http://10.example:5432/",
                ],
            ),
            (
                "https://10.0.0.0/8",
                &["https://10.1.2.3/"],
                &["https://10.1.2.3:444/", "http://10.1.2.3/"],
            ),
            (
                "[fd00::]/8",
                &["http://[fd12::1]/", "https://[fdff::]:1/"],
                &["http://[fc00::1]/", "http://10.0.0.1/"],
            ),
        ] {
            let grants = Grants::parse([grant]).unwrap();
            for uri in allowed {
                assert!(grants.allow(&uri.parse().unwrap()), "{grant} {uri}");
            }
            for uri in denied {
                // An invalid URI never gets here.
                let allowed = uri.parse().is_ok_and(|uri| grants.allow(&uri));
                assert!(!allowed, "{grant} {uri}");
            }
        }
    }

    #[test]
    fn nothing_is_allowed_by_default_and_one_grant_of_several_suffices() {
        let uri = "http://b.example/".parse().unwrap();
        assert!(!Grants::none().allow(&uri));
        assert!(Grants::none().is_empty());
        assert!(Grants::all().allow(&uri) && Grants::all().is_all());
        let grants = Grants::parse(["a.example", "b.example"]).unwrap();
        assert!(grants.allow(&uri) && !grants.is_all());
        assert!(Grants::parse(["[::]/0"]).unwrap().is_every_address());
        assert!(!Grants::all().is_every_address());
    }

    #[test]
    fn a_bad_value_is_named_with_the_accepted_forms() {
        for value in [
            "",
            " ",
            "ftp://a.example",
            "a.example/path",
            "https://a.example/path",
            "https://a.example?x",
            "user@a.example",
            "a.example:0",
            "a.example:99999",
            "a.example:http",
            "a.example:",
            "a.*.example",
            "*example.com",
            "*.*.example",
            "*.127.0.0.1",
            "*.",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "a..example",
            "bücher.example",
            "https://",
            "a,b",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10.0.0.0:80/8",
            "a.example/8",
            "fd00::/8",
            "[fd00::/8]",
            "[fd00::]/129",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
        ] {
            let error = Grants::parse(["fine.example", value])
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("\"{value}\"")), "{error}");
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_grant_is_shown_as_it_is_written() {
        for grant in [
            "*",
            "a.example",
            "a.example:81",
            "https://a.example",
            "https://a.example:444",
            "*.a.example:443",
            "[::1]:1",
            "10.0.0.0/8",
            "http://[fd00::]/8:81",
        ] {
            let grants = Grants::parse([grant]).unwrap();
            assert_eq!(grants.iter().next().unwrap().to_string(), grant);
        }
    }
}
