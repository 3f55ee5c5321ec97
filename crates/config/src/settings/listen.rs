use std::path::PathBuf;

use clap::Args;

use super::{
    CertificateFiles, ClientAuthMode, ClientAuthSettings, ListenerSettings, ProxyProtocolSettings,
    TlsSettings,
};
use crate::ListenAddress;

/// The flags that describe listeners. All addresses of `--listen` share them.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenArgs {
    /// Address and port to listen on (port 0 picks a free port and prints it), `unix:/path`, or
    /// `systemd:NAME`. May be given several times, and replaces the listeners of a headwater.toml
    /// [default: 127.0.0.1:8080]
    #[arg(
        short,
        long,
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        env = "HEADWATER_LISTEN"
    )]
    pub listen: Option<Vec<ListenAddress>>,

    /// Certificate for HTTPS, with its chain (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_TLS_CERT",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,

    /// Key of the certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "HEADWATER_TLS_KEY",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,

    /// Client certificates.
    #[command(flatten)]
    pub tls_clients: ClientAuthSettings,

    /// PROXY headers.
    #[command(flatten)]
    pub proxy: ProxyProtocolSettings,
}

// === impl ListenArgs ===

impl ListenArgs {
    /// The address of the listener if none is configured.
    pub const DEFAULT: &str = "127.0.0.1:8080";

    /// Returns the listeners: those of the flags, else those of the file, else the default one.
    ///
    /// # Errors
    ///
    /// Returns an error if flags configure listeners that only the file names, or if client
    /// certificates are asked for without a CA that verifies them.
    pub fn listeners(
        &self,
        file: &[ListenerSettings],
    ) -> Result<Vec<ListenerSettings>, ListenArgsError> {
        let how = [
            ("--tls-cert", self.tls_cert.is_some()),
            ("--proxy-protocol", self.proxy.proxy_protocol.is_some()),
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
                clients: self.tls_clients.clone(),
            }),
            _ => None,
        };
        if let Some(tls) = &tls
            && tls.clients.asked() != ClientAuthMode::Off
            && tls.clients.client_ca.is_none()
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
            proxy: self.proxy.clone(),
        };
        Ok(listen.into_iter().map(listener).collect())
    }
}

/// An error in the flags of listeners.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenArgsError {
    /// Flags configure listeners, but the file names them.
    #[error(
        "{0} applies to the listeners of --listen, but the file has its own: add --listen, or write the \
         setting into a [[listener]]"
    )]
    Unclear(&'static str),
    /// Client certificates are asked for, but no CA verifies them.
    #[error(
        "--tls-client-auth asks clients for certificates: name the CA that verifies them with --tls-client-ca"
    )]
    NoClientCa,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ProxyProtocolMode;

    fn listener(listen: &str) -> ListenerSettings {
        ListenerSettings {
            listen: listen.parse().unwrap(),
            tls: None,
            proxy: ProxyProtocolSettings::default(),
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
            proxy: ProxyProtocolSettings {
                proxy_protocol: Some(ProxyProtocolMode::Required),
                proxy_protocol_from: None,
            },
            ..ListenArgs::default()
        };
        let [one] = &flags.listeners(&[]).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(one.proxy.proxy_protocol, Some(ProxyProtocolMode::Required));
        let error = flags.listeners(&[listener("unix:/x")]).unwrap_err();
        assert!(error.to_string().contains("--listen"), "{error}");
    }
}
