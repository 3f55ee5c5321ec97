use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::text_value;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port: `127.0.0.1:8080`, `[::]:80`. Port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix-domain socket: `unix:/run/headwater.sock`.
    Unix(PathBuf),
    /// A socket that systemd passes on, by its `FileDescriptorName=` or its number from 0:
    /// `systemd:public`, `systemd:0`.
    Inherited(String),
}

/// The error for text that is not an address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address to listen on: write an address and a port (`127.0.0.1:8080`, `[::1]:8080`, port 0 for \
     any free one), `unix:/path/of/a.sock`, or `systemd:NAME`"
)]
pub struct ListenError(String);

text_value!(
    ListenAddress,
    "an address such as `\"127.0.0.1:8080\"`, `\"unix:/path\"` or `\"systemd:NAME\"`",
    "^(unix:.+|systemd:.+|.+:[0-9]+)$",
    [
        "127.0.0.1:8080",
        "unix:/run/headwater.sock",
        "systemd:public"
    ]
);

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let error = || ListenError(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("systemd", name)) if !name.is_empty() => Ok(Self::Inherited(name.to_owned())),
            _ => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_listen_is_an_address_a_path_or_a_name() {
        for text in ["127.0.0.1:0", "[::1]:8080", "unix:/run/x.sock", "systemd:0"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "",
            "nowhere",
            "127.0.0.1",
            "127.0.0.1:99999",
            "unix:",
            "systemd:",
            ":80",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
