//! What a listener's handshakes are done with, and how it changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use headwater_core::FileStamps;
use rustls::ServerConfig;

use super::TlsError;
use super::load::{self, LoadedIdentity};
use super::params::TlsParams;

/// What was read from a listener's files. Handshakes take what is current; connections keep what they
/// began with.
#[derive(Debug)]
pub(crate) struct Identity {
    params: TlsParams,
    current: ArcSwap<ServerConfig>,
    expiries: ArcSwap<Expiries>,
    stamps: Mutex<FileStamps>,
}

/// What was read and is not in force.
#[derive(Debug)]
pub(crate) struct ReadIdentity {
    config: Arc<ServerConfig>,
    expiries: Expiries,
    stamps: FileStamps,
}

/// When certificates expire, in seconds since 1970, by their files.
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

    /// When the certificates in force expire, in seconds since 1970, by their files.
    pub(crate) fn expiries(&self) -> Expiries {
        Arc::clone(&self.expiries.load())
    }

    pub(crate) fn watch(&self) -> Option<Duration> {
        self.params.watch
    }

    /// Reads the files again, and leaves in force what is.
    pub(crate) fn read(&self) -> Result<ReadIdentity, TlsError> {
        read(&self.params)
    }

    /// Has handshakes take what was read.
    pub(crate) fn install(&self, read: ReadIdentity) {
        self.seen(read.stamps);
        self.current.store(read.config);
        self.expiries.store(Arc::new(read.expiries));
    }

    /// Reads the files again if one has changed; tells whether. On an error everything stays as it was.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = FileStamps::take(self.params.files());
        if *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Ok(false);
        }
        // Also of an error: the same files are not tried again until they change.
        let read = self.read().inspect_err(|_| self.seen(now))?;
        self.install(read);
        Ok(true)
    }

    fn seen(&self, stamps: FileStamps) {
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
    }
}

/// Reads all files, and tells of what clients will not like.
fn read(params: &TlsParams) -> Result<ReadIdentity, TlsError> {
    // Taken first: what is written meanwhile then counts as a change.
    let stamps = FileStamps::take(params.files());
    let LoadedIdentity {
        config,
        expiries,
        concerns,
    } = load::config(params)?;
    for concern in &concerns {
        // With the other warnings about what is set.
        tracing::warn!(target: "headwater::config", kind = "certificate", "{concern}");
    }
    Ok(ReadIdentity {
        config,
        expiries,
        stamps,
    })
}
