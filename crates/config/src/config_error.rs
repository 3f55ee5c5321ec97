use crate::Location;
use crate::other_manifest::OtherManifest;
use crate::settings::SerialError;

/// Why a configuration cannot be used.
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
    /// A serial service is to have several requests in an instance.
    #[error("service `{0}`: {1}")]
    Serial(String, SerialError),
    /// What holds for all services makes no sense.
    #[error("`[defaults]`: {0}")]
    Defaults(SerialError),
    /// A variable is given and secret at once.
    #[error("service `{0}`: the variable `{1}` is in `environment` and in `secrets`: remove one")]
    Twice(String, String),
    /// A module is to see a path without its prefix.
    #[error(
        "service `{0}`: `strip_prefix` is for components; a module has the rest of the path in \
         `PATH_INFO` anyway: leave it out"
    )]
    StripPrefix(String),
    /// Something has no effect, or makes no sense; it says what, and the remedy.
    #[error("{0}")]
    Senseless(String),
    /// One of these, with its place.
    #[error("{shown}\n{error}")]
    At {
        /// The place.
        location: Location,
        /// The place for a reader: line, column and the marked text, unless it may be secret.
        shown: String,
        /// What is wrong there.
        error: Box<ConfigError>,
    },
    /// All that is wrong in the file.
    #[error("{}", told(_0))]
    Several(Vec<ConfigError>),
    /// The file serves nothing.
    #[error("there is no service; add a `[[service]]` with `name`, `route` and `component`")]
    Empty,
}

// === impl ConfigError ===

impl ConfigError {
    /// Where it is, if it has a place.
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
