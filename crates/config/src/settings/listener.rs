use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::group::beside_group;
use super::{settings, words};
use crate::{ListenAddress, Network};

/// An address to listen on, with its TLS and PROXY settings: a `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "ListenerSettings")]
pub struct ListenerSettings {
    /// Address and port to listen on (port 0 picks a free port), `unix:/path`, or `systemd:NAME`
    /// for a socket that systemd passes on
    pub listen: ListenAddress,
    /// TLS, with HTTP/2 or HTTP/1.1 as the client prefers. Changed certificate files are read again
    /// [default: no TLS]
    pub tls: Option<TlsSettings>,
    /// PROXY headers.
    #[serde(default)]
    #[schemars(flatten)]
    pub proxy: ProxyProtocolSettings,
}

settings! {
    /// PROXY headers of connections.
    #[command(next_help_heading = "Listening")]
    pub struct ProxyProtocolSettings {
        /// PROXY header (version 1 or 2) at the start of each connection, which names the client:
        /// off or required [default: off]
        #[arg(long, value_name = "MODE", env = "HEADWATER_PROXY_PROTOCOL")]
        pub proxy_protocol: Option<ProxyProtocolMode>,

        /// Networks of proxies that send PROXY headers, separated by commas; connections from
        /// elsewhere have no such header [default: all networks]
        #[arg(
            long,
            value_name = "NETWORKS",
            value_delimiter = ',',
            env = "HEADWATER_PROXY_PROTOCOL_FROM",
            requires = "proxy_protocol"
        )]
        pub proxy_protocol_from: Option<Vec<Network>>,
    }
}

/// The TLS settings of a listener.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "TlsSettings")]
pub struct TlsSettings {
    /// Certificates. A client gets the certificate for the name that it asks for, or else the first
    /// one
    pub certificates: Vec<CertificateFiles>,
    /// Client certificates.
    #[serde(default)]
    #[schemars(flatten)]
    pub clients: ClientAuthSettings,
}

settings! {
    /// Client certificates.
    #[command(next_help_heading = "Listening")]
    pub struct ClientAuthSettings {
        /// Certificates (PEM) of the CAs that verify client certificates [default: none]
        #[flag("tls-client-ca", "FILE", "HEADWATER_TLS_CLIENT_CA")]
        #[arg(requires = "tls_cert")]
        pub client_ca: Option<PathBuf>,

        /// Client certificates: off, optional or required. Guests see a verified one in
        /// `client-cert` and `x-client-cert-subject` [default: off, or required if `client_ca` is
        /// set]
        #[flag("tls-client-auth", "MODE", "HEADWATER_TLS_CLIENT_AUTH")]
        #[arg(requires = "tls_cert")]
        pub client_auth: Option<ClientAuthMode>,
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// Certificate with its chain (PEM)
    pub certificate: PathBuf,
    /// Key of the certificate (PEM, not encrypted)
    pub key: PathBuf,
    /// Names that the certificate is for: `example.com`, `*.example.com` [default: the names in the
    /// certificate]
    pub names: Option<Vec<String>>,
}

words! {
    /// The mode of client certificates.
    #[derive(Default)]
    pub enum ClientAuthMode {
        /// Clients are not asked for a certificate.
        #[default]
        Off,
        /// A client may show a certificate, which is then verified.
        Optional,
        /// A connection without a certificate is refused.
        Required,
    }
}

words! {
    /// The mode of PROXY headers.
    #[derive(Default)]
    pub enum ProxyProtocolMode {
        /// Connections begin with a request.
        #[default]
        Off,
        /// A connection without a PROXY header is closed.
        Required,
    }
}

beside_group!(ListenerSettings, proxy);
beside_group!(TlsSettings, clients);

// === impl ListenerSettings ===

impl ListenerSettings {
    pub(crate) fn within(&mut self, folder: &Path) {
        if let ListenAddress::Unix(socket) = &mut self.listen {
            *socket = folder.join(&*socket);
        }
        let Some(tls) = &mut self.tls else {
            return;
        };
        for files in &mut tls.certificates {
            files.certificate = folder.join(&files.certificate);
            files.key = folder.join(&files.key);
        }
        if let Some(authorities) = &mut tls.clients.client_ca {
            *authorities = folder.join(&*authorities);
        }
    }
}

// === impl ClientAuthSettings ===

impl ClientAuthSettings {
    /// Returns the mode of client certificates, with the default applied.
    #[must_use]
    pub fn asked(&self) -> ClientAuthMode {
        let default = match self.client_ca {
            Some(_) => ClientAuthMode::Required,
            None => ClientAuthMode::Off,
        };
        self.client_auth.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_says_all_of_itself_in_one_table() {
        let text = "listen = \"127.0.0.1:1\"\nproxy_protocol = \"required\"\n\
                    proxy_protocol_from = [\"10.0.0.0/8\"]\n[tls]\nclient_ca = \"ca.pem\"\n\
                    certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }]";
        let listener: ListenerSettings = toml::from_str(text).unwrap();
        assert_eq!(
            listener.proxy.proxy_protocol,
            Some(ProxyProtocolMode::Required)
        );
        assert_eq!(listener.proxy.proxy_protocol_from.unwrap().len(), 1);
        let tls = listener.tls.unwrap();
        assert_eq!(tls.clients.asked(), ClientAuthMode::Required);
        assert_eq!(tls.certificates[0].key, Path::new("k.pem"));
        for (wrong, said) in [
            (text.replace("10.0.0.0/8", "ten"), "line 3"),
            (text.replace("client_ca", "client_cas"), "line 5"),
            (text.replace("listen =", "proxy_protocl ="), "line 1"),
            (text.replace("certificates =", "client_auth ="), "line 6"),
        ] {
            let error = toml::from_str::<ListenerSettings>(&wrong).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
