//! What the settings of a service mean for its parts.

use headwater_config::settings::{
    Attribution, GuestTraceparent as Setting, LimitSettings, PoolSettings, ServiceSettings,
    TraceHeaderSettings,
};
use headwater_config::{Count, Memory, Time, modules};
use headwater_core::Limits;
use headwater_egress::{GuestTraceparent, TraceHeaders};
use headwater_runtime::{AttributionMode, PoolOverrides};
use headwater_wagi::{Compat, ResponseMode};

/// What one request may take, and one instance.
pub(crate) fn limits(settings: &LimitSettings) -> Limits {
    let defaults = Limits::default();
    Limits {
        request_timeout: settings.timeout.map_or(defaults.request_timeout, Time::get),
        guest_memory: settings
            .memory
            .map_or(defaults.guest_memory, Memory::in_memory),
        buffered_response: defaults.buffered_response,
        open_files_per_instance: settings
            .max_open_files_per_instance
            .map_or(defaults.open_files_per_instance, Count::get),
        open_files: settings
            .max_open_files
            .map_or(defaults.open_files, Count::get),
    }
}

/// What is said of a component's pool.
pub(crate) fn pool(settings: &ServiceSettings) -> PoolOverrides {
    let LimitSettings {
        timeout: _,
        memory: _,
        max_instances,
        max_cpu_time,
        max_open_files_per_instance: _,
        max_open_files: _,
    } = settings.limits;
    let PoolSettings {
        max_concurrent_per_instance,
        max_requests_per_instance,
        min_idle,
        idle_timeout,
        post_return_timeout,
        max_queue,
        queue_timeout,
        max_outgoing_per_instance,
        serial,
        attribution,
        retry,
    } = &settings.pool;
    PoolOverrides {
        max_instances: max_instances.map(Count::get),
        min_idle: *min_idle,
        max_requests_per_instance: max_requests_per_instance.as_ref().map(|range| range.get()),
        max_concurrent_per_instance: max_concurrent_per_instance.map(Count::get),
        serial: *serial,
        attribution: attribution.map(|how| match how {
            Attribution::Task => AttributionMode::Task,
            Attribution::Careful => AttributionMode::Careful,
            Attribution::Serial => AttributionMode::Serial,
        }),
        spread: None,
        idle_timeout: idle_timeout.map(Time::get),
        post_return_timeout: post_return_timeout.map(Time::get),
        max_queue: max_queue.map(Count::get),
        queue_timeout: queue_timeout.map(Time::get),
        max_outgoing_per_instance: max_outgoing_per_instance.map(Count::get),
        max_cpu_time: max_cpu_time.map(Time::get),
        retry: *retry,
    }
}

/// Which trace headers outgoing requests carry.
pub(crate) fn trace_headers(settings: &TraceHeaderSettings) -> TraceHeaders {
    let defaults = TraceHeaders::default();
    TraceHeaders {
        traceparent: match settings.guest_traceparent {
            None => defaults.traceparent,
            Some(Setting::Keep) => GuestTraceparent::Keep,
            Some(Setting::Replace) => GuestTraceparent::Replace,
            Some(Setting::Link) => GuestTraceparent::Link,
        },
        request_id: settings.forward_request_id.unwrap_or(defaults.request_id),
    }
}

/// How a module is run.
pub(crate) fn compat(settings: modules::Compat) -> Compat {
    match settings {
        modules::Compat::Default => Compat::Default,
        modules::Compat::Strict => Compat::Strict,
        modules::Compat::V0_2 => Compat::V0_2,
    }
}

/// How a module's answer is sent.
pub(crate) fn response(settings: modules::Response) -> ResponseMode {
    match settings {
        modules::Response::Buffer => ResponseMode::Buffer,
        modules::Response::Stream => ResponseMode::Stream,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Promise: where the help says a default, it is the one in force.
    #[test]
    fn what_the_help_says_of_defaults_is_so() {
        let limits = limits(&LimitSettings::default());
        assert_eq!(limits.request_timeout, Duration::from_secs(30));
        assert_eq!(limits.guest_memory, 256 << 20);
        assert_eq!(limits.open_files_per_instance, 64);
        assert_eq!(limits.open_files, 1024);
        assert_eq!(pool(&ServiceSettings::default()), PoolOverrides::default());
        let headers = trace_headers(&TraceHeaderSettings::default());
        assert_eq!(headers.traceparent, GuestTraceparent::Keep);
        assert!(!headers.request_id);
    }
}
