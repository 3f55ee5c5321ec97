//! Host patterns in settings: one host, all below a name, a network, or any.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::target::Host;

/// The hosts that a setting applies to.
///
/// | form | hosts |
/// | --- | --- |
/// | `*` | any |
/// | `example.com` | this name |
/// | `*.example.com` | every name below it, at any depth, without itself |
/// | `127.0.0.1`, `[::1]` | this address |
/// | `10.0.0.0/8`, `[fd00::]/8` | the addresses of this network |
///
/// Case and a final dot do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exactly(Host),
    /// The name, with a dot in front.
    Below(String),
    Network(IpNet),
}

// === impl HostPattern ===

impl HostPattern {
    pub(crate) const ANY: Self = Self(Pattern::Any);

    /// Returns true for `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == Pattern::Any
    }

    /// Returns the name, in lower case, of a pattern for one name.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.0 {
            Pattern::Exactly(Host::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns true for a network of all addresses of a family.
    pub(crate) fn is_every_address(&self) -> bool {
        matches!(&self.0, Pattern::Network(network) if network.prefix_len() == 0)
    }

    pub(crate) fn exactly(host: Host) -> Self {
        Self(Pattern::Exactly(host))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        Pattern::parse(text).map(Self)
    }

    /// Returns true if the pattern covers a host, as the guest wrote it.
    pub(crate) fn matches(&self, host: &Host) -> bool {
        match (&self.0, host) {
            (Pattern::Any, _) => true,
            (Pattern::Exactly(granted), host) => granted == host,
            (Pattern::Below(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix)
            }
            (Pattern::Network(network), Host::Address(address)) => network.contains(address),
            (Pattern::Below(_), Host::Address(_)) | (Pattern::Network(_), Host::Name(_)) => false,
        }
    }

    /// Returns true if the pattern covers an address as address or network, not by a name or `*`.
    pub(crate) fn names_address(&self, address: IpAddr) -> bool {
        match &self.0 {
            Pattern::Exactly(Host::Address(granted)) => {
                granted.to_canonical() == address.to_canonical()
            }
            Pattern::Network(network) => network.contains(&address.to_canonical()),
            Pattern::Any | Pattern::Exactly(Host::Name(_)) | Pattern::Below(_) => false,
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some((address, length)) = text.split_once('/') {
            return network(address, length).map(Self::Network);
        }
        if let Some(name) = text.strip_prefix("*.") {
            return match Host::parse(name) {
                Some(Host::Name(name)) => Ok(Self::Below(format!(".{name}"))),
                Some(Host::Address(_)) => Err("addresses have no subdomains"),
                None => Err("its host is malformed"),
            };
        }
        if text.contains('*') {
            return Err("\"*\" may stand only alone or as the whole first label");
        }
        if !text.is_ascii() {
            return Err("its name is not ASCII (write it in its xn-- form)");
        }
        Host::parse(text)
            .map(Self::Exactly)
            .ok_or("its host is malformed")
    }
}

/// Parses a network whose host bits are zero: any others suggest a mistake.
fn network(address: &str, length: &str) -> Result<IpNet, &'static str> {
    let Some(Host::Address(address)) = Host::parse(address) else {
        return Err(
            "it has a path, and grants are for whole hosts (or networks, such as 10.0.0.0/8)",
        );
    };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let network = length
        .parse()
        .ok()
        .filter(|_| digits)
        .and_then(|length| IpNet::new(address, length).ok())
        .ok_or("the number after its \"/\" is not the length of a network")?;
    if network.trunc() != network {
        return Err("its address is not the first address of its network");
    }
    Ok(network)
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        Self::parse(text).map_err(|problem| HostPatternError {
            value: text.to_owned(),
            problem,
        })
    }
}

/// The error of a malformed host.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "\"{value}\" does not name hosts: {problem}; accepted are a name, *.NAME, an IPv4 address, an IPv6 \
     address in brackets, and a network"
)]
pub struct HostPatternError {
    value: String,
    problem: &'static str,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Exactly(host) => host.fmt(f),
            Pattern::Below(suffix) => write!(f, "*{suffix}"),
            Pattern::Network(network) => {
                let address = Host::Address(network.addr());
                write!(f, "{address}/{}", network.prefix_len())
            }
        }
    }
}
