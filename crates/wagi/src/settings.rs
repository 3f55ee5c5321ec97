use std::path::PathBuf;
use std::time::Duration;

use headwater_core::Limits;
pub use headwater_core::{Compat, ResponseMode};
use headwater_runtime::Directory;

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
    pub volumes: Vec<Directory>,
    /// `host` or `host:port` for a request that names neither. Default: `localhost:3000`, as in
    /// WAGI; a server passes the address it listens on.
    pub default_host: String,
    /// How closely WAGI's ways are followed where they were plainly broken.
    pub compat: Compat,
    /// Whether the answer is sent while the module prints it. Default: [`Compat::response`].
    pub response: ResponseMode,
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
