use headwater_config::settings::{
    LimitSettings, PoolSettings, ServiceSettings, TraceHeaderSettings,
};
use headwater_config::{Count, Memory, Time};
use headwater_core::Limits;
use headwater_egress::TraceHeaders;
use headwater_runtime::PoolOverrides;

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
        attribution: *attribution,
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

pub(crate) fn trace_headers(settings: &TraceHeaderSettings) -> TraceHeaders {
    let defaults = TraceHeaders::default();
    TraceHeaders {
        traceparent: settings.guest_traceparent.unwrap_or(defaults.traceparent),
        request_id: settings.forward_request_id.unwrap_or(defaults.request_id),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_core::GuestTraceparent;

    use super::*;

    /// The help states the defaults that apply.
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
