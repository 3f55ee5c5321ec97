//! Converts the settings of outgoing connections: TLS and the forward proxy.

use std::path::Path;

use anyhow::{Context, Result};
use headwater_config::settings::ConnectingSettings;
use headwater_egress::{ClientIdentity, ClientTls, HostPattern, Proxy};

#[derive(Debug, Clone, Default)]
pub(crate) struct Connecting {
    pub(crate) tls: ClientTls,
    pub(crate) proxy: Proxy,
}

// === impl Connecting ===

impl Connecting {
    /// Converts the settings, with the certificates to show and the hosts whose certificates are
    /// not verified. Returns an error if a file cannot be used, or if the proxy is invalid.
    pub(crate) fn of(
        settings: &ConnectingSettings,
        identities: Vec<ClientIdentity>,
        unverified: Vec<HostPattern>,
    ) -> Result<Self> {
        let tls = ClientTls {
            authorities: settings.ca.clone().unwrap_or_default(),
            identities,
            unverified,
            ..ClientTls::default()
        };
        tls.check()?;
        Ok(Self {
            tls,
            proxy: proxy(settings).context("in `proxy`")?,
        })
    }
}

/// Checks that a file of trusted certificates can be used.
pub(crate) fn check_authority(file: &Path) -> Result<()> {
    let tls = ClientTls {
        authorities: vec![file.to_owned()],
        ..ClientTls::default()
    };
    Ok(tls.check()?)
}

pub(crate) fn check_identity(identity: &ClientIdentity) -> Result<()> {
    let tls = ClientTls {
        identities: vec![identity.clone()],
        ..ClientTls::default()
    };
    Ok(tls.check()?)
}

pub(crate) fn proxy(settings: &ConnectingSettings) -> Result<Proxy> {
    let no_proxy = settings.no_proxy.as_deref().unwrap_or_default().join(",");
    read_proxy(settings.proxy.as_deref().unwrap_or("none"), &no_proxy)
}

/// Logs that the environment names a proxy that is not used.
pub(crate) fn note_unused_environment() {
    if Proxy::is_in_env() {
        tracing::info!(
            "the environment names a proxy, which is not used: --proxy env uses it for outgoing \
             requests"
        );
    }
}

fn read_proxy(proxy: &str, no_proxy: &str) -> Result<Proxy> {
    Ok(match proxy {
        "none" => Proxy::none(),
        "env" => {
            anyhow::ensure!(
                no_proxy.is_empty(),
                "with `env` the exceptions are those of the variable NO_PROXY: set it instead"
            );
            Proxy::from_env()?
        }
        url => Proxy::new(url, no_proxy)?,
    })
}

pub(crate) fn parse_identity(text: &str) -> Result<ClientIdentity, String> {
    let parts = text.split_once('=').and_then(|(hosts, files)| {
        let (certificate, key) = files.split_once(',')?;
        Some((hosts, certificate, key))
    });
    match parts {
        Some((hosts, certificate, key)) if !certificate.is_empty() && !key.is_empty() => {
            Ok(ClientIdentity {
                hosts: hosts.parse().map_err(|error| format!("{error}"))?,
                certificate: certificate.into(),
                key: key.into(),
            })
        }
        _ => Err("write HOST=CERTIFICATE,KEY".to_owned()),
    }
}

/// Parses a pattern of hosts. `*` is refused: developers can name their hosts.
pub(crate) fn parse_unverified(text: &str) -> Result<HostPattern, String> {
    let hosts: HostPattern = text.parse().map_err(|error| format!("{error}"))?;
    if hosts.is_any() {
        return Err("name the hosts: verification cannot be turned off for all".to_owned());
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn an_identity_has_hosts_a_certificate_and_a_key() {
        let identity = parse_identity("*.a.example=c.pem,k.pem").unwrap();
        assert_eq!(identity.hosts, "*.a.example".parse().unwrap());
        assert_eq!(identity.certificate, PathBuf::from("c.pem"));
        assert_eq!(identity.key, PathBuf::from("k.pem"));
        for wrong in [
            "",
            "a.example",
            "a.example=c.pem",
            "a.example=,k",
            "a b=c,k",
        ] {
            assert!(parse_identity(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn verification_is_never_left_out_for_all() {
        assert!(parse_unverified("localhost").is_ok());
        assert!(parse_unverified("*").is_err());
    }

    #[test]
    fn an_exception_from_the_environment_is_the_environment_s() {
        assert!(read_proxy("env", "a.example").is_err());
        assert!(read_proxy("none", "").is_ok());
        assert!(read_proxy("http://p.example", "a.example").is_ok());
    }
}
