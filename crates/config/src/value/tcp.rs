use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::text_value;

/// An address and a port: `127.0.0.1:9901`, `[::1]:9901`. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpAddress(SocketAddr);

/// The error for text that is not an address and a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address and a port: write `127.0.0.1:9901` or `[::1]:9901` (port 0 for any free one), not a \
     name, a path or a socket of systemd"
)]
pub struct TcpAddressError(String);

text_value!(
    TcpAddress,
    "an address and a port such as `\"127.0.0.1:9901\"`",
    "^.+:[0-9]+$",
    ["127.0.0.1:9901", "[::1]:9901"]
);

impl TcpAddress {
    /// Returns the address as the standard library's type.
    #[must_use]
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for TcpAddress {
    type Err = TcpAddressError;

    fn from_str(text: &str) -> Result<Self, TcpAddressError> {
        let address = text.parse().map(Self);
        address.map_err(|_| TcpAddressError(text.to_owned()))
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_and_is_no_path() {
        let address: TcpAddress = "[::1]:9901".parse().unwrap();
        assert_eq!(address.to_string(), "[::1]:9901");
        for text in ["unix:/tmp/x", "systemd:x", "127.0.0.1", "localhost:80", ""] {
            let error = text.parse::<TcpAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
