//! One service's TLS: its roots, its client certificates, and its sessions, which no other service
//! resumes.

mod client_tls;
mod files;
mod roots;
mod unverified;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use headwater_core::FileStamps;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::EgressError;
use crate::error::{Phase, said};
use crate::target::Host;
use crate::transport::Transport;

use files::{LoadedFiles, provider};
use unverified::Unverified;

pub use client_tls::{ClientIdentity, ClientTls};
pub use files::TlsFileError;
pub use roots::TlsRoots;

/// Does TLS handshakes for one service. Clones are cheap and share everything.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    roots: TlsRoots,
    settings: Arc<ClientTls>,
    // Locked while files are read, so that they are read once.
    state: Mutex<Option<State>>,
}

/// The configuration that the files gave when they were read.
struct State {
    stamps: FileStamps,
    checked: Instant,
    loaded: Arc<LoadedFiles>,
    /// Including the sessions made with them.
    configs: HashMap<Profile, Arc<ClientConfig>>,
}

/// The properties that select a connection's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Profile {
    identity: Option<usize>,
    verified: bool,
    h2: bool,
}

// === impl Tls ===

impl Tls {
    pub(crate) fn new(service: Arc<str>, roots: TlsRoots, settings: ClientTls) -> Self {
        Self(Arc::new(Inner {
            service,
            roots,
            settings: Arc::new(settings),
            state: Mutex::new(None),
        }))
    }

    pub(crate) fn verifies(&self, host: &Host) -> bool {
        self.0.settings.verifies(host)
    }

    /// Does the handshake with a host, over a connection to it. Returns the errors of TLS, or
    /// [`EgressError::ConnectionTerminated`] if the other end leaves. Returns [`EgressError::NoRoots`] or
    /// [`EgressError::TlsSettings`] if the TLS configuration cannot be made.
    pub(crate) async fn handshake(
        &self,
        host: &Host,
        transport: Transport,
        h2: bool,
    ) -> Result<Transport, EgressError> {
        let config = self.config(host, h2).await?;
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| EgressError::InvalidUri {
                    reason: "its host is not a name that a certificate can have",
                })?
            }
        };
        let connected = TlsConnector::from(config).connect(name, transport).await;
        let stream = connected.map_err(|error| EgressError::classify(error, Phase::Handshake))?;
        Ok(Transport::Tls(Box::new(stream)))
    }

    /// Returns the configuration for a host, by the current files.
    async fn config(&self, host: &Host, h2: bool) -> Result<Arc<ClientConfig>, EgressError> {
        let settings = &self.0.settings;
        let profile = Profile {
            identity: settings.identity(host),
            verified: settings.verifies(host),
            h2,
        };
        let mut state = self.0.state.lock().await;
        let state = match &mut *state {
            Some(state) => {
                self.refresh(state).await;
                state
            }
            none => none.insert(self.first().await?),
        };
        if let Some(config) = state.configs.get(&profile) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build(profile, &state.loaded).await?);
        state.configs.insert(profile, Arc::clone(&config));
        Ok(config)
    }

    async fn first(&self) -> Result<State, EgressError> {
        let read = self.read(None).await;
        let unusable = || said("the process is shutting down");
        let (stamps, loaded) = read.ok_or_else(|| EgressError::TlsSettings(unusable()))?;
        let loaded = loaded.map_err(|error| EgressError::TlsSettings(Arc::new(error)))?;
        Ok(State {
            stamps,
            checked: Instant::now(),
            loaded: Arc::new(loaded),
            configs: HashMap::new(),
        })
    }

    /// Checks for changes, if it is time to. If the files cannot be used, nothing changes.
    async fn refresh(&self, state: &mut State) {
        let settings = &self.0.settings;
        if settings.files().next().is_none() || state.checked.elapsed() < settings.reload {
            return;
        }
        state.checked = Instant::now();
        let Some((stamps, loaded)) = self.read(Some(state.stamps.clone())).await else {
            return;
        };
        state.stamps = stamps;
        let service = &*self.0.service;
        match loaded {
            Ok(loaded) => {
                state.loaded = Arc::new(loaded);
                state.configs.clear();
                tracing::info!(
                    target: "headwater::egress",
                    parent: None,
                    service,
                    "the certificates for outgoing requests have changed: new connections use them"
                );
            }
            Err(error) => tracing::warn!(
                target: "headwater::egress",
                parent: None,
                service,
                "the certificates for outgoing requests have changed and cannot be used; the \
                 previous ones stay in use: {error}"
            ),
        }
    }

    /// Reads the files, unless they are unchanged.
    async fn read(
        &self,
        known: Option<FileStamps>,
    ) -> Option<(FileStamps, Result<LoadedFiles, TlsFileError>)> {
        let settings = Arc::clone(&self.0.settings);
        let read = tokio::task::spawn_blocking(move || {
            // Taken before the files are read: a change meanwhile is seen next time.
            let stamps = FileStamps::take(settings.files());
            (known.as_ref() != Some(&stamps)).then(|| (stamps, LoadedFiles::read(&settings)))
        });
        // An error means that the process is shutting down.
        read.await.ok().flatten()
    }

    async fn build(
        &self,
        profile: Profile,
        loaded: &LoadedFiles,
    ) -> Result<ClientConfig, EgressError> {
        let failed = |error| EgressError::TlsProtocol(Arc::new(error));
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = if profile.verified {
            let roots = self.trusted(loaded).await?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| EgressError::NoRoots(Arc::new(error)))?;
            builder.with_webpki_verifier(verifier)
        } else {
            let verifier = Unverified(CryptoProvider::clone(&provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        };
        let identity = profile
            .identity
            .and_then(|index| loaded.identities.get(index));
        let mut config = match identity {
            Some(identity) => {
                let shown = SingleCertAndKey::from(Arc::clone(identity));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match profile.h2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        Ok(config)
    }

    /// Returns the default roots with the service's own.
    async fn trusted(&self, loaded: &LoadedFiles) -> Result<Arc<RootCertStore>, EgressError> {
        let default = self.0.roots.get().await;
        if loaded.authorities.is_empty() {
            return default;
        }
        // A machine without roots, such as a bare container, still has the service's own.
        let mut roots = default.map_or_else(|_| RootCertStore::empty(), |roots| (*roots).clone());
        roots.add_parsable_certificates(loaded.authorities.iter().cloned());
        Ok(Arc::new(roots))
    }
}
