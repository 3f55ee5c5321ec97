//! The certificates of a listener's handshakes, and their reloading.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headwater_core::FileStamps;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::TlsError;
use super::load::{self, LoadedIdentity};
use super::params::TlsParams;

/// A listener's current certificates, for handshakes. Connections keep what they began with.
#[derive(Debug)]
pub(crate) struct Identity {
    params: TlsParams,
    current: ArcSwap<ServerConfig>,
    expiries: ArcSwap<Expiries>,
    stamps: Mutex<FileStamps>,
}

/// Certificates that were read, but are not used yet.
#[derive(Debug)]
pub(crate) struct ReadIdentity {
    config: Arc<ServerConfig>,
    expiries: Expiries,
    stamps: FileStamps,
}

/// The expiry times of certificates, in seconds since 1970, with their files.
type Expiries = Arc<[(PathBuf, i64)]>;

// === impl Identity ===

impl Identity {
    pub(crate) fn load(params: TlsParams) -> Result<Self, TlsError> {
        let ReadIdentity {
            config,
            expiries,
            stamps,
        } = read(&params)?;
        Ok(Self {
            current: ArcSwap::new(config),
            expiries: ArcSwap::from_pointee(expiries),
            stamps: Mutex::new(stamps),
            params,
        })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    pub(crate) fn expiries(&self) -> Expiries {
        Arc::clone(&self.expiries.load())
    }

    /// Checks the files forever, and reads them again when one has changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        let Some(interval) = self.params.watch else {
            return;
        };
        loop {
            tokio::time::sleep(interval).await;
            let this = Arc::clone(&self);
            // Disks may be slow, and connections must not wait for them.
            match tokio::task::spawn_blocking(move || this.reload_if_changed()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    tracing::info!(target: "headwater::server", "the certificates have changed and were reloaded");
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        target: "headwater::server",
                        %error,
                        "the certificates have changed and cannot be used; the previous ones stay in use"
                    );
                }
                // The runtime shuts down.
                Err(_) => return,
            }
        }
    }

    /// Reads the files again, without using them.
    pub(crate) fn read(&self) -> Result<ReadIdentity, TlsError> {
        read(&self.params)
    }

    /// Uses these certificates for new handshakes.
    pub(crate) fn install(&self, read: ReadIdentity) {
        self.seen(read.stamps);
        self.current.store(read.config);
        self.expiries.store(Arc::new(read.expiries));
    }

    /// Reads the files again if one has changed, and returns true if so. Keeps the current certificates on an
    /// error.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = FileStamps::take(self.params.files());
        if *self.stamps.lock() == now {
            return Ok(false);
        }
        // After an error, the same files are not read again until they change.
        let read = self.read().inspect_err(|_| self.seen(now))?;
        self.install(read);
        Ok(true)
    }

    fn seen(&self, stamps: FileStamps) {
        *self.stamps.lock() = stamps;
    }
}

/// Reads all files, and logs warnings about certificates that clients will refuse.
fn read(params: &TlsParams) -> Result<ReadIdentity, TlsError> {
    // Taken first, so that a write during the read counts as a change.
    let stamps = FileStamps::take(params.files());
    let LoadedIdentity {
        config,
        concerns,
        expiries,
    } = load::config(params)?;
    for concern in &concerns {
        // Next to the other warnings about the configuration.
        tracing::warn!(target: "headwater::config", kind = "certificate", "{concern}");
    }
    Ok(ReadIdentity {
        config,
        expiries,
        stamps,
    })
}
