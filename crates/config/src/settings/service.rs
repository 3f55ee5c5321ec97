use std::path::Path;

use clap::Args;
use headwater_core::AttributionMode;
use schemars::JsonSchema;
use serde::de::{IgnoredAny, MapAccess};
use serde::{Deserialize, Deserializer};

use super::group::{self, Group};
use super::{
    ConnectingSettings, LimitSettings, LoadSettings, OutgoingSettings, PoolSettings,
    TraceHeaderSettings,
};

/// Settings for all services that do not have their own: the section `[defaults]`. A `[[service]]`
/// has the same keys.
#[derive(Debug, Clone, Default, PartialEq, Args, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Limits.
    #[command(flatten)]
    #[schemars(flatten)]
    pub limits: LimitSettings,
    /// Loading.
    #[command(flatten)]
    #[schemars(flatten)]
    pub load: LoadSettings,
    /// The instances of a component and their reuse.
    #[command(flatten)]
    #[schemars(flatten)]
    pub pool: PoolSettings,
    /// Outgoing connections.
    #[command(flatten)]
    #[schemars(flatten)]
    pub connecting: ConnectingSettings,
    /// Trace headers of outgoing requests.
    #[command(flatten)]
    #[schemars(flatten)]
    pub trace_headers: TraceHeaderSettings,
    /// Middlewares that requests pass through, the outermost first: names of `[[middleware]]`. An
    /// empty list is none. Default: none.
    #[arg(skip)]
    pub middleware: Option<Vec<String>>,
    /// Outgoing requests.
    #[command(flatten)]
    #[schemars(default)]
    pub outgoing: OutgoingSettings,
}

// === impl ServiceSettings ===

impl ServiceSettings {
    /// Returns these settings, with those of `other` where a field here is `None`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut pool = other.pool;
        // A service that sets a number of requests opts out of one request at a time.
        if self.pool.max_concurrent_per_instance.is_some() {
            pool.serial = None;
            pool.attribution = pool
                .attribution
                .filter(|&how| how != AttributionMode::Serial);
        }
        Self {
            limits: self.limits.or(other.limits),
            load: self.load.or(other.load),
            pool: self.pool.or(pool),
            connecting: self.connecting.or(other.connecting),
            trace_headers: self.trace_headers.or(other.trace_headers),
            middleware: self.middleware.or(other.middleware),
            outgoing: self.outgoing.or(other.outgoing),
        }
    }

    /// Returns a service's own settings, completed by those for all services. The upstreams of
    /// [`h2c`](OutgoingSettings::h2c) are those of both.
    #[must_use]
    pub fn or_defaults(self, defaults: Self) -> Self {
        let h2c = match (&self.outgoing.h2c, &defaults.outgoing.h2c) {
            (Some(own), Some(all)) => Some([own.as_slice(), all].concat()),
            _ => None,
        };
        let mut both = self.or(defaults);
        both.outgoing.h2c = h2c.or(both.outgoing.h2c);
        both
    }

    pub(crate) fn within(&mut self, folder: &Path) {
        self.connecting.within(folder);
    }
}

impl Group for ServiceSettings {
    fn has(key: &str) -> bool {
        key == "outgoing"
            || key == "middleware"
            || LimitSettings::has(key)
            || LoadSettings::has(key)
            || PoolSettings::has(key)
            || ConnectingSettings::has(key)
            || TraceHeaderSettings::has(key)
    }

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, values: &mut A) -> Result<(), A::Error> {
        if key == "outgoing" {
            self.outgoing = values.next_value()?;
            Ok(())
        } else if key == "middleware" {
            self.middleware = Some(values.next_value()?);
            Ok(())
        } else if LimitSettings::has(key) {
            self.limits.read(key, values)
        } else if LoadSettings::has(key) {
            self.load.read(key, values)
        } else if PoolSettings::has(key) {
            self.pool.read(key, values)
        } else if ConnectingSettings::has(key) {
            self.connecting.read(key, values)
        } else {
            self.trace_headers.read(key, values)
        }
    }
}

impl<'de> Deserialize<'de> for ServiceSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Reads no keys itself: all keys belong to the group.
        struct Nothing;
        impl<'de> group::Own<'de, IgnoredAny> for Nothing {
            fn known() -> &'static [String] {
                static KNOWN: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
                KNOWN.get_or_init(group::keys::<ServiceSettings>)
            }

            fn read<D: Deserializer<'de>>(self, deserializer: D) -> Result<IgnoredAny, D::Error> {
                IgnoredAny::deserialize(deserializer)
            }
        }
        let (IgnoredAny, settings) = group::beside(deserializer, Nothing)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> ServiceSettings {
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn each_setting_goes_by_itself_in_front_of_what_holds_for_all() {
        let own = settings("timeout = \"1s\"\noutgoing.connect_timeout = \"2s\"\nserial = false");
        let all = settings(
            "timeout = \"9s\"\nmemory = \"64MiB\"\nserial = true\nproxy = \"env\"\n\
             guest_traceparent = \"link\"\n[outgoing]\nconnect_timeout = \"9s\"\nmax_requests = 7",
        );
        let both = settings(
            "timeout = \"1s\"\nmemory = \"64MiB\"\nserial = false\nproxy = \"env\"\n\
             guest_traceparent = \"link\"\n[outgoing]\nconnect_timeout = \"2s\"\nmax_requests = 7",
        );
        assert_eq!(own.or_defaults(all), both);
    }

    #[test]
    fn who_says_how_many_is_not_held_to_one_at_a_time_by_what_holds_for_all() {
        let own = settings("max_concurrent_per_instance = 4");
        let all = settings("serial = true\nattribution = \"serial\"");
        let pool = own.or_defaults(all).pool;
        assert_eq!((pool.serial, pool.attribution), (None, None));
        assert_eq!(
            pool.max_concurrent_per_instance.map(|count| count.get()),
            Some(4)
        );
        for serial in ["serial = true", "attribution = \"serial\""] {
            let both = settings(&format!("{serial}\nmax_concurrent_per_instance = 4"));
            assert!(both.pool.check().is_err());
        }
    }

    #[test]
    fn upstreams_that_speak_http_2_in_clear_are_those_of_the_service_and_of_all() {
        let h2c = |own: &str, all: &str| settings(own).or_defaults(settings(all)).outgoing.h2c;
        let (own, all) = ("outgoing.h2c = [\"a:1\"]", "outgoing.h2c = [\"b:1\"]");
        assert_eq!(h2c(own, all), Some(vec!["a:1".into(), "b:1".into()]));
        assert_eq!(h2c("", all), Some(vec!["b:1".into()]));
        assert_eq!(h2c(own, ""), Some(vec!["a:1".into()]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_with_what_may_stand_there() {
        for (text, place, said) in [
            (
                "memory = \"64MiB\"\ntimeout = 5",
                "line 2",
                "a length of time",
            ),
            ("\nmax_queue = 0", "line 2", "1 or more"),
            ("[outgoing]\nmax_requests = 0", "line 2", "1 or more"),
            ("time_out = \"5s\"", "line 1", "expected one of `timeout`"),
            ("limits = {}", "line 1", "unknown field `limits`"),
            ("name = \"x\"", "line 1", "unknown field `name`"),
        ] {
            let error = toml::from_str::<ServiceSettings>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(place) && error.contains(said), "{error}");
        }
    }
}
