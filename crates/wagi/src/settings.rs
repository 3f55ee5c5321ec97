use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use headwater_core::{Compat, ResponseMode};
use headwater_core::{ContextName, ContextNames, Limits, RequestContext};
use headwater_runtime::Directory;

/// The settings of one WAGI module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WagiSettings {
    /// The service's name, for messages and log lines.
    pub name: String,
    /// The export to call, of type `() -> ()`. Default: `_start`.
    pub entrypoint: String,
    /// Environment variables in addition to those that describe the request. The latter win if
    /// names are the same. The host's own environment is never passed on. Default: none.
    pub environment: Vec<(String, String)>,
    /// Variables with values of the request's context. Default: none.
    pub context: ContextVariables,
    /// A template for the arguments. `${SCRIPT_NAME}` and `${ARGS}` are replaced, then it is split
    /// at white space. Default: none, which passes the path and then the query's parts.
    pub argv: Option<String>,
    /// The directories that the module may use, in the order of their descriptors: the first is 3.
    /// Default: none.
    pub volumes: Vec<Directory>,
    /// `host` or `host:port` for a request that names neither. Default: `localhost:3000`, as in
    /// WAGI; a server passes the address that it listens on.
    pub default_host: String,
    /// How closely WAGI is followed where it was plainly wrong.
    pub compat: Compat,
    /// Streams or buffers the response. Default: [`Compat::response`].
    pub response: ResponseMode,
    /// The maximum number of open responses of `wasi_experimental_http` for an instance. Default:
    /// no limit of its own; 0 means the same, as in a release build of WAGI.
    pub http_max_concurrency: Option<u32>,
    /// If true, the module gets the client's `Authorization` as `HTTP_AUTHORIZATION`. Default:
    /// false, as in WAGI.
    pub pass_authorization: bool,
    /// The directory in which each route has a folder with its `module.stderr`, as in WAGI.
    /// Default: none; the log has the stderr of modules anyway.
    pub log_dir: Option<PathBuf>,
    /// The maximum number of live instances of the module. Default: 100, the same as for a
    /// component.
    pub max_instances: Option<usize>,
    /// The CPU time that one request may take. Default: the request's timeout. That timeout itself
    /// no longer applies once the response is being sent.
    pub max_cpu_time: Option<Duration>,
    /// The total time that one request may run since its arrival, including the time in which its
    /// response is sent. Default: unlimited: server-sent events are as legitimate as a long
    /// download, and take no CPU time in between.
    pub max_wall_time: Option<Duration>,
    /// The bytes that one request may print, streamed or not. Default: only the limit on what is
    /// held in memory (`limits.buffered_response`).
    pub max_output: Option<u64>,
    /// If true, a [`Snapshot`](crate::Snapshot) of each of the last 100 requests is kept. Default: false.
    pub keep_snapshots: bool,
    /// The limits of an instance. The server enforces the request's timeout.
    pub limits: Limits,
}

/// The variables of a module that have values of the request's context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextVariables {
    /// The values that the module gets under [their own names](ContextName::variable).
    pub visible: ContextNames,
    /// Other variables, each with the name of the value that it has in place of its own, if that is set.
    pub named: Vec<(String, ContextName)>,
}

impl ContextVariables {
    /// Returns the variables that have a value now.
    pub(crate) fn of(&self, context: &RequestContext) -> Vec<(String, Arc<str>)> {
        if self.visible.is_empty() && self.named.is_empty() {
            return Vec::new();
        }
        let visible = context.list().into_iter();
        let visible = visible.filter(|(name, _)| self.visible.contains(name));
        let visible = visible.map(|(name, value)| (name.variable(), value));
        let named = self.named.iter();
        let named =
            named.filter_map(|(variable, name)| Some((variable.clone(), context.get(name)?)));
        visible.chain(named).collect()
    }
}

impl WagiSettings {
    /// Returns the defaults, for a service of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entrypoint: "_start".to_owned(),
            environment: Vec::new(),
            context: ContextVariables::default(),
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
            keep_snapshots: false,
            limits: Limits::default(),
        }
    }
}
