use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::group::beside_group;
use super::{settings, words};
use crate::{ListenAddress, Network};

/// One place to listen, and how it is spoken with there: a `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "ListenerSettings")]
pub struct ListenerSettings {
    /// Where to listen: an address and a port (0 picks a free one), `unix:/path`, or `systemd:NAME` for a
    /// socket that systemd passes on
    pub listen: ListenAddress,
    /// Connections are encrypted, by HTTP/2 or HTTP/1.1 as the client likes. Certificates are read again
    /// when their files change [default: they are not]
    pub tls: Option<TlsSettings>,
    /// Whose its connections are.
    #[serde(default)]
    #[schemars(flatten)]
    pub proxy: ProxyProtocolSettings,
}

settings! {
    /// Whether connections begin with a PROXY header.
    #[command(next_help_heading = "Listening")]
    pub struct ProxyProtocolSettings {
        /// Whether each connection begins with a PROXY header (version 1 or 2), which says whose it is
        /// [default: off]
        #[arg(long, value_name = "WHETHER", env = "HEADWATER_PROXY_PROTOCOL")]
        pub proxy_protocol: Option<ProxyProtocolMode>,

        /// Networks of proxies, separated by commas; connections from elsewhere have no such header
        /// [default: all are of proxies]
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

/// How connections of a listener are encrypted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[schemars(rename = "TlsSettings")]
pub struct TlsSettings {
    /// Certificates, of which the name that a client asks for chooses; the first is for all others
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients show theirs.
    #[serde(default)]
    #[schemars(flatten)]
    pub clients: ClientAuthSettings,
}

settings! {
    /// Whether clients show a certificate.
    #[command(next_help_heading = "Listening")]
    pub struct ClientAuthSettings {
        /// Certificates (PEM) of those who vouch for clients [default: nobody]
        #[arg(
            id = "tls_client_ca",
            long = "tls-client-ca",
            value_name = "FILE",
            env = "HEADWATER_TLS_CLIENT_CA",
            requires = "tls_cert"
        )]
        pub client_ca: Option<PathBuf>,

        /// Whether clients show a certificate: it is not asked for, it may be shown, or it must be. Guests
        /// see a verified one in `client-cert` and `x-client-cert-subject` [default: off, or required if
        /// it is said who vouches for clients]
        #[arg(
            id = "tls_client_auth",
            long = "tls-client-auth",
            value_name = "WHETHER",
            env = "HEADWATER_TLS_CLIENT_AUTH",
            requires = "tls_cert"
        )]
        pub client_auth: Option<ClientAuthMode>,
    }
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
    pub enum ClientAuthMode {
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
    pub enum ProxyProtocolMode {
        /// They begin with a request.
        #[default]
        Off,
        /// A connection that begins otherwise is closed.
        Required,
    }
}

beside_group!(ListenerSettings, proxy);
beside_group!(TlsSettings, clients);

// === impl ListenerSettings ===

impl ListenerSettings {
    /// The settings of a file in `folder`, with their files where they are.
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
    /// Whether clients show a certificate, with the default.
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
