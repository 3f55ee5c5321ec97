//! What is told of a host when it starts and when it stops.

use std::time::{Duration, Instant};

use headwater_telemetry::{LogFormat, console};

/// A host that takes requests.
pub(crate) struct Started<'a> {
    /// For people: what is served.
    pub(crate) banner: &'a [String],
    /// For people: what is said before each address.
    pub(crate) announcement: &'a str,
    pub(crate) listeners: &'a [String],
    /// Where the admin listener is.
    pub(crate) admin: Option<String>,
    /// Where the listener for probes is.
    pub(crate) probes: Option<String>,
    pub(crate) services: &'a [&'a str],
}

/// How a host has stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped {
    /// Since when there was one.
    pub(crate) began: Instant,
    /// Requests that came by the listeners.
    pub(crate) requests: usize,
    /// Those of them that were cut.
    pub(crate) cut: usize,
}

// === impl Started ===

impl Started<'_> {
    /// Tells people on standard output. Where the log is for machines, it is told there in its place.
    pub(crate) fn tell(&self, log: LogFormat) {
        match log {
            LogFormat::Text => self.print(),
            LogFormat::Json => self.log(),
        }
    }

    fn print(&self) {
        let admin = self.admin.iter().map(|admin| format!("Admin on {admin}"));
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|at| format!("{} {at}", self.announcement));
        let probes = self
            .probes
            .iter()
            .map(|probes| format!("Probes on {probes}"));
        let banner = self.banner.iter().cloned();
        for line in banner.chain(admin).chain(probes).chain(listeners) {
            console::print(&format!("{line}\n"));
        }
    }

    fn log(&self) {
        tracing::info!(
            target: "headwater::host",
            version = env!("CARGO_PKG_VERSION"),
            listeners = self.listeners.join(", "),
            admin = self.admin,
            probes = self.probes,
            services = self.services.join(", "),
            "started"
        );
    }
}

// === impl Stopped ===

impl Stopped {
    /// Tells it in the log.
    pub(crate) fn tell(self) {
        let Self {
            began,
            requests,
            cut,
        } = self;
        tracing::info!(
            target: "headwater::host",
            version = env!("CARGO_PKG_VERSION"),
            answered = requests.saturating_sub(cut),
            cut,
            duration_s = seconds(began.elapsed()),
            "stopped"
        );
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
