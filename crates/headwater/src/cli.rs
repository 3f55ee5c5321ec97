mod capabilities;
mod check;
mod hints;
mod optional_values;
mod variables;
#[cfg_attr(
    not(feature = "wagi"),
    allow(dead_code, reason = "nobody serves what it says")
)]
pub(crate) mod wagi;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenArgs, ReloadSettings, ServerSettings, ServiceSettings,
    TelemetrySettings,
};
use headwater_egress::{ClientIdentity, Grant, HostPattern};
use headwater_runtime::Directory;
use http::HeaderName;

pub(crate) use self::capabilities::CapabilityFlag;
pub(crate) use self::check::{Check, Format, Target};
pub(crate) use self::variables::{parse, unknown as unknown_variables};
use crate::convert::connecting::{parse_identity, parse_unverified};

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
    Check(Box<Check>),
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
  headwater serve headwater.toml --admin 127.0.0.1:9901 --access-log combined

Traces go to an OpenTelemetry collector when OTEL_EXPORTER_OTLP_ENDPOINT is set.")]
pub(crate) struct Serve {
    /// A component, a core module, or a headwater.toml
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) grants: GrantArgs,

    /// Grants of host interfaces, whose flags are theirs.
    #[arg(skip)]
    pub(crate) capabilities: Vec<CapabilityFlag>,

    /// For the guest, or for all services that do not have their own.
    #[command(flatten)]
    pub(crate) services: ServiceSettings,

    /// For those who operate it.
    #[command(flatten)]
    pub(crate) operation: OperationArgs,
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

    #[command(flatten)]
    pub(crate) telemetry: TelemetrySettings,
}

/// The heading of the flags by which a guest is granted something.
const GRANTS: &str = "Grants (default: none)";

/// What a guest is granted. In a headwater.toml each service has its own.
#[derive(Debug, Args)]
#[command(next_help_heading = GRANTS)]
pub(crate) struct GrantArgs {
    /// Let the guest call HOST: `example.com`, `*.example.com:443`, or `*` for the whole internet. A
    /// private or local address is reached only if it is granted as an address or a network, such as
    /// `http://127.0.0.1:9000` or `10.0.0.0/8:5432`, beside the name that resolves to it. May be
    /// given several times
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_outgoing: Vec<Grant>,

    /// Keep a header field from the guest, which may then neither set nor see it, as it is with
    /// `host` and `connection` always; may be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_header_name)]
    pub(crate) forbid_header: Vec<HeaderName>,

    /// Leave a header field to the guest that is kept from it otherwise: `proxy-authorization` or
    /// `proxy-authenticate`; may be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_header_name)]
    pub(crate) allow_header: Vec<HeaderName>,

    /// Set an environment variable for the guest; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) environment: Vec<(String, String)>,

    /// Let the guest use a directory, under another name if one is given; may be given several
    /// times
    #[arg(long = "dir", value_name = "HOST_DIR[::GUEST_DIR]", value_parser = parse_directory)]
    pub(crate) directories: Vec<Directory>,

    /// Show a certificate (PEM) to upstreams of a host that ask for one; may be given several times
    #[arg(long, value_name = "HOST=CERTIFICATE,KEY", value_parser = parse_identity)]
    pub(crate) client_cert: Vec<ClientIdentity>,

    /// Do NOT verify the certificates of a host, so that anybody may pretend to be it: for
    /// development only; may be given several times
    #[arg(long, value_name = "HOST", value_parser = parse_unverified)]
    pub(crate) danger_no_verify: Vec<HostPattern>,
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
        } else if !self.client_cert.is_empty() {
            Some("--client-cert")
        } else if !self.danger_no_verify.is_empty() {
            Some("--danger-no-verify")
        } else {
            None
        }
    }
}

/// The command line of the whole program.
fn command() -> clap::Command {
    let cli = <Cli as clap::CommandFactory>::command();
    check::with_flags(capabilities::with_flags(
        cli,
        &headwater_capabilities::all(),
    ))
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

pub(crate) fn parse_header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_invalid| {
        format!(
            "`{text}` is no name of a header field: write letters, digits and hyphens, such as `x-api-key`"
        )
    })
}

fn parse_directory(text: &str) -> Result<Directory, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST_DIR or HOST_DIR::GUEST_DIR".to_owned());
    }
    Ok(Directory {
        host: host.into(),
        guest: guest.to_owned(),
        read_only: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
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
