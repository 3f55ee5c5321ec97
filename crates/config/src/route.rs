use serde::Deserialize;

/// Where a service, or what is built in, answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Which paths: `/x` exactly, or `/x/...` for `/x` and everything below. `{name}` stands for any one
    /// segment.
    pub path: String,
    /// For which hosts: `example.com`, `*.example.com`, each with or without a port. Default: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether the service sees the path without what stands before `/...`. Components only. Default: no.
    #[serde(default)]
    pub strip_prefix: bool,
}

/// One place or several, each as a path or as a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a path such as \"/x/...\", a table such as { path = \"/x/...\", hosts = \
                 [\"a.example\"] }, or a list of these"
)]
pub enum Places {
    /// A path or a table.
    One(OnePlace),
    /// Several.
    Several(Vec<OnePlace>),
}

/// A path, or a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a path such as \"/x/...\" or a table such as { path = \"/x/...\", hosts = \
                 [\"a.example\"] }"
)]
pub enum OnePlace {
    /// For all hosts.
    Path(String),
    /// With all that can be said of it.
    Table(Place),
}

// === impl Places ===

impl Places {
    /// All of them, in full.
    #[must_use]
    pub fn all(&self) -> Vec<Place> {
        match self {
            Self::One(one) => vec![one.full()],
            Self::Several(several) => several.iter().map(OnePlace::full).collect(),
        }
    }
}

impl OnePlace {
    fn full(&self) -> Place {
        match self {
            Self::Path(path) => Place {
                path: path.clone(),
                hosts: Vec::new(),
                strip_prefix: false,
            },
            Self::Table(place) => place.clone(),
        }
    }
}
