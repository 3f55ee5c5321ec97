use std::path::PathBuf;

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
    /// Bounds on what an instance may take. The front enforces the request's timeout.
    pub limits: Limits,
}

/// A directory of the host that a module may read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The directory's name in the guest.
    pub guest: String,
    /// The directory.
    pub host: PathBuf,
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
            limits: Limits::default(),
        }
    }
}
