//! The command line of WAGI 0.8.1, with its flags, variables and defaults, and some more flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headwater_config::settings::{
    ConnectingSettings, LimitSettings, OutgoingSettings, TraceHeaderSettings,
};
use headwater_core::Compat;

use super::OperationArgs;

/// Serve the modules of a WAGI modules.toml, with the flags of the `wagi` command.
///
/// Routes are tried in the order of the file, and the first that matches answers. /healthz answers
/// OK.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headwater wagi -c modules.toml
  headwater wagi -c modules.toml -l 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  headwater wagi -c modules.toml -e STAGE=test --log-dir logs --module-cache modules

`headwater check modules.toml` explains what a file does.")]
pub(crate) struct Wagi {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Address and port to listen on; port 0 picks a free port and prints it
    #[arg(short, long, value_name = "IP_PORT", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) modules: ModuleArgs,

    /// Folder in which each route gets a folder with its `module.stderr` [default: none; the stderr
    /// of modules is always in the log]
    #[arg(long, value_name = "LOG_DIR", env = "WAGI_LOG_DIR")]
    pub(crate) log_dir: Option<PathBuf>,

    /// Certificate for HTTPS, with its chain (PEM)
    #[arg(
        long,
        value_name = "TLS_CERT",
        env = "WAGI_TLS_CERT",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Key of the certificate (PEM)
    #[arg(
        long,
        value_name = "TLS_KEY",
        env = "WAGI_TLS_KEY",
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// A cache.toml that names the folder for compiled code; --code-cache takes precedence [default:
    /// cache.toml, if it exists]
    #[arg(long, value_name = "CACHE_TOML")]
    pub(crate) cache: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limits: LimitSettings,

    #[command(flatten)]
    pub(crate) outgoing: OutgoingArgs,

    #[command(flatten)]
    pub(crate) operation: OperationArgs,
}

/// Outgoing requests of all modules: the file has no keys for them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OutgoingArgs {
    #[command(flatten)]
    pub(crate) connecting: ConnectingSettings,

    #[command(flatten)]
    pub(crate) trace_headers: TraceHeaderSettings,

    #[command(flatten)]
    pub(crate) requests: OutgoingSettings,
}

/// The modules to serve. WAGI had two ways to name them.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The modules.toml
    #[arg(short, long, value_name = "MODULES_TOML")]
    pub(crate) config: Option<PathBuf>,

    /// No longer supported: a Bindle ID
    #[arg(short, long, value_name = "BINDLE_ID", hide = true)]
    pub(crate) bindle: Option<String>,

    /// No longer supported: a folder of standalone bindles
    #[arg(long, value_name = "BINDLE_PATH", hide = true)]
    pub(crate) bindle_path: Option<PathBuf>,

    /// No longer supported: a Bindle server
    #[arg(long, value_name = "BINDLE_URL", env = "BINDLE_URL", hide = true)]
    pub(crate) bindle_url: Option<String>,

    /// No longer supported: credentials for a Bindle server
    #[arg(long, value_name = "USER", env = "BINDLE_HTTP_USER", hide = true)]
    pub(crate) bindle_http_user: Option<String>,

    /// No longer supported: credentials for a Bindle server
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "BINDLE_HTTP_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) bindle_http_password: Option<String>,

    /// No longer supported: trust any Bindle server
    #[arg(short = 'k', long, hide = true)]
    pub(crate) bindle_insecure: bool,
}

/// Settings that all modules of a file share.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModuleArgs {
    /// Host, and port if it is not 80, for requests that name none. Only modules with `compat =
    /// "strict"` are told it
    #[arg(
        long,
        visible_alias = "default-host",
        value_name = "HOSTNAME",
        default_value = "localhost:3000"
    )]
    pub(crate) hostname: String,

    /// Folder that keeps modules from registries [default: a folder that is removed at the end]
    #[arg(long, value_name = "MODULE_CACHE_DIR")]
    pub(crate) module_cache: Option<PathBuf>,

    /// When to ask registries whether a tag has moved: at each start, or never (as WAGI did), which
    /// uses the module cache as it is
    #[arg(long, value_name = "WHEN", default_value = "start")]
    pub(crate) module_refresh: Refresh,

    /// Set environment variables for every module; they take precedence over those of the file. May
    /// be given several times
    #[arg(short, long, value_name = "NAME=VALUE", num_args = 1.., value_parser = parse_quoted)]
    pub(crate) env: Vec<(String, String)>,

    /// Read environment variables from a file of NAME=VALUE lines. May be given several times
    #[arg(long, value_name = "ENV_FILE", num_args = 1..)]
    pub(crate) env_file: Vec<PathBuf>,

    /// Compatibility with WAGI 0.8.1, for modules that do not set it themselves
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) compat: Compat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Refresh {
    Start,
    Never,
}

/// Parses `NAME=VALUE`, and removes quotation marks around the value.
fn parse_quoted(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), unquote(value).to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Returns the text without the quotation marks around it, if there are two of a kind.
pub(crate) fn unquote(text: &str) -> &str {
    for mark in ['"', '\''] {
        let inner = text
            .strip_prefix(mark)
            .and_then(|rest| rest.strip_suffix(mark));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WAGI's own cases.
    #[test]
    fn test_successful_env_var_parse() {
        for (text, value) in [
            ("FOO=bar", "bar"),
            ("FOO=", ""),
            ("FOO=\"bar -s\"", "bar -s"),
            ("FOO='bar -s'", "bar -s"),
            ("FOO=\"bar \" -s", "\"bar \" -s"),
            ("FOO=bar\"", "bar\""),
            ("FOO='bar ' -s", "'bar ' -s"),
            ("FOO=\"\"", ""),
            ("FOO=''", ""),
            ("FOO=\"", "\""),
            ("FOO=a=b", "a=b"),
        ] {
            assert_eq!(
                parse_quoted(text),
                Ok(("FOO".to_owned(), value.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn test_unsuccessful_env_var_parse() {
        assert!(parse_quoted("FOO").is_err());
        assert!(parse_quoted("=bar").is_err());
    }
}
