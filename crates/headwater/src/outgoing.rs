//! How services call out: what the command line says, and what a headwater.toml says of one service.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use headwater_config::{Outgoing, parse_duration, parse_size};
use headwater_egress::{EgressLimits, H2c, PoolParams, Timeouts};

use crate::cli::parse_positive;

/// Outgoing requests, of all services that do not have their own settings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outgoing requests")]
pub(crate) struct OutgoingArgs {
    /// How long resolving a name and connecting may take [default: 10s]
    #[arg(long = "outgoing-connect-timeout", value_name = "TIME", value_parser = parse_duration)]
    connect_timeout: Option<Duration>,

    /// How long a TLS handshake may take [default: 10s]
    #[arg(long = "outgoing-tls-timeout", value_name = "TIME", value_parser = parse_duration)]
    tls_timeout: Option<Duration>,

    /// How long an upstream may take from the end of a request to the head of its response
    /// [default: 60s]
    #[arg(long = "outgoing-first-byte-timeout", value_name = "TIME", value_parser = parse_duration)]
    first_byte_timeout: Option<Duration>,

    /// How long it may take between two parts of a response's body [default: 60s]
    #[arg(long = "outgoing-between-bytes-timeout", value_name = "TIME", value_parser = parse_duration)]
    between_bytes_timeout: Option<Duration>,

    /// How long a request's body may make no progress [default: 60s]
    #[arg(long = "outgoing-write-timeout", value_name = "TIME", value_parser = parse_duration)]
    write_timeout: Option<Duration>,

    /// How long all of an outgoing request may take [default: no bound]
    #[arg(long = "outgoing-total-timeout", value_name = "TIME", value_parser = parse_duration)]
    total_timeout: Option<Duration>,

    /// Outgoing requests of a service that may be open at once [default: 1024]
    #[arg(long = "max-outgoing-requests", value_name = "N", value_parser = parse_positive)]
    max_requests: Option<usize>,

    /// Connections of a service to upstreams that may be open at once [default: 512]
    #[arg(id = "max_outgoing_connections", long = "max-outgoing-connections", value_name = "N", value_parser = parse_positive)]
    max_connections: Option<usize>,

    /// How long an outgoing request may wait where as many are open as may be, instead of failing at
    /// once
    #[arg(long = "outgoing-limit-wait", value_name = "TIME", value_parser = parse_duration)]
    limit_wait: Option<Duration>,

    /// Header fields of an outgoing request, and its trailers, in bytes [default: 64KiB]
    #[arg(long = "max-outgoing-request-head", value_name = "SIZE", value_parser = parse_size)]
    max_request_head: Option<u64>,

    /// Header fields of a response to one, and its trailers, in bytes [default: 64KiB]
    #[arg(long = "max-outgoing-response-head", value_name = "SIZE", value_parser = parse_size)]
    max_response_head: Option<u64>,

    /// Header fields of a response to one [default: 100]
    #[arg(long = "max-outgoing-response-fields", value_name = "N", value_parser = parse_positive)]
    max_response_fields: Option<usize>,

    /// Body of an outgoing request [default: no bound]
    #[arg(long = "max-outgoing-request-body", value_name = "SIZE", value_parser = parse_size)]
    max_request_body: Option<u64>,

    /// Body of a response to one [default: no bound]
    #[arg(long = "max-outgoing-response-body", value_name = "SIZE", value_parser = parse_size)]
    max_response_body: Option<u64>,

    /// Idle connections that are kept for one upstream; 0 keeps none [default: 32]
    #[arg(long = "max-outgoing-idle-per-host", value_name = "N")]
    max_idle_per_host: Option<usize>,

    /// How long they are kept [default: 90s]
    #[arg(id = "outgoing_idle_timeout", long = "outgoing-idle-timeout", value_name = "TIME", value_parser = parse_duration)]
    idle_timeout: Option<Duration>,

    /// Speak HTTP/2 without TLS to an upstream; may be given several times
    #[arg(long = "h2c", value_name = "HOST:PORT")]
    h2c: Vec<H2c>,
}

/// How one service calls out.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: EgressLimits,
    pub(crate) pool: PoolParams,
    pub(crate) h2c: Vec<H2c>,
}

// === impl OutgoingArgs ===

impl OutgoingArgs {
    /// How a service calls out of which the file says nothing.
    pub(crate) fn settings(&self) -> Settings {
        let (timeouts, limits, pool) = Default::default();
        let Timeouts {
            connect,
            tls_handshake,
            first_byte,
            between_bytes,
            write,
            total,
        } = timeouts;
        let EgressLimits {
            max_requests,
            max_connections,
            wait,
            request_head,
            response_head,
            response_fields,
            request_body,
            response_body,
        } = limits;
        let PoolParams {
            max_idle_per_host,
            idle_timeout,
            h2_keep_alive,
        } = pool;
        Settings {
            timeouts: Timeouts {
                connect: self.connect_timeout.unwrap_or(connect),
                tls_handshake: self.tls_timeout.unwrap_or(tls_handshake),
                first_byte: self.first_byte_timeout.unwrap_or(first_byte),
                between_bytes: self.between_bytes_timeout.unwrap_or(between_bytes),
                write: self.write_timeout.unwrap_or(write),
                total: self.total_timeout.or(total),
            },
            limits: EgressLimits {
                max_requests: self.max_requests.unwrap_or(max_requests),
                max_connections: self.max_connections.unwrap_or(max_connections),
                wait: self.limit_wait.unwrap_or(wait),
                request_head: self.max_request_head.map_or(request_head, in_memory),
                response_head: self.max_response_head.map_or(response_head, in_memory),
                response_fields: self.max_response_fields.unwrap_or(response_fields),
                request_body: self.max_request_body.or(request_body),
                response_body: self.max_response_body.or(response_body),
            },
            pool: PoolParams {
                max_idle_per_host: self.max_idle_per_host.unwrap_or(max_idle_per_host),
                idle_timeout: self.idle_timeout.unwrap_or(idle_timeout),
                h2_keep_alive,
            },
            h2c: self.h2c.clone(),
        }
    }

    /// How a service calls out of which the file says this.
    pub(crate) fn settings_of(&self, said: &Outgoing) -> Result<Settings> {
        let Outgoing {
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
            h2c,
        } = said;
        let h2c: Result<Vec<_>, _> = h2c.iter().map(|upstream| upstream.parse()).collect();
        let h2c = h2c.context("in `outgoing.h2c`")?;
        let said = Self {
            connect_timeout: connect_timeout.or(self.connect_timeout),
            tls_timeout: tls_timeout.or(self.tls_timeout),
            first_byte_timeout: first_byte_timeout.or(self.first_byte_timeout),
            between_bytes_timeout: between_bytes_timeout.or(self.between_bytes_timeout),
            write_timeout: write_timeout.or(self.write_timeout),
            total_timeout: total_timeout.or(self.total_timeout),
            max_requests: max_requests.or(self.max_requests),
            max_connections: max_connections.or(self.max_connections),
            limit_wait: limit_wait.or(self.limit_wait),
            max_request_head: max_request_head.or(self.max_request_head),
            max_response_head: max_response_head.or(self.max_response_head),
            max_response_fields: max_response_fields.or(self.max_response_fields),
            max_request_body: max_request_body.or(self.max_request_body),
            max_response_body: max_response_body.or(self.max_response_body),
            max_idle_per_host: max_idle_per_host.or(self.max_idle_per_host),
            idle_timeout: idle_timeout.or(self.idle_timeout),
            h2c: [h2c.as_slice(), &self.h2c].concat(),
        };
        Ok(said.settings())
    }
}

fn in_memory(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        outgoing: OutgoingArgs,
    }

    fn flags(flags: &[&str]) -> OutgoingArgs {
        Flags::parse_from([&["headwater"], flags].concat()).outgoing
    }

    #[test]
    fn a_file_is_asked_before_the_flags_and_those_before_the_defaults() {
        let flags = flags(&[
            "--outgoing-connect-timeout=1s",
            "--outgoing-write-timeout=2s",
            "--h2c=127.0.0.1:1",
        ]);
        let said = Outgoing {
            connect_timeout: Some(Duration::from_secs(3)),
            h2c: vec!["127.0.0.1:2".to_owned()],
            ..Outgoing::default()
        };
        let settings = flags.settings_of(&said).unwrap();
        assert_eq!(settings.timeouts.connect, Duration::from_secs(3));
        assert_eq!(settings.timeouts.write, Duration::from_secs(2));
        assert_eq!(settings.timeouts.first_byte, Timeouts::default().first_byte);
        assert_eq!(settings.h2c.len(), 2);
        assert_eq!(flags.settings().timeouts.connect, Duration::from_secs(1));
    }

    #[test]
    fn an_upstream_that_is_none_is_named_with_its_key() {
        let said = Outgoing {
            h2c: vec!["https://a.example".to_owned()],
            ..Outgoing::default()
        };
        let error = format!("{:#}", flags(&[]).settings_of(&said).unwrap_err());
        assert!(error.contains("outgoing.h2c") && error.contains("https://a.example"));
    }

    #[test]
    fn what_the_help_says_of_defaults_is_so() {
        let settings = flags(&[]).settings();
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
        assert_eq!((limits.wait, limits.response_fields), (Duration::ZERO, 100));
        assert_eq!((limits.request_body, limits.response_body), (None, None));
        let pool = settings.pool;
        assert_eq!(
            (pool.max_idle_per_host, pool.idle_timeout),
            (32, seconds(90))
        );
    }
}
