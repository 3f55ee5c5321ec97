use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_config::settings::{
    AccessLogSettings, AccessTo, ClientAuthMode, CodeCachePlace, ListenerSettings,
    ProxyProtocolMode, Rotate, ServerSettings, TlsSettings,
};
use headwater_config::{Bounded, Count, ListenAddress, Network, Rate, Size, Time};
use headwater_core::LoopGuard;
use headwater_egress::{EgressShared, SharedLimits};
use headwater_runtime::{CodeCache, CompiledCode, CompiledCodeError};
use headwater_server::{
    CertificateParams, ConnectionLimits, ConnectionParams, DrainParams, Endpoint, ForwardedParams,
    FrontParams, ListenerParams, RequestLimits, ServerParams, TlsParams,
};
use headwater_telemetry::{AccessConfig, AccessOutput, FileConfig, LogConfig, LogFormat, Rotation};

use crate::exit::Usage;

/// The default drain timeout, short enough that a person waits for it.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The default number of linear memories of all instances: 4 TiB of the 128 that a process can address.
const PLACES: u32 = 1_000;

pub(crate) fn requests(server: &ServerSettings) -> RequestLimits {
    let defaults = RequestLimits::default();
    RequestLimits {
        max_uri: server.max_uri.map_or(defaults.max_uri, Size::in_memory),
        max_body: server.max_body.map(Size::bytes).or(defaults.max_body),
        body_idle_timeout: server
            .body_idle_timeout
            .map_or(defaults.body_idle_timeout, |time| time.get()),
        max_in_flight: server
            .max_in_flight
            .map(|count| count.get())
            .or(defaults.max_in_flight),
        max_in_flight_per_client: server
            .max_in_flight_per_client
            .map(|count| count.get())
            .or(defaults.max_in_flight_per_client),
        client_rate: server.client_rate.map(rate).or(defaults.client_rate),
    }
}

/// Returns the proxies whose fields are trusted.
pub(crate) fn forwarded(server: &ServerSettings) -> ForwardedParams {
    ForwardedParams {
        trusted: networks(server.trusted_proxies.as_deref()),
        ..ForwardedParams::default()
    }
}

fn networks<N: From<Network>>(settings: Option<&[Network]>) -> Vec<N> {
    settings
        .unwrap_or_default()
        .iter()
        .copied()
        .map(N::from)
        .collect()
}

/// Returns the time for which the rest of an unwanted body is read.
pub(crate) fn linger(server: &ServerSettings) -> Duration {
    server
        .linger
        .map_or(FrontParams::default().linger, |time| time.get())
}

pub(crate) fn listener(listener: &ListenerSettings) -> Result<ListenerParams> {
    let mut params = ListenerParams::at(match &listener.listen {
        ListenAddress::Tcp(address) => Endpoint::Tcp(*address),
        ListenAddress::Unix(path) => Endpoint::Unix(path.clone()),
        ListenAddress::Inherited(name) => Endpoint::Inherited(name.clone()),
    });
    if let Some(tls) = &listener.tls {
        params.tls = Some(encryption(tls)?);
    }
    if listener.proxy.proxy_protocol == Some(ProxyProtocolMode::Required) {
        params.proxy_protocol = headwater_server::ProxyProtocol::Required {
            trusted: networks(listener.proxy.proxy_protocol_from.as_deref()),
        };
    }
    Ok(params)
}

fn encryption(tls: &TlsSettings) -> Result<TlsParams> {
    let first = tls.certificates.first();
    let first = first.context("`tls` without `certificates`: name at least one")?;
    let mut params = TlsParams::new(&first.certificate, &first.key);
    params.certificates = tls
        .certificates
        .iter()
        .map(|files| CertificateParams {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            names: files.names.clone().unwrap_or_default(),
        })
        .collect();
    params.client_auth = match (tls.clients.asked(), &tls.clients.client_ca) {
        (ClientAuthMode::Off, _) => headwater_server::ClientAuth::Off,
        (_, None) => anyhow::bail!(
            "client certificates are asked for, but no CA is named to verify them: name its file with \
             `client_ca` (--tls-client-ca)"
        ),
        (ClientAuthMode::Optional, Some(authorities)) => headwater_server::ClientAuth::Optional {
            authorities: authorities.clone(),
        },
        (ClientAuthMode::Required, Some(authorities)) => headwater_server::ClientAuth::Required {
            authorities: authorities.clone(),
        },
    };
    Ok(params)
}

pub(crate) fn connections(server: &ServerSettings) -> ConnectionLimits {
    let mut limits = ServerParams::default().limits;
    if let Some(count) = server.max_connections {
        limits.max_connections = count.get();
    }
    if let Some(count) = server.max_connections_per_client {
        limits.max_connections_per_client = Some(count.get());
    }
    limits
}

pub(crate) fn drain(server: &ServerSettings) -> DrainParams {
    let mut drain = ServerParams::default().drain;
    drain.timeout = drain_timeout(server);
    if let Some(delay) = server.drain_delay {
        drain.delay = delay.get();
    }
    drain
}

pub(crate) fn connection(server: &ServerSettings) -> ConnectionParams {
    let mut connection = ConnectionParams::default();
    if let Some(size) = server.max_header_bytes {
        connection.http1.max_buffer = size.in_memory();
        connection.http2.max_header_list_size = u32::try_from(size.bytes()).unwrap_or(u32::MAX);
    }
    connection.http1.max_headers = server.max_headers.map(Bounded::count);
    if let Some(time) = server.handshake_timeout {
        connection.handshake_timeout = time.get();
    }
    if let Some(time) = server.header_read_timeout {
        connection.header_read_timeout = time.get();
    }
    if let Some(time) = server.keep_alive_timeout {
        connection.keep_alive_timeout = time.get();
    }
    if let Some(time) = server.send_timeout {
        connection.send_timeout = time.get();
    }
    if let Some(count) = server.http2_max_streams {
        connection.http2.max_concurrent_streams = u32::try_from(count.get()).unwrap_or(u32::MAX);
    }
    if let Some(count) = server.http2_max_resets {
        connection.http2.max_pending_accept_reset_streams = count.get();
    }
    connection
}

pub(crate) fn drain_timeout(server: &ServerSettings) -> Duration {
    server.drain_timeout.map_or(DRAIN_TIMEOUT, Time::get)
}

/// Returns the number of linear memories for all instances of all services.
pub(crate) fn places(server: &ServerSettings) -> u32 {
    server.places.map_or(PLACES, Bounded::get)
}

pub(crate) fn code_cache(server: &ServerSettings) -> Option<CodeCache> {
    Some(match server.code_cache.as_ref()? {
        CodeCachePlace::Off => CodeCache::Off,
        CodeCachePlace::Directory(directory) => CodeCache::Directory(directory.clone()),
    })
}

/// Opens the directory of code that was compiled ahead of time, if there is one.
pub(crate) fn compiled(server: &ServerSettings) -> Result<Option<CompiledCode>, CompiledCodeError> {
    let path = server.compiled.as_deref();
    path.map(CompiledCode::open).transpose()
}

/// Checks the id of this host, if it is set.
pub(crate) fn host_id(server: &ServerSettings) -> Result<()> {
    if let Some(id) = &server.host_id {
        LoopGuard::new(id, LoopGuard::DEFAULT_MAX_HOPS)?;
    }
    Ok(())
}

pub(crate) fn loops(server: &ServerSettings) -> Result<LoopGuard> {
    let max_hops = server
        .max_hops
        .map_or(LoopGuard::DEFAULT_MAX_HOPS, Bounded::get);
    match &server.host_id {
        Some(id) => LoopGuard::new(id, max_hops)
            .map_err(|error| Usage(format!("--host-id, or HEADWATER_HOST_ID: {error}")).into()),
        None => Ok(LoopGuard::unique(max_hops)),
    }
}

/// Returns the limits on the outgoing requests of all services together.
pub(crate) fn shared(server: &ServerSettings) -> EgressShared {
    let defaults = SharedLimits::default();
    EgressShared::new(SharedLimits {
        max_requests: server
            .max_outgoing_requests_in_all
            .map_or(defaults.max_requests, |count| count.get()),
        max_connections: server
            .max_outgoing_connections_in_all
            .map_or(defaults.max_connections, |count| count.get()),
    })
}

pub(crate) fn rate(rate: Rate) -> headwater_server::Rate {
    headwater_server::Rate {
        requests: rate.number(),
        period: rate.period(),
        burst: rate.burst(),
    }
}

pub(crate) fn access_log(settings: &AccessLogSettings) -> AccessConfig {
    let defaults = AccessConfig::default();
    AccessConfig {
        format: settings.format.unwrap_or_default(),
        to: match &settings.to {
            None => defaults.to,
            Some(AccessTo::Stdout) => AccessOutput::Stdout,
            Some(AccessTo::Stderr) => AccessOutput::Stderr,
            Some(AccessTo::File(path)) => {
                AccessOutput::File(file(path.clone(), settings.rotate, settings.keep))
            }
        },
        sample: settings.sample.map_or(defaults.sample, |part| part.get()),
    }
}

pub(crate) fn file(path: PathBuf, rotate: Option<Rotate>, keep: Option<Count>) -> FileConfig {
    FileConfig {
        path,
        rotation: match rotate {
            None | Some(Rotate::Never) => Rotation::Never,
            Some(Rotate::Hourly) => Rotation::Hourly,
            Some(Rotate::Daily) => Rotation::Daily,
            Some(Rotate::Size(size)) => Rotation::Size(size.bytes()),
        },
        keep: keep.map(|count| count.get()),
    }
}

pub(crate) fn log(filter: Option<String>, format: Option<LogFormat>) -> LogConfig {
    let defaults = LogConfig::default();
    LogConfig {
        filter: filter.unwrap_or(defaults.filter),
        format: format.unwrap_or_default(),
        color: defaults.color,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help states the defaults that apply.
    #[test]
    fn what_the_help_says_of_defaults_is_so() {
        let nothing = ServerSettings::default();
        let limits = requests(&nothing);
        assert_eq!(
            (limits.max_uri, limits.max_body),
            (8 << 10, Some(100 << 20))
        );
        assert_eq!(limits.body_idle_timeout, Duration::from_secs(30));
        assert_eq!(
            (limits.max_in_flight, limits.client_rate),
            (Some(10_000), None)
        );
        assert_eq!(linger(&nothing), Duration::from_secs(10));
        assert_eq!(drain_timeout(&nothing), Duration::from_secs(10));
        assert_eq!((places(&nothing), LoopGuard::DEFAULT_MAX_HOPS), (1_000, 16));
        let connection = connection(&nothing);
        assert_eq!(connection.http1.max_buffer, 64 << 10);
        assert_eq!(connection.http2.max_header_list_size, 64 << 10);
        assert_eq!(connection.http2.max_concurrent_streams, 200);
        assert_eq!(connection.handshake_timeout, Duration::from_secs(10));
        assert_eq!(connection.header_read_timeout, Duration::from_secs(10));
        assert_eq!(connection.keep_alive_timeout, Duration::from_secs(60));
        assert_eq!(connection.send_timeout, Duration::from_secs(30));
        assert_eq!(limits.max_in_flight_per_client, Some(1_000));
        assert_eq!(connections(&nothing).max_connections, 10_000);
        assert_eq!(connections(&nothing).max_connections_per_client, None);
        assert_eq!(drain(&nothing).delay, Duration::ZERO);
        assert_eq!(connection.http2.max_pending_accept_reset_streams, 20);
        assert_eq!(log(None, None).filter, "info");
        let shared = SharedLimits::default();
        assert_eq!((shared.max_requests, shared.max_connections), (8192, 4096));
    }
}
