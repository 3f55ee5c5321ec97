use crate::Location;
use crate::other_manifest::OtherManifest;
use crate::settings::SerialError;

/// The error for a configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It does not parse, has an unknown key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// It is WAGI's own format.
    #[error(
        "this is a modules.toml of WAGI: serve it with `headwater wagi -c FILE`, or write each \
         `[[module]]` as a `[[service]]` with `name`, `route` and `module`"
    )]
    Wagi,
    /// It is the manifest of another host.
    #[error("{0}")]
    Other(OtherManifest),
    /// A service has neither or both of `component` and `module`.
    #[error("service `{0}` needs either `component = \"FILE\"` or `module = \"FILE\"`{1}")]
    Guest(String, &'static str),
    /// Two services have one name.
    #[error("there are two services named `{0}`; give each a name of its own")]
    Duplicate(String),
    /// A service with one request at a time is to have several in an instance.
    #[error("service `{0}`: {1}")]
    Serial(String, SerialError),
    /// The defaults for all services make no sense.
    #[error("`[defaults]`: {0}")]
    Defaults(SerialError),
    /// A variable is in `environment` and in `secrets`.
    #[error("service `{0}`: the variable `{1}` is in `environment` and in `secrets`: remove one")]
    Twice(String, String),
    /// A module has `strip_prefix`.
    #[error(
        "service `{0}`: `strip_prefix` is for components; a module has the rest of the path in \
         `PATH_INFO` anyway: leave `strip_prefix` out"
    )]
    StripPrefix(String),
    /// A setting has no effect, or makes no sense. The text says which, and the remedy.
    #[error("{0}")]
    Senseless(String),
    /// An error with its place.
    #[error("{shown}\n{error}")]
    At {
        /// The place.
        location: Location,
        /// The place for a reader: line, column and the marked text, unless it may be secret.
        shown: String,
        /// The error there.
        error: Box<ConfigError>,
    },
    /// All errors of the file.
    #[error("{}", told(_0))]
    Several(Vec<ConfigError>),
    /// The file serves nothing.
    #[error("there is no service; add a `[[service]]` with `name`, `route` and `component`")]
    Empty,
}

// === impl ConfigError ===

impl ConfigError {
    /// Returns the place of the error, if it has one.
    #[must_use]
    pub const fn location(&self) -> Option<&Location> {
        match self {
            Self::At { location, .. } => Some(location),
            _ => None,
        }
    }
}

fn told(errors: &[ConfigError]) -> String {
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    told.join("\n\n")
}
