//! What the front asks of clients.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use headwater_config::{parse_duration, parse_rate, parse_size};
use headwater_server::{ForwardedParams, Rate, RequestLimits, TlsParams};
use ipnet::IpNet;

use super::parse_positive;

/// What clients may ask for, and how they are spoken with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Clients")]
pub(crate) struct FrontArgs {
    /// The certificate for https, and those that vouch for it, as PEM
    #[arg(long, value_name = "FILE", env = "HEADWATER_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate, as PEM
    #[arg(long, value_name = "FILE", env = "HEADWATER_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// The greatest request body; 413 beyond it. `none` is no limit
    #[arg(
        long,
        value_name = "SIZE",
        env = "HEADWATER_MAX_BODY",
        default_value = "100MiB",
        value_parser = parse_max_body
    )]
    max_body: MaxBody,

    /// The greatest length of a request's path and query; 414 beyond it
    #[arg(
        long,
        value_name = "SIZE",
        env = "HEADWATER_MAX_URI",
        default_value = "8KiB",
        value_parser = parse_size
    )]
    max_uri: u64,

    /// How long a client may send nothing of a body that is waited for; 408 beyond it
    #[arg(
        long,
        value_name = "TIME",
        env = "HEADWATER_BODY_IDLE_TIMEOUT",
        default_value = "20s",
        value_parser = parse_duration
    )]
    body_idle_timeout: Duration,

    /// Requests at once, each counted until its answer's last byte; 503 beyond them
    #[arg(
        long,
        value_name = "N",
        env = "HEADWATER_MAX_IN_FLIGHT",
        default_value = "10000",
        value_parser = parse_positive
    )]
    max_in_flight: usize,

    /// How often one client may ask: `100/s`, `600/m`, `100/s burst 200`; 429 beyond it
    /// [default: no limit]
    #[arg(long, value_name = "RATE", env = "HEADWATER_CLIENT_RATE", value_parser = rate)]
    client_rate: Option<Rate>,

    /// A proxy, or a network of them, whose `Forwarded` and `X-Forwarded-*` are believed; may be
    /// given several times [default: nobody's]
    #[arg(long, value_name = "NETWORK", env = "HEADWATER_TRUSTED_PROXY", value_delimiter = ',', value_parser = network)]
    trusted_proxy: Vec<IpNet>,
}

/// The greatest body, if there is one.
#[derive(Debug, Clone, Copy)]
struct MaxBody(Option<u64>);

// === impl FrontArgs ===

impl FrontArgs {
    /// How connections are encrypted, if they are.
    pub(crate) fn tls(&self) -> Result<Option<TlsParams>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(
                TlsParams::from_pem_files(certificate, key)
                    .context("cannot serve https (--tls-cert, --tls-key)")?,
            )),
            _ => Ok(None),
        }
    }

    /// What a request may ask for.
    pub(crate) fn requests(&self) -> RequestLimits {
        RequestLimits {
            max_uri: usize::try_from(self.max_uri).unwrap_or(usize::MAX),
            max_body: self.max_body.0,
            body_idle_timeout: self.body_idle_timeout,
            max_in_flight: Some(self.max_in_flight),
            client_rate: self.client_rate,
        }
    }

    /// Whom is believed what they say of clients.
    pub(crate) fn forwarded(&self) -> ForwardedParams {
        ForwardedParams {
            trusted: self.trusted_proxy.clone(),
            ..ForwardedParams::default()
        }
    }
}

fn parse_max_body(text: &str) -> Result<MaxBody, String> {
    match text {
        "none" => Ok(MaxBody(None)),
        size => match parse_size(size) {
            Ok(size) => Ok(MaxBody(Some(size))),
            Err(error) => Err(format!("{error}; or `none`")),
        },
    }
}

/// A rate, as the front has it.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let rate = parse_rate(text).map_err(|error| error.to_string())?;
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Ok(Rate {
        requests: at_least_one(rate.requests),
        period: rate.period,
        burst: at_least_one(rate.burst),
    })
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse().map(IpNet::from))
        .map_err(|_| "write an address or a network, such as 10.0.0.0/8".to_owned())
}
