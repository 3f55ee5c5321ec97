use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::words;
use crate::ListenAddress;

/// One place to listen, and how it is spoken with there: a `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// Where to listen: an address and a port (0 picks a free one), `unix:/path`, or `systemd:NAME` for a
    /// socket that systemd passes on
    pub listen: ListenAddress,
    /// Connections are encrypted, by HTTP/2 or HTTP/1.1 as the client likes. Certificates are read again
    /// when their files change [default: they are not]
    pub tls: Option<TlsSettings>,
    /// Whether each connection begins with a PROXY header (version 1 or 2), which says whose it is
    /// [default: off]
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Networks of proxies; connections from elsewhere have no such header [default: all are of proxies]
    #[schemars(with = "Option<Vec<String>>")]
    pub proxy_protocol_from: Option<Vec<IpNet>>,
}

/// How connections of a listener are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificates, of which the name that a client asks for chooses; the first is for all others
    pub certificates: Vec<CertificateFiles>,
    /// Certificates (PEM) of those who vouch for clients
    pub client_ca: Option<PathBuf>,
    /// Whether clients show a certificate: it is not asked for, it may be shown, or it must be. Guests see
    /// a verified one in `client-cert` and `x-client-cert-subject` [default: off, or required with
    /// `client_ca`]
    pub client_auth: Option<ClientAuth>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate and those that vouch for it (PEM)
    pub certificate: PathBuf,
    /// Its key (PEM, not encrypted)
    pub key: PathBuf,
    /// For which names it is: `example.com`, `*.example.com` [default: those that stand in it]
    pub names: Option<Vec<String>>,
}

words! {
    /// Whether clients show a certificate.
    #[derive(Default)]
    pub enum ClientAuth {
        /// It is not asked for.
        #[default]
        Off,
        /// It may be shown, and is verified then.
        Optional,
        /// A connection without one is refused.
        Required,
    }
}

words! {
    /// Whether connections begin with a PROXY header.
    #[derive(Default)]
    pub enum ProxyProtocol {
        /// They begin with a request.
        #[default]
        Off,
        /// A connection that begins otherwise is closed.
        Required,
    }
}

/// The flags by which listeners are described: all of `--listen` are alike.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenArgs {
    /// Where to listen: an address and a port (0 picks a free one and prints it), `unix:/path`, or
    /// `systemd:NAME`; may be given several times, and replaces the listeners of a headwater.toml
    /// [default: 127.0.0.1:8080]
    #[arg(
        short,
        long,
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        env = "HEADWATER_LISTEN"
    )]
    pub listen: Option<Vec<ListenAddress>>,

    /// The certificate for https, and those that vouch for it, as PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_TLS_CERT",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,

    /// The key of the certificate, as PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_TLS_KEY",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,

    /// Certificates of those who vouch for clients, as PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_TLS_CLIENT_CA",
        requires = "tls_cert"
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// Whether clients show a certificate [default: off, or required with --tls-client-ca]
    #[arg(
        long,
        value_name = "WHETHER",
        env = "HEADWATER_TLS_CLIENT_AUTH",
        requires = "tls_cert"
    )]
    pub tls_client_auth: Option<ClientAuth>,

    /// Whether each connection begins with a PROXY header, which says whose it is [default: off]
    #[arg(long, value_name = "WHETHER", env = "HEADWATER_PROXY_PROTOCOL")]
    pub proxy_protocol: Option<ProxyProtocol>,

    /// Networks of proxies, separated by commas; connections from elsewhere have no such header
    /// [default: all are of proxies]
    #[arg(
        long,
        value_name = "NETWORKS",
        value_delimiter = ',',
        env = "HEADWATER_PROXY_PROTOCOL_FROM",
        requires = "proxy_protocol"
    )]
    pub proxy_protocol_from: Option<Vec<IpNet>>,
}

// === impl TlsSettings ===

impl TlsSettings {
    /// Whether clients show a certificate, with the default.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        let default = match self.client_ca {
            Some(_) => ClientAuth::Required,
            None => ClientAuth::Off,
        };
        self.client_auth.unwrap_or(default)
    }
}

// === impl ListenArgs ===

impl ListenArgs {
    /// Where is listened if nothing says it.
    pub const DEFAULT: &str = "127.0.0.1:8080";

    /// The listeners: those of the flags, or else of the file, or else the default one.
    ///
    /// # Errors
    ///
    /// When flags say how to listen, and only the file says where, or a client's certificate is asked for
    /// and nobody is named who vouches for it.
    pub fn listeners(
        &self,
        file: &[ListenerSettings],
    ) -> Result<Vec<ListenerSettings>, ListenArgsError> {
        let how = [
            ("--tls-cert", self.tls_cert.is_some()),
            ("--proxy-protocol", self.proxy_protocol.is_some()),
        ];
        if self.listen.is_none() && !file.is_empty() {
            return match how.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(ListenArgsError::Unclear(flag)),
                None => Ok(file.to_vec()),
            };
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsSettings {
                certificates: vec![CertificateFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    names: None,
                }],
                client_ca: self.tls_client_ca.clone(),
                client_auth: self.tls_client_auth,
            }),
            _ => None,
        };
        if let Some(tls) = &tls
            && tls.client_auth() != ClientAuth::Off
            && tls.client_ca.is_none()
        {
            return Err(ListenArgsError::NoClientCa);
        }
        let default = || Self::DEFAULT.parse().map(|address| vec![address]);
        let listen = match &self.listen {
            Some(addresses) => addresses.clone(),
            None => default().unwrap_or_default(),
        };
        let listener = |listen| ListenerSettings {
            listen,
            tls: tls.clone(),
            proxy_protocol: self.proxy_protocol.unwrap_or_default(),
            proxy_protocol_from: self.proxy_protocol_from.clone(),
        };
        Ok(listen.into_iter().map(listener).collect())
    }
}

/// Why the flags do not say how to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenArgsError {
    /// They say how, and not where.
    #[error(
        "{0} is for the listeners of --listen, and the file has its own: give --listen, too, or write it \
         into a [[listener]]"
    )]
    Unclear(&'static str),
    /// Nobody vouches for clients.
    #[error(
        "--tls-client-auth asks for certificates: name those who vouch for them by --tls-client-ca"
    )]
    NoClientCa,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(listen: &str) -> ListenerSettings {
        ListenerSettings {
            listen: listen.parse().unwrap(),
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
            proxy_protocol_from: None,
        }
    }

    #[test]
    fn flags_replace_the_listeners_of_the_file() {
        let file = [listener("127.0.0.1:1"), listener("unix:/x")];
        let silent = ListenArgs::default();
        assert_eq!(silent.listeners(&file).unwrap(), file);
        assert_eq!(
            silent.listeners(&[]).unwrap(),
            [listener(ListenArgs::DEFAULT)]
        );
        let flags = ListenArgs {
            listen: Some(vec!["127.0.0.1:2".parse().unwrap()]),
            ..ListenArgs::default()
        };
        assert_eq!(flags.listeners(&file).unwrap(), [listener("127.0.0.1:2")]);
    }

    #[test]
    fn flags_that_say_how_need_to_say_where_if_the_file_does() {
        let flags = ListenArgs {
            proxy_protocol: Some(ProxyProtocol::Required),
            ..ListenArgs::default()
        };
        let [one] = &flags.listeners(&[]).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(one.proxy_protocol, ProxyProtocol::Required);
        let error = flags.listeners(&[listener("unix:/x")]).unwrap_err();
        assert!(error.to_string().contains("--listen"), "{error}");
    }
}
