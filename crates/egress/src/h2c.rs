//! Upstreams that speak HTTP/2 without TLS.

use std::str::FromStr;

use http::Uri;

use crate::target::{Scheme, Target};

/// An upstream that is known to speak HTTP/2 without TLS ("prior knowledge", RFC 9113, 3.3). Written
/// `http://HOST:PORT` or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct H2c(Target);

/// The error of a text that is not such an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an upstream of HTTP/2 without TLS; write `HOST:PORT` or `http://HOST:PORT`")]
pub struct H2cError(String);

// === impl H2c ===

impl H2c {
    pub(crate) fn is(&self, target: &Target) -> bool {
        self.0 == *target
    }
}

impl FromStr for H2c {
    type Err = H2cError;

    fn from_str(text: &str) -> Result<Self, H2cError> {
        let error = || H2cError(text.to_owned());
        let absolute = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = absolute.parse().map_err(|_| error())?;
        let only_a_host = uri.path() == "/" && uri.query().is_none() && !absolute.ends_with('/');
        match Target::of(&uri) {
            Ok(target) if target.scheme == Scheme::Http && only_a_host => Ok(Self(target)),
            _ => Err(error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_host_and_port_and_never_tls() {
        let one: H2c = "http://127.0.0.1:9000".parse().unwrap();
        assert_eq!(one, "127.0.0.1:9000".parse().unwrap());
        for (uri, is) in [
            ("http://127.0.0.1:9000/x?y", true),
            ("http://127.0.0.1:9001/", false),
            ("https://127.0.0.1:9000/", false),
        ] {
            let target = Target::of(&uri.parse().unwrap()).unwrap();
            assert_eq!(one.is(&target), is, "{uri}");
        }
        for wrong in ["https://a.example", "a.example/path", "a b", "", "a:0", "*"] {
            let error = wrong.parse::<H2c>().unwrap_err();
            assert!(error.to_string().contains("HOST:PORT"));
        }
    }
}
