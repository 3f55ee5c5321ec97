//! The address of a listener, as requested and as bound.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address to listen on.
///
/// As text: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/headwater.sock`, or `systemd:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port. Port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix-domain socket at this path. Replaces a file that an earlier process left, but not one
    /// that another process listens on; removes the file at the end. The folder's permissions and
    /// the process's umask decide who may connect.
    Unix(PathBuf),
    /// A socket that the process was started with, as by systemd: its name in `LISTEN_FDNAMES`
    /// (`FileDescriptorName=` in a socket unit), or its number from 0 on (sd_listen_fds(3)).
    Inherited(String),
}

/// The error of a text that is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an address to listen on: {problem}; write an IP address with its port such as \
     127.0.0.1:8080 or [::]:8080, `unix:` with a path, or `systemd:` with the name or number of an \
     inherited socket"
)]
pub struct EndpointError {
    text: String,
    problem: &'static str,
}

/// The address of a bound listener.
///
/// As text, a URL: `http://127.0.0.1:8080`, `https://127.0.0.1:8443`, `http+unix:/run/x.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundAddress {
    pub(crate) tls: bool,
    pub(crate) address: Address,
}

/// The bound address without its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// Empty for an inherited socket without a name in the file system.
    Unix(PathBuf),
}

// === impl Endpoint ===

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refused = |problem| EndpointError {
            text: text.to_owned(),
            problem,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(refused("the path is missing"));
            }
            return Ok(Self::Unix(path.into()));
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            if name.is_empty() {
                return Err(refused("the name is missing"));
            }
            return Ok(Self::Inherited(name.to_owned()));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) if text.parse::<std::net::IpAddr>().is_ok() => {
                Err(refused("the port is missing"))
            }
            Err(_) => Err(refused(
                "it is neither an IP address with a port nor a socket",
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "systemd:{name}"),
        }
    }
}

// === impl BoundAddress ===

impl BoundAddress {
    /// Returns true if connections are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the address of a TCP listener, with the actual port.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Returns the path of a Unix-domain socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.address {
            Address::Tcp(_) => None,
            Address::Unix(path) => Some(path),
        }
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match &self.address {
            Address::Tcp(address) => write!(f, "{scheme}://{address}"),
            Address::Unix(path) => write!(f, "{scheme}+unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for text in [
            "127.0.0.1:8080",
            "[::1]:0",
            "unix:/run/x.sock",
            "systemd:web",
            "systemd:0",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn a_text_that_is_no_endpoint_is_told_what_it_lacks() {
        for (text, lack) in [
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            ("unix:", "the path is missing"),
            ("systemd:", "the name is missing"),
            ("localhost:80", "neither"),
        ] {
            let told = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(told.contains(text) && told.contains(lack), "{told}");
            assert!(told.contains("127.0.0.1:8080"), "{told}");
        }
    }

    #[test]
    fn a_bound_address_is_a_url() {
        let at = |tls, address| BoundAddress { tls, address }.to_string();
        let tcp = Address::Tcp(([127, 0, 0, 1], 80).into());
        assert_eq!(at(false, tcp.clone()), "http://127.0.0.1:80");
        assert_eq!(at(true, tcp), "https://127.0.0.1:80");
        assert_eq!(at(false, Address::Unix("/x".into())), "http+unix:/x");
    }
}
