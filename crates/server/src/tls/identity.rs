//! What a listener's handshakes are done with, and how it changes.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::TlsError;
use super::load;
use super::params::TlsParams;

/// What was read from a listener's files. Handshakes take what is current; connections keep what they
/// began with.
#[derive(Debug)]
pub(crate) struct Identity {
    params: TlsParams,
    current: ArcSwap<ServerConfig>,
    stamps: Mutex<Stamps>,
}

/// What tells one state of the files from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamps(Vec<Option<(SystemTime, u64)>>);

// === impl Identity ===

impl Identity {
    pub(crate) fn load(params: TlsParams) -> Result<Self, TlsError> {
        // Taken first: what is written meanwhile then counts as a change.
        let stamps = Stamps::take(&params);
        Ok(Self {
            current: ArcSwap::new(load::config(&params)?),
            stamps: Mutex::new(stamps),
            params,
        })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    pub(crate) fn watch(&self) -> Option<Duration> {
        self.params.watch
    }

    /// Reads the files again. On an error everything stays as it was.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let stamps = Stamps::take(&self.params);
        let loaded = load::config(&self.params);
        // Also after an error: the same files are not tried again until they change.
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        self.current.store(loaded?);
        Ok(())
    }

    /// Reads the files again if one has changed; tells whether.
    pub(crate) fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let now = Stamps::take(&self.params);
        if *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }
}

// === impl Stamps ===

impl Stamps {
    /// A file that is not there has a stamp, too.
    fn take(params: &TlsParams) -> Self {
        let stamp = |path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Self(params.files().map(stamp).collect())
    }
}
