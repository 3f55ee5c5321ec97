//! How outgoing connections are made: TLS and the forward proxy, of the command line and of a
//! headwater.toml.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use headwater_config::Service;
use headwater_egress::{ClientIdentity, HostPattern, Proxy, TlsSettings};

/// How outgoing connections are made. The certificates and the proxy are for all services that do not
/// have their own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outgoing connections")]
pub(crate) struct ConnectingArgs {
    /// Trust the certificates in a PEM file besides the machine's; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,

    /// Show a certificate (PEM) to upstreams of a host that ask for one; may be given several times
    #[arg(long, value_name = "HOST=CERTIFICATE,KEY", value_parser = parse_identity)]
    pub(crate) client_cert: Vec<ClientIdentity>,

    /// Do NOT verify the certificates of a host, so that anybody may pretend to be it: for
    /// development only; may be given several times
    #[arg(long, value_name = "HOST", value_parser = parse_unverified)]
    pub(crate) danger_no_verify: Vec<HostPattern>,

    /// Reach upstreams by a forward proxy: `http://[USER:PASSWORD@]HOST[:PORT]` (or `https://`), or
    /// `env` for what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say; the proxy resolves names,
    /// so the policy on addresses does not see what they resolve to
    #[arg(
        long,
        value_name = "URL|env",
        env = "HEADWATER_PROXY",
        hide_env_values = true
    )]
    pub(crate) proxy: Option<String>,

    /// Reach these hosts (and all below them), addresses and networks without the proxy, separated
    /// by commas
    #[arg(long, value_name = "HOSTS", requires = "proxy")]
    pub(crate) no_proxy: Option<String>,
}

/// How a service's outgoing connections are made.
#[derive(Debug, Clone)]
pub(crate) struct Connecting {
    pub(crate) tls: TlsSettings,
    pub(crate) proxy: Proxy,
}

// === impl ConnectingArgs ===

impl ConnectingArgs {
    /// The first flag that was given which is for a single guest, if any was.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        if !self.client_cert.is_empty() {
            Some("--client-cert")
        } else if !self.danger_no_verify.is_empty() {
            Some("--danger-no-verify")
        } else {
            None
        }
    }

    /// For a single guest.
    pub(crate) fn single(&self) -> Result<Connecting> {
        let tls = TlsSettings {
            authorities: self.ca.clone(),
            identities: self.client_cert.clone(),
            unverified: self.danger_no_verify.clone(),
            ..TlsSettings::default()
        };
        tls.check()?;
        let proxy = self.proxy.as_deref().unwrap_or("none");
        let proxy = read_proxy(proxy, self.no_proxy.as_deref().unwrap_or_default())
            .context("in --proxy")?;
        Ok(Connecting { tls, proxy })
    }

    /// For a service of a file in `base`: what it says, and where it is silent, what the command line
    /// says.
    pub(crate) fn of(&self, service: &Service, base: &Path) -> Result<Connecting> {
        let identities = service.client_certificates.iter().map(|identity| {
            Ok(ClientIdentity {
                hosts: identity.host.parse().context("in `client_certificates`")?,
                certificate: base.join(&identity.certificate),
                key: base.join(&identity.key),
            })
        });
        let unverified = service.danger_no_verify.iter();
        let unverified = unverified.map(|host| parse_unverified(host).map_err(anyhow::Error::msg));
        let tls = TlsSettings {
            authorities: match &service.ca {
                Some(files) => files.iter().map(|file| base.join(file)).collect(),
                None => self.ca.clone(),
            },
            identities: identities.collect::<Result<_>>()?,
            unverified: unverified
                .collect::<Result<_>>()
                .context("in `danger_no_verify`")?,
            ..TlsSettings::default()
        };
        tls.check()?;
        let proxy = service.proxy.as_deref().or(self.proxy.as_deref());
        let no_proxy = match &service.no_proxy {
            Some(hosts) => hosts.join(","),
            None => self.no_proxy.clone().unwrap_or_default(),
        };
        let proxy = read_proxy(proxy.unwrap_or("none"), &no_proxy).context("in `proxy`")?;
        Ok(Connecting { tls, proxy })
    }

    /// Tells of a proxy in the environment that nobody was told to use.
    pub(crate) fn note_unused_environment(&self) {
        if self.proxy.is_none() && Proxy::is_in_env() {
            tracing::info!(
                "the environment names a proxy, which is not used: --proxy env uses it for \
                 outgoing requests"
            );
        }
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

fn parse_identity(text: &str) -> Result<ClientIdentity, String> {
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

/// Not `*`: whoever needs that for development can name their hosts.
fn parse_unverified(text: &str) -> Result<HostPattern, String> {
    let hosts: HostPattern = text.parse().map_err(|error| format!("{error}"))?;
    if hosts.is_any() {
        return Err("name the hosts; verification cannot be left out for all".to_owned());
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
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
