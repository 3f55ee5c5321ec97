//! In place of the admin listener where the feature `admin` is off: whoever asks for it is told so.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use headwater_telemetry::Telemetry;

use super::AdminParams;
use crate::reload::RunningHost;

/// There is none.
#[derive(Clone, Copy)]
pub(crate) enum Admin {}

impl Admin {
    #[allow(clippy::unused_async, reason = "as the one that there may be")]
    pub(crate) async fn bind(_params: &AdminParams, _telemetry: &Telemetry) -> Result<Self> {
        bail!(
            "this program was built without the admin listener (the feature `admin`): leave it out"
        )
    }

    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        match *self {}
    }

    pub(crate) const fn probes(&self) -> Option<SocketAddr> {
        match *self {}
    }

    pub(crate) const fn ready(&self, _running: &Arc<RunningHost>) {
        match *self {}
    }

    pub(crate) const fn draining(&self) {
        match *self {}
    }
}
