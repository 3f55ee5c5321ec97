use std::path::PathBuf;
use std::time::Duration;

use headwater_core::Limits;

/// What one WAGI module is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WagiSettings {
    /// The service's name, for messages and log lines.
    pub name: String,
    /// The export to call, of type `() -> ()`. Default: `_start`.
    pub entrypoint: String,
    /// Environment variables beside those that describe the request, which win where names are the
    /// same. Nothing of the host's own environment is ever passed on. Default: none.
    pub environment: Vec<(String, String)>,
    /// A template for the arguments, split at white space after `${SCRIPT_NAME}` and `${ARGS}` were
    /// replaced. Default: none, which gives the path and then the query's parts.
    pub argv: Option<String>,
    /// The directories that the module may use, in the order of their descriptors: the first is 3.
    /// Default: none.
    pub volumes: Vec<Volume>,
    /// `host` or `host:port` for a request that names neither. Default: `localhost:3000`, as in
    /// WAGI; a server passes the address it listens on.
    pub default_host: String,
    /// How closely WAGI's ways are followed where they were plainly broken.
    pub compat: Compat,
    /// Whether the answer is sent while the module prints it. Default: [`Compat::response`].
    pub response: ResponseMode,
    /// Where the module may send requests by `wasi_experimental_http`, as a modules.toml says it:
    /// URLs of which only the host counts, or `insecure:allow-all`. Default: nowhere.
    pub allowed_hosts: Vec<String>,
    /// Responses of `wasi_experimental_http` that an instance may have open at once. Default: no
    /// bound of its own; 0 is the same, as in a release build of WAGI.
    pub http_max_concurrency: Option<u32>,
    /// Whether the client's `Authorization` is given to the module, as `HTTP_AUTHORIZATION`. Default:
    /// no, as in WAGI.
    pub pass_authorization: bool,
    /// Where each route has a folder with its `module.stderr`, as WAGI had it. Default: nowhere; what
    /// modules print on stderr is in the log anyway.
    pub log_dir: Option<PathBuf>,
    /// Instances of the module that may be alive at once. Default: 100, as many as a component may
    /// have.
    pub max_instances: Option<usize>,
    /// CPU time that one request may take. Default: as long as the request's timeout, which does not
    /// hold any more while an answer is sent.
    pub max_cpu_time: Option<Duration>,
    /// How long one request may run in all, from its arrival, while its answer is sent too. Default:
    /// no bound: server-sent events are as legal as a long download, and take no CPU time in between.
    pub max_wall_time: Option<Duration>,
    /// Bytes that one request may print, sent at once or not. Default: no bound but that on what is
    /// held in memory (`limits.buffered_response`).
    pub max_output: Option<u64>,
    /// Bounds on what an instance may take. The front enforces the request's timeout.
    pub limits: Limits,
}

/// How closely the ways of WAGI 0.8.1 are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// As WAGI, but put right where it was plainly broken.
    #[default]
    Default,
    /// As WAGI 0.8.1, also where it was broken, as far as a module could depend on it.
    Strict,
    /// As the default, with the variables that modules of WAGI 0.2 look for (`X_RELATIVE_PATH`).
    V0_2,
}

/// When the answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseMode {
    /// When the module has ended: a module that fails after its headers is a 500, as in WAGI.
    #[default]
    Buffer,
    /// From the blank line on, while the module prints: what a module that fails later has sent by then
    /// is cut. Until the module waits for something, has printed 128 KiB or computed for 20
    /// milliseconds nothing is sent, so that a short answer is sent whole.
    Stream,
}

impl Compat {
    /// How the answer is sent unless the module's settings say it.
    ///
    /// While it is printed, because nothing else lets a module print as much as it could under WAGI in
    /// bounded memory, and within the request's timeout. A module that is soon done notices nothing:
    /// its answer is sent whole, or is a 500 (see `run`). Strictly, when it has ended.
    #[must_use]
    pub const fn response(self) -> ResponseMode {
        match self {
            Self::Strict => ResponseMode::Buffer,
            Self::Default | Self::V0_2 => ResponseMode::Stream,
        }
    }
}

/// A directory of the host that a module may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The directory's name in the guest.
    pub guest: String,
    /// The directory.
    pub host: PathBuf,
    /// Whether the module may only read in it.
    pub read_only: bool,
}

impl WagiSettings {
    /// The defaults, for a service of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entrypoint: "_start".to_owned(),
            environment: Vec::new(),
            argv: None,
            volumes: Vec::new(),
            default_host: "localhost:3000".to_owned(),
            compat: Compat::Default,
            response: Compat::Default.response(),
            allowed_hosts: Vec::new(),
            http_max_concurrency: None,
            pass_authorization: false,
            log_dir: None,
            max_instances: None,
            max_cpu_time: None,
            max_wall_time: None,
            max_output: None,
            limits: Limits::default(),
        }
    }
}
