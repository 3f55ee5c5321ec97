use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use headwater_core::{Compat, ResponseMode};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::{Count, Memory, Time};

/// One `[[module]]`.
///
/// The keys of WAGI 0.8.1 are `route`, `module`, `entrypoint`, `bindle_server`, `volumes`,
/// `allowed_hosts`, `http_max_concurrency` and `argv`; the others are Headwater's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModuleEntry {
    /// Which paths it answers: `/x` exactly, or `/x/...` for `/x` and all below.
    pub route: String,
    /// The module: a path (from the working directory), `file:`, `oci:`.
    pub module: String,
    /// The export to call. Default: `_start`.
    pub entrypoint: Option<String>,
    /// Where `bindle:` modules were fetched from.
    pub bindle_server: Option<String>,
    /// Directories, as the module calls them, in the order of the file. Default: none.
    #[serde(default, deserialize_with = "volumes")]
    pub volumes: Vec<VolumeEntry>,
    /// Where the module may send requests: URLs. Default: nowhere.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// Responses that an instance may have open at once. Default: no bound.
    pub http_max_concurrency: Option<u32>,
    /// A template for the arguments. Default: the path, then the query's parts.
    pub argv: Option<String>,
    /// The name in logs, traces and metrics. Default: that of the module's file.
    pub name: Option<String>,
    /// Environment variables, beside those of the command line, which win. Default: none.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The hosts for which the route holds: `example.com`, `*.example.com`, with or without a port.
    /// Default: all.
    #[serde(default, deserialize_with = "one_or_many")]
    pub host: Vec<String>,
    /// Whether the module gets the client's `Authorization`. Default: no.
    #[serde(default)]
    pub pass_authorization: bool,
    /// How long a request may take until its response head. Default: that of the command line.
    pub timeout: Option<Time>,
    /// Memory of one instance, in bytes. Default: that of the command line.
    pub memory: Option<Memory>,
    /// The largest response that is held in memory, in bytes. Default: 64 MiB.
    pub max_response: Option<Memory>,
    /// Instances that may be alive at once. Default: 100.
    pub max_instances: Option<Count>,
    /// CPU time that one request may take. Default: no bound but `timeout`.
    pub max_cpu_time: Option<Time>,
    /// Files and directories that one instance may have open. Default: that of the command line.
    pub max_open_files_per_instance: Option<Count>,
    /// Files and directories that all instances may have open. Default: that of the command line.
    pub max_open_files: Option<Count>,
    /// How long one request may run in all, while its answer is sent too. Default: no bound.
    pub max_wall_time: Option<Time>,
    /// Bytes that one request may print. Default: no bound but `max_response` on what is held.
    pub max_output: Option<Memory>,
    /// How closely WAGI's ways are followed. Default: that of the command line.
    pub compat: Option<Compat>,
    /// When the answer is sent. Default: that of `compat`.
    pub response: Option<ResponseMode>,
}

/// A directory that a module may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// Its name in the guest.
    pub guest: String,
    /// Where it is, from the working directory.
    pub host: PathBuf,
    /// Whether the module may only read in it.
    pub read_only: bool,
}

/// What may be written of a volume.
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

/// In the order of the file: the first is the guest's descriptor 3, which some old modules count on.
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
#[serde(untagged, expecting = "expected a host, or an array of hosts")]
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
