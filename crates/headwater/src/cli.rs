pub(crate) mod wagi;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenArgs, ReloadSettings, ServerSettings,
};
use headwater_config::{parse_duration, parse_memory, parse_range};
use headwater_egress::{Grant, GuestTraceparent, TraceHeaders};
use headwater_runtime::{Directory, PoolOverrides};
use http::HeaderName;

use crate::connecting::ConnectingArgs;
use crate::outgoing::OutgoingArgs;

/// Serves WebAssembly over HTTP, and knows for each outgoing request of a guest which incoming
/// request it was made for.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a component, a WAGI module, or the services of a headwater.toml
    Serve(Box<Serve>),
    /// Serve the modules of a WAGI modules.toml, with the flags of the `wagi` command
    Wagi(Box<wagi::Wagi>),
    /// Explain what a file serves, without serving it
    Check(Box<wagi::Check>),
    /// Print the JSON schema of a headwater.toml, for editors
    Schema,
    /// Print the reference of a headwater.toml, as Markdown
    Reference,
}

/// Serve a component, a WAGI module, or the services of a headwater.toml.
///
/// FILE is told by its content: a component (`wasi:http/service@0.3` or `wasi:http/proxy@0.2`) or a
/// core module (WAGI: CGI on stdin and stdout) answers every path; a TOML file names several
/// services with their routes. Guests may do nothing outside but what is granted here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headwater serve hello.wasm
  headwater serve shop.wasm --allow-outgoing https://api.example.com --env STAGE=test
  headwater serve legacy-cgi.wasm --dir ./site::/ --timeout 5s
  headwater serve headwater.toml --listen 0.0.0.0:80 --trace-file traces.jsonl

Traces go to an OpenTelemetry collector when OTEL_EXPORTER_OTLP_ENDPOINT is set.")]
pub(crate) struct Serve {
    /// A component, a core module, or a headwater.toml
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) grants: GrantArgs,

    #[command(flatten)]
    pub(crate) connecting: ConnectingArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) outgoing: OutgoingArgs,

    /// For those who operate it.
    #[command(flatten)]
    pub(crate) operation: OperationArgs,

    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

/// How the host is operated, whatever it serves: groups that a headwater.toml has as sections.
#[derive(Debug, Clone, Args)]
pub(crate) struct OperationArgs {
    #[command(flatten)]
    pub(crate) server: ServerSettings,

    #[command(flatten)]
    pub(crate) admin: AdminSettings,

    #[command(flatten)]
    pub(crate) reload: ReloadSettings,

    #[command(flatten)]
    pub(crate) access_log: AccessLogSettings,
}

/// What a guest is granted. In a headwater.toml each service has its own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Grants (default: none)")]
pub(crate) struct GrantArgs {
    /// Let the guest call HOST: `example.com`, `*.example.com:443`, or `*` for the whole internet. A
    /// private or local address is reached only if it is granted as an address or a network, such as
    /// `http://127.0.0.1:9000` or `10.0.0.0/8:5432`, beside the name that resolves to it. May be
    /// given several times
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_outgoing: Vec<Grant>,

    /// Keep a header field from the guest, which may then neither set nor see it, as it is with
    /// `host` and `connection` always; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) forbid_header: Vec<HeaderName>,

    /// Leave a header field to the guest that is kept from it otherwise: `proxy-authorization` or
    /// `proxy-authenticate`; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_header: Vec<HeaderName>,

    /// Set an environment variable for the guest; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) environment: Vec<(String, String)>,

    /// Let the guest use a directory, under another name if one is given; may be given several
    /// times
    #[arg(long = "dir", value_name = "HOST_DIR[::GUEST_DIR]", value_parser = parse_directory)]
    pub(crate) directories: Vec<Directory>,
}

/// Bounds, for all services that do not have their own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits and reuse")]
pub(crate) struct LimitArgs {
    /// How long a request may take until its response head (`500ms`, `30s`, `2m`)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Memory of one instance (`64MiB`, `1GiB`; without a unit it is MiB)
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_memory)]
    pub(crate) memory: u64,

    /// Requests that may be in one 0.3 instance at once, unless its guest applies backpressure
    /// [default: 16]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub(crate) max_concurrent_per_instance: Option<usize>,

    /// Requests that one instance serves before it is retired; of a range, each instance draws its
    /// own number [default: 750-1000 for 0.3, 1 for 0.2]
    #[arg(long, value_name = "N[-M]", value_parser = parse_range)]
    pub(crate) max_requests_per_instance: Option<RangeInclusive<usize>>,

    /// Instances of a service that may be alive at once [default: 100]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub(crate) max_instances: Option<usize>,

    /// Instances that are kept when there is nothing to do [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) min_idle: Option<usize>,

    /// How long an instance beyond those is kept with nothing to do [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// How long work may go on in an instance after its last response [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) post_return_timeout: Option<Duration>,

    /// Requests that may wait for an instance; one more is answered 503 [default: 1000]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub(crate) max_queue: Option<usize>,

    /// How long a request may wait for an instance before it is answered 503 [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) queue_timeout: Option<Duration>,

    /// Outgoing requests that one instance may have open at once [default: 256]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    pub(crate) max_outgoing_per_instance: Option<usize>,

    /// CPU time that one request may take; beyond it its instance is ended [default: none but the
    /// timeout's]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_cpu_time: Option<Duration>,

    /// Give an instance the next request only when nothing of the one before goes on in it
    #[arg(long, conflicts_with = "max_concurrent_per_instance")]
    pub(crate) serial: bool,

    /// Try a request once more if its instance failed: one without a body, which had made no
    /// outgoing request, of a service without directories
    #[arg(long)]
    pub(crate) retry: bool,
}

/// Traces and logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traces and logs")]
pub(crate) struct TraceArgs {
    /// Append spans to a file, as OTLP JSON lines (the format of the collector's file exporter)
    #[arg(long, value_name = "PATH")]
    pub(crate) trace_file: Option<PathBuf>,

    /// Append the audit log to a file, as JSON lines: each outgoing request that was denied, and why
    #[arg(long, value_name = "PATH")]
    pub(crate) audit_log: Option<PathBuf>,

    /// Print a tree for each request: on a terminal, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) trace_tree: When,

    /// What becomes of a `traceparent` that a guest sets on an outgoing request: it is kept,
    /// replaced by that of the outgoing request's own span, or replaced and linked to that span
    #[arg(long, value_name = "WHAT", default_value = "keep")]
    pub(crate) guest_traceparent: Traceparent,

    /// Let outgoing requests carry the `x-request-id` of the request that they are made for
    #[arg(long)]
    pub(crate) forward_request_id: bool,

    /// What to log, as a filter such as `info` or `headwater_runtime=debug,warn`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub(crate) log: String,

    /// How to log, to standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Traceparent {
    Keep,
    Replace,
    Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl LimitArgs {
    /// What was set of the instance pool.
    pub(crate) fn pool(&self) -> PoolOverrides {
        PoolOverrides {
            max_instances: self.max_instances,
            min_idle: self.min_idle,
            max_requests_per_instance: self.max_requests_per_instance.clone(),
            max_concurrent_per_instance: self.max_concurrent_per_instance,
            serial: self.serial.then_some(true),
            spread: None,
            idle_timeout: self.idle_timeout,
            post_return_timeout: self.post_return_timeout,
            max_queue: self.max_queue,
            queue_timeout: self.queue_timeout,
            max_outgoing_per_instance: self.max_outgoing_per_instance,
            max_cpu_time: self.max_cpu_time,
            retry: self.retry.then_some(true),
        }
    }
}

impl TraceArgs {
    /// Which trace headers outgoing requests carry.
    pub(crate) fn headers(&self) -> TraceHeaders {
        TraceHeaders {
            traceparent: match self.guest_traceparent {
                Traceparent::Keep => GuestTraceparent::Keep,
                Traceparent::Replace => GuestTraceparent::Replace,
                Traceparent::Link => GuestTraceparent::Link,
            },
            request_id: self.forward_request_id,
        }
    }
}

impl GrantArgs {
    /// The first flag that was given, if any was.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        if !self.allow_outgoing.is_empty() {
            Some("--allow-outgoing")
        } else if !self.forbid_header.is_empty() {
            Some("--forbid-header")
        } else if !self.allow_header.is_empty() {
            Some("--allow-header")
        } else if !self.environment.is_empty() {
            Some("--env")
        } else if !self.directories.is_empty() {
            Some("--dir")
        } else {
            None
        }
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn parse_directory(text: &str) -> Result<Directory, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST_DIR or HOST_DIR::GUEST_DIR".to_owned());
    }
    Ok(Directory {
        host: host.into(),
        guest: guest.to_owned(),
    })
}

pub(crate) fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("write a whole number from 1 up".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_directory_may_have_another_name_for_the_guest() {
        let directory = parse_directory("./site::/").unwrap();
        assert_eq!(directory.host, PathBuf::from("./site"));
        assert_eq!(directory.guest, "/");
        assert_eq!(parse_directory("data").unwrap().guest, "data");
        assert!(parse_directory("::/").is_err());
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(
            parse_variable("A=b=c"),
            Ok(("A".to_owned(), "b=c".to_owned()))
        );
        assert!(parse_variable("=x").is_err());
        assert!(parse_variable("A").is_err());
    }
}
