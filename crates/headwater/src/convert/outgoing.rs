use anyhow::{Context, Result};
use headwater_config::settings::OutgoingSettings;
use headwater_config::{Bounded, Count, Size, Time};
use headwater_egress::{EgressLimits, H2c, PoolParams, Timeouts};

#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: EgressLimits,
    pub(crate) pool: PoolParams,
    pub(crate) h2c: Vec<H2c>,
}

// === impl Settings ===

impl Settings {
    /// Applies the defaults. Returns an error if an upstream is invalid.
    pub(crate) fn of(settings: &OutgoingSettings) -> Result<Self> {
        let OutgoingSettings {
            connect_timeout,
            tls_timeout,
            first_byte_timeout,
            between_bytes_timeout,
            write_timeout,
            total_timeout,
            max_requests,
            max_connections,
            limit_wait,
            max_request_head,
            max_response_head,
            max_response_fields,
            max_request_body,
            max_response_body,
            max_idle_per_host,
            idle_timeout,
            h2c: _,
        } = settings;
        let (timeouts, limits, pool) = <(Timeouts, EgressLimits, PoolParams) as Default>::default();
        let time = |settings: &Option<Time>, default| settings.map_or(default, Time::get);
        let count = |settings: &Option<Count>, default| settings.map_or(default, Count::get);
        let in_memory =
            |settings: &Option<Size>, default| settings.map_or(default, Size::in_memory);
        let bytes = |settings: &Option<Size>| settings.map(Size::bytes);
        Ok(Self {
            timeouts: Timeouts {
                connect: time(connect_timeout, timeouts.connect),
                tls_handshake: time(tls_timeout, timeouts.tls_handshake),
                first_byte: time(first_byte_timeout, timeouts.first_byte),
                between_bytes: time(between_bytes_timeout, timeouts.between_bytes),
                write: time(write_timeout, timeouts.write),
                total: total_timeout.map(Time::get).or(timeouts.total),
            },
            limits: EgressLimits {
                max_requests: count(max_requests, limits.max_requests),
                max_connections: count(max_connections, limits.max_connections),
                wait: time(limit_wait, limits.wait),
                request_head: in_memory(max_request_head, limits.request_head),
                response_head: in_memory(max_response_head, limits.response_head),
                response_fields: max_response_fields.map_or(limits.response_fields, Bounded::count),
                request_body: bytes(max_request_body).or(limits.request_body),
                response_body: bytes(max_response_body).or(limits.response_body),
            },
            pool: PoolParams {
                max_idle_per_host: max_idle_per_host.unwrap_or(pool.max_idle_per_host),
                idle_timeout: time(idle_timeout, pool.idle_timeout),
                h2_keep_alive: pool.h2_keep_alive,
            },
            h2c: h2c(settings).context("in `outgoing.h2c`")?,
        })
    }
}

/// Returns the upstreams to reach by HTTP/2 without TLS.
pub(crate) fn h2c(settings: &OutgoingSettings) -> Result<Vec<H2c>> {
    let upstreams = settings.h2c.iter().flatten();
    let upstreams = upstreams.map(|upstream| Ok(upstream.parse()?));
    upstreams.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_upstream_that_is_none_is_named_with_its_key() {
        let settings = OutgoingSettings {
            h2c: Some(vec!["https://a.example".to_owned()]),
            ..OutgoingSettings::default()
        };
        let error = format!("{:#}", Settings::of(&settings).unwrap_err());
        assert!(error.contains("outgoing.h2c") && error.contains("https://a.example"));
    }

    #[test]
    fn what_the_help_says_of_defaults_is_so() {
        let settings = Settings::of(&OutgoingSettings::default()).unwrap();
        let seconds = Duration::from_secs;
        let Timeouts {
            connect,
            tls_handshake,
            first_byte,
            between_bytes,
            write,
            total,
        } = settings.timeouts;
        assert_eq!([connect, tls_handshake], [seconds(10); 2]);
        assert_eq!([first_byte, between_bytes, write], [seconds(60); 3]);
        assert_eq!(total, None);
        let limits = settings.limits;
        assert_eq!((limits.max_requests, limits.max_connections), (1024, 512));
        assert_eq!([limits.request_head, limits.response_head], [64 << 10; 2]);
        assert_eq!((limits.wait, limits.response_fields), (seconds(1), 100));
        assert_eq!((limits.request_body, limits.response_body), (None, None));
        let pool = settings.pool;
        assert_eq!(
            (pool.max_idle_per_host, pool.idle_timeout),
            (32, seconds(90))
        );
    }
}
