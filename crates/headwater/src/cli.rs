mod capabilities;
mod check;
mod compile;
mod hints;
mod optional_values;
mod served;
mod variables;
#[cfg_attr(
    not(feature = "wagi"),
    allow(dead_code, reason = "only `headwater wagi` uses its arguments")
)]
pub(crate) mod wagi;

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenArgs, ReloadSettings, ServerSettings, ServiceSettings,
    TelemetrySettings,
};
use headwater_egress::{ClientIdentity, Grant, HostPattern};
use headwater_runtime::Directory;
use http::HeaderName;

pub(crate) use self::capabilities::CapabilityFlag;
pub(crate) use self::check::{Check, Format};
pub(crate) use self::compile::Compile;
pub(crate) use self::served::{Served, Target};
pub(crate) use self::variables::{parse, unknown as unknown_variables};
use crate::convert::connecting::{parse_identity, parse_unverified};

/// The text that `--version` prints after the name.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\nwasmtime {}\ncommit {}\ntarget {}",
        env!("CARGO_PKG_VERSION"),
        headwater_runtime::WASMTIME_VERSION,
        env!("HEADWATER_COMMIT"),
        env!("HEADWATER_TARGET"),
    )
});

/// Serves WebAssembly over HTTP, and knows for each outgoing request of a guest which incoming
/// request it was made for.
#[derive(Debug, Parser)]
#[command(
    name = "headwater",
    version,
    long_version = LONG_VERSION.as_str(),
    max_term_width = 100
)]
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
    /// Compile the guests of a file ahead of time, for `serve --compiled`
    Compile(Box<Compile>),
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the man page of headwater, or of one of its commands
    Man {
        /// The command
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
    /// Print the JSON schema of a headwater.toml, for editors
    Schema,
    /// Print the reference of a headwater.toml, as Markdown
    Reference,
}

/// Serve a component, a WAGI module, or the services of a headwater.toml.
///
/// FILE is recognised by its content. A component (`wasi:http/service@0.3` or
/// `wasi:http/proxy@0.2`) or a core module (WAGI: CGI on stdin and stdout) answers every path. A
/// TOML file names several services with their routes. Guests have no access to anything that is
/// not granted here.
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

    /// Grants of host interfaces. Each interface defines its own flag.
    #[arg(skip)]
    pub(crate) capabilities: Vec<CapabilityFlag>,

    /// Settings of the guest, or of all services that do not have their own.
    #[command(flatten)]
    pub(crate) services: ServiceSettings,

    /// Settings for operators.
    #[command(flatten)]
    pub(crate) operation: OperationArgs,
}

/// Settings for operating the host, whatever it serves: groups that a headwater.toml has as
/// sections.
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

const GRANTS: &str = "Grants (default: none)";

/// Grants of the guest. In a headwater.toml each service has its own.
#[derive(Debug, Args)]
#[command(next_help_heading = GRANTS)]
pub(crate) struct GrantArgs {
    /// Let the guest send requests to HOST: `example.com`, `*.example.com:443`, or `*` for the
    /// whole internet. A private or local address also needs a grant of the address or its network,
    /// such as `http://127.0.0.1:9000` or `10.0.0.0/8:5432`, in addition to a grant of the name that
    /// resolves to it. May be given several times
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_outgoing: Vec<Grant>,

    /// Hide a header field from the guest, which can then neither set nor see it. This is always the
    /// case for `host` and `connection`. May be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_header_name)]
    pub(crate) forbid_header: Vec<HeaderName>,

    /// Let the guest set and see a header field that is hidden from it by default:
    /// `proxy-authorization` or `proxy-authenticate`. May be given several times
    #[arg(long, value_name = "NAME", value_parser = parse_header_name)]
    pub(crate) allow_header: Vec<HeaderName>,

    /// Set an environment variable for the guest. May be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) environment: Vec<(String, String)>,

    /// Let the guest use a directory, with another name in the guest if one is given. May be given
    /// several times
    #[arg(long = "dir", value_name = "HOST_DIR[::GUEST_DIR]", value_parser = parse_directory)]
    pub(crate) directories: Vec<Directory>,

    /// Pass requests through a middleware first: a component of `wasi:http/middleware@0.3` or an action
    /// component, which is granted nothing. May be given several times, the outermost first. A headwater.toml has
    /// `[[middleware]]`, where each has its own grants
    #[arg(long, value_name = "FILE")]
    pub(crate) middleware: Vec<PathBuf>,

    /// Show a certificate (PEM) to upstreams of a host that ask for one. May be given several times
    #[arg(long, value_name = "HOST=CERTIFICATE,KEY", value_parser = parse_identity)]
    pub(crate) client_cert: Vec<ClientIdentity>,

    /// Do NOT verify the certificates of a host, so that anybody can impersonate it: for
    /// development only. May be given several times
    #[arg(long, value_name = "HOST", value_parser = parse_unverified)]
    pub(crate) danger_no_verify: Vec<HostPattern>,
}

impl GrantArgs {
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
        } else if !self.middleware.is_empty() {
            Some("--middleware")
        } else if !self.client_cert.is_empty() {
            Some("--client-cert")
        } else if !self.danger_no_verify.is_empty() {
            Some("--danger-no-verify")
        } else {
            None
        }
    }
}

pub(crate) fn command() -> clap::Command {
    let cli = <Cli as clap::CommandFactory>::command();
    served::with_flags(capabilities::with_flags(
        cli,
        &headwater_capabilities::all(),
    ))
}

pub(crate) fn man_page(command: Option<&str>) -> anyhow::Result<String> {
    let mut page = self::command();
    page.build();
    if let Some(name) = command {
        let found = page.find_subcommand(name).cloned();
        page = found.with_context(|| format!("`{name}` is not a command of headwater"))?;
    }
    let page = page.version(env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(String::from_utf8(text)?)
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
            "`{text}` is not a header field name: write letters, digits and hyphens, such as `x-api-key`"
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
