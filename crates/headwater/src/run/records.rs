//! The messages when a host starts and stops.

use std::time::{Duration, Instant};

use headwater_core::Printable;
use headwater_telemetry::{LogFormat, console};

pub(crate) struct Started<'a> {
    /// The description of the services, for people.
    pub(crate) banner: &'a [String],
    /// The words before each address, for people.
    pub(crate) announcement: &'a str,
    pub(crate) listeners: &'a [String],
    /// The URL of the admin listener.
    pub(crate) admin: Option<String>,
    /// The URL of the listener for probes.
    pub(crate) probes: Option<String>,
    pub(crate) services: &'a [&'a str],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped {
    pub(crate) began: Instant,
    /// The number of requests from all listeners.
    pub(crate) requests: usize,
    /// The number of requests that were cut.
    pub(crate) cut: usize,
}

// === impl Started ===

impl Started<'_> {
    /// Prints the message on standard output, or logs it if the log is for machines.
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
        let banner = self.banner.iter();
        let banner = banner.map(|line| Printable(line.as_bytes()).to_string());
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

/// Returns seconds, rounded to milliseconds.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
