use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use headwater_core::{Compat, ResponseMode};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::source_span::has_credentials;
use crate::{Count, Memory, Time};

/// One `[[module]]`.
///
/// The keys of WAGI 0.8.1 are `route`, `module`, `entrypoint`, `bindle_server`, `volumes`,
/// `allowed_hosts`, `http_max_concurrency` and `argv`; the others are Headwater's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModuleEntry {
    /// Paths that it answers: `/x` exactly, or `/x/...` for `/x` and all below.
    pub route: String,
    /// The module: a path (from the working directory), `file:`, `oci:`.
    #[serde(deserialize_with = "module")]
    pub module: String,
    /// The export to call. Default: `_start`.
    pub entrypoint: Option<String>,
    /// The server that `bindle:` modules were fetched from.
    pub bindle_server: Option<String>,
    /// Directories that the module may use, under its names for them, in the order of the file.
    /// Default: none.
    #[serde(default, deserialize_with = "volumes")]
    pub volumes: Vec<VolumeEntry>,
    /// URLs that the module may send requests to. Default: none.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// Responses that an instance may have open at once. Default: no limit.
    pub http_max_concurrency: Option<u32>,
    /// A template for the arguments. Default: the path, then the query's parts.
    pub argv: Option<String>,
    /// The name in logs, traces and metrics. Default: that of the module's file.
    pub name: Option<String>,
    /// Environment variables. Those of the command line take precedence. Default: none.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The hosts of the route: `example.com`, `*.example.com`, with or without a port. Default:
    /// all.
    #[serde(default, deserialize_with = "one_or_many")]
    pub host: Vec<String>,
    /// If true, the module gets the client's `Authorization`. Default: false.
    #[serde(default)]
    pub pass_authorization: bool,
    /// Time that a request may take until its response head. Default: that of the command line.
    pub timeout: Option<Time>,
    /// Memory of one instance, in bytes. Default: that of the command line.
    pub memory: Option<Memory>,
    /// The largest response that is held in memory, in bytes. Default: 64 MiB.
    pub max_response: Option<Memory>,
    /// Instances that may be alive at once. Default: 100.
    pub max_instances: Option<Count>,
    /// CPU time that one request may take. Default: limited by `timeout` only.
    pub max_cpu_time: Option<Time>,
    /// Files and directories that one instance may have open. Default: that of the command line.
    pub max_open_files_per_instance: Option<Count>,
    /// Files and directories that all instances may have open. Default: that of the command line.
    pub max_open_files: Option<Count>,
    /// Time that one request may run in total, including the sending of its answer. Default: no
    /// limit.
    pub max_wall_time: Option<Time>,
    /// Bytes that one request may print. Default: no limit, except `max_response` on what is held
    /// in memory.
    pub max_output: Option<Memory>,
    /// Compatibility with WAGI. Default: that of the command line.
    pub compat: Option<Compat>,
    /// Sending of the answer. Default: that of `compat`.
    pub response: Option<ResponseMode>,
}

/// Reads the reference to a module. Messages and logs show it, so it must not hold credentials.
fn module<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let module = String::deserialize(deserializer)?;
    match has_credentials(&module) {
        true => Err(D::Error::custom(
            "this reference has a user or a password, which messages would show: leave them out, and log \
             in with `docker login`, whose credentials Headwater uses",
        )),
        false => Ok(module),
    }
}

/// A directory that a module may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// The name in the guest.
    pub guest: String,
    /// The path on the host, from the working directory.
    pub host: PathBuf,
    /// If true, the module may only read in it.
    pub read_only: bool,
}

/// The ways to write a volume.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a directory, or `{ path = \"DIRECTORY\", read_only = true }`"
)]
enum Directory {
    Path(PathBuf),
    Table(DirectoryTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectoryTable {
    path: PathBuf,
    #[serde(default)]
    read_only: bool,
}

/// Reads volumes in the order of the file: the first is the guest's descriptor 3, and some old
/// modules rely on it.
fn volumes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<VolumeEntry>, D::Error> {
    let table: HashMap<Spanned<String>, Directory> = HashMap::deserialize(deserializer)?;
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(guest, _)| guest.span().start);
    let volume = |(guest, directory): (Spanned<String>, Directory)| {
        let (host, read_only) = match directory {
            Directory::Path(host) => (host, false),
            Directory::Table(DirectoryTable { path, read_only }) => (path, read_only),
        };
        VolumeEntry {
            guest: guest.into_inner(),
            host,
            read_only,
        }
    };
    Ok(entries.into_iter().map(volume).collect())
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a host, or a list of hosts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(host) => vec![host],
        OneOrMany::Many(hosts) => hosts,
    })
}
