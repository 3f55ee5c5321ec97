//! Log lines that tell an operator which limit a guest reached.
//!
//! A guest that reaches a limit sees an error of its own, and often hides it. So the code that enforces a
//! limit reports it here: one line names the service, the limit and the setting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::LogIntervals;

/// The minimum time between two lines about the same limit of the same service. A guest that reaches a limit
/// often does so again and again.
const INTERVAL: Duration = Duration::from_secs(60);

/// A limit that guests can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// A short stable label, such as `open_files_per_instance`.
    pub name: &'static str,
    /// The effect of the limit, as a clause: "another outgoing request fails with …".
    pub effect: &'static str,
    /// The setting that changes it. None if the limit is fixed.
    pub setting: Option<Setting>,
}

/// A setting of a service or of the host, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The key in the file, with its table: `memory`, `outgoing.max_requests`; for the host,
    /// `server.max_hops`.
    pub key: &'static str,
    /// The flag: `--memory`. None if only the file has the setting.
    pub flag: Option<&'static str>,
}

/// Logs the limits that the guests of one service reach, at most one line a minute for each limit. Cheap to
/// clone; clones count together.
#[derive(Debug, Clone)]
pub struct LimitLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Arc<str>,
    met: LogIntervals<&'static str>,
}

// === impl LimitLog ===

impl LimitLog {
    /// Makes the log of a service's limits.
    #[must_use]
    pub fn new(service: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            service,
            met: LogIntervals::new(INTERVAL),
        }))
    }

    /// Reports that a guest reached a limit, and the value of the limit.
    pub fn met(&self, limit: &Limit, most: impl TryInto<u64>) {
        let Some(unlogged) = self.0.met.due(limit.name, Instant::now()) else {
            return;
        };
        // Without the lock, because the log may be slow.
        let Limit {
            name,
            effect,
            setting,
        } = limit;
        let remedy = setting.map_or_else(|| "the limit is fixed".to_owned(), Setting::remedy);
        tracing::warn!(
            target: "headwater::limits",
            parent: None,
            service = &*self.0.service,
            limit = name,
            most = most.try_into().ok(),
            setting = setting.map(|setting| setting.key),
            // For the same limit, since the last line about it.
            unlogged = (unlogged > 0).then_some(unlogged),
            "a guest reached a limit: {effect}; {remedy}",
        );
    }
}

// === impl Setting ===

impl Setting {
    /// Says how to raise the limit, by precedence: the service's key, the flag, the host's key.
    fn remedy(self) -> String {
        let Self { key, flag } = self;
        match (key.strip_prefix("server."), flag) {
            (None, Some(flag)) => format!(
                "to allow more, raise `{key}` of the service, or {flag} if the service does not set it"
            ),
            (Some(key), Some(flag)) => format!(
                "to allow more, raise {flag}, or `{key}` of [server] if the flag is not given"
            ),
            (_, None) => format!("to allow more, raise `{key}` of the service"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogConfig;
    use crate::log::tests::log;

    const FILES: Limit = Limit {
        name: "open_files_per_instance",
        effect: "another file cannot be opened",
        setting: Some(Setting {
            key: "max_open_files",
            flag: Some("--max-open-files"),
        }),
    };

    #[test]
    fn the_first_is_logged_at_once_and_the_rest_by_the_minute() {
        let log = LimitLog::new("shop".into());
        let start = Instant::now();
        assert_eq!(log.0.met.due("files", start), Some(0));
        for _ in 0..5 {
            assert_eq!(log.clone().0.met.due("files", start + INTERVAL / 2), None);
        }
        assert_eq!(log.0.met.due("memory", start), Some(0));
        assert_eq!(log.0.met.due("files", start + INTERVAL), Some(5));
        assert_eq!(log.0.met.due("files", start + INTERVAL), None);
        assert_eq!(log.0.met.due("files", start + INTERVAL * 2), Some(1));
    }

    #[test]
    fn a_line_names_the_service_the_limit_and_the_setting() {
        let limits = LimitLog::new("shop".into());
        let text = log(&LogConfig::default(), || {
            limits.met(&FILES, 64_usize);
            limits.met(&FILES, 64_usize);
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in [
            "WARN",
            "shop",
            "open_files_per_instance",
            "64",
            "another file cannot be opened",
            "raise `max_open_files` of the service, or --max-open-files if the service does not set it",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let of_the_host = Setting {
            key: "server.max_in_all",
            flag: Some("--max-in-all"),
        };
        let remedy = of_the_host.remedy();
        assert!(
            remedy.ends_with("--max-in-all, or `max_in_all` of [server] if the flag is not given"),
            "{remedy}"
        );
        let fixed = Limit {
            setting: None,
            ..FILES
        };
        let text = log(&LogConfig::default(), || {
            LimitLog::new("shop".into()).met(&fixed, 64_usize);
        });
        assert!(text.contains("the limit is fixed"), "{text}");
    }
}
