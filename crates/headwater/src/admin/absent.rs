//! Stands in for the admin listener if the feature `admin` is off, and says so if one is
//! configured.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use headwater_telemetry::Telemetry;

use super::AdminParams;
use crate::reload::RunningHost;

/// An admin listener, which cannot exist.
#[derive(Clone, Copy)]
pub(crate) enum Admin {}

impl Admin {
    #[allow(clippy::unused_async, reason = "the real one is async")]
    pub(crate) async fn bind(_params: &AdminParams, _telemetry: &Telemetry) -> Result<Self> {
        bail!(
            "this program was built without the admin listener (the feature `admin`): remove `[admin]` and \
             --admin"
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
