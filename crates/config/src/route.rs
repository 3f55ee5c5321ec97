use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The paths and hosts at which a service, redirect, answer or folder of files is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Path: `/x` exactly, or `/x/...` for `/x` and everything below. `{name}` stands for any one
    /// segment.
    pub path: String,
    /// Hosts: `example.com`, `*.example.com`, each with or without a port. Default: all.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// If true, the service sees the path without the part before `/...`. Components only. Default:
    /// false.
    #[serde(default)]
    pub strip_prefix: bool,
    /// Middlewares of requests at this route, in place of those of its service: names of
    /// `[[middleware]]`, the outermost first. Default: those of the service.
    pub middleware: Option<Vec<String>>,
}

/// One route or several, each as a path or as a table.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum RouteConfigs {
    /// A path or a table.
    One(OneRoute),
    /// A list of paths and tables.
    Several(Vec<OneRoute>),
}

/// A path, or a table.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum OneRoute {
    /// A path on all hosts.
    Path(String),
    /// A table with all properties of the route.
    Table(RouteConfig),
}

// === impl RouteConfig ===

impl RouteConfig {
    /// Returns the route of a path on all hosts, without stripping its prefix.
    #[must_use]
    pub fn path(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            hosts: Vec::new(),
            strip_prefix: false,
            middleware: None,
        }
    }
}

// === impl RouteConfigs ===

impl RouteConfigs {
    /// Returns all routes, as tables.
    #[must_use]
    pub fn all(&self) -> Vec<RouteConfig> {
        match self {
            Self::One(one) => vec![one.full()],
            Self::Several(several) => several.iter().map(OneRoute::full).collect(),
        }
    }
}

impl OneRoute {
    fn full(&self) -> RouteConfig {
        match self {
            Self::Path(path) => RouteConfig::path(path),
            Self::Table(place) => place.clone(),
        }
    }
}

// Untagged enums could not say what is wrong within a table.

impl<'de> Deserialize<'de> for RouteConfigs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RouteConfigs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a path such as \"/x/...\", a table such as { path = \"/x/...\", hosts = \
                     [\"a.example\"] }, or a list of these",
                )
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<RouteConfigs, E> {
                Ok(RouteConfigs::One(OneRoute::Path(path.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RouteConfigs, A::Error> {
                let place = RouteConfig::deserialize(MapAccessDeserializer::new(table))?;
                Ok(RouteConfigs::One(OneRoute::Table(place)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, several: A) -> Result<RouteConfigs, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(several)).map(RouteConfigs::Several)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for OneRoute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = OneRoute;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a path such as \"/x/...\" or a table such as { path = \"/x/...\", hosts = \
                     [\"a.example\"] }",
                )
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<OneRoute, E> {
                Ok(OneRoute::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<OneRoute, A::Error> {
                RouteConfig::deserialize(MapAccessDeserializer::new(table)).map(OneRoute::Table)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Routed {
        route: RouteConfigs,
    }

    fn places(text: &str) -> Result<Vec<RouteConfig>, String> {
        let routed: Routed = toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(routed.route.all())
    }

    #[test]
    fn a_route_is_a_path_a_table_or_a_list_of_these() {
        let [one] = &places("route = \"/x\"").unwrap()[..] else {
            panic!("one")
        };
        assert_eq!((one.path.as_str(), one.hosts.len()), ("/x", 0));
        let several = places(
            "route = [\"/x\", { path = \"/y/...\", hosts = [\"a.example\"], strip_prefix = true }]",
        );
        let [x, y] = &several.unwrap()[..] else {
            panic!("two")
        };
        assert!(!x.strip_prefix && y.strip_prefix);
        assert_eq!(y.hosts, ["a.example"]);
    }

    #[test]
    fn what_is_wrong_with_a_route_is_told_at_its_place() {
        for (text, place, said) in [
            ("route = 5", "column 9", "a list of these"),
            ("route = [\"/x\", 5]", "column 16", "a path such as"),
            ("route = {}", "column 9", "`path`"),
            ("route = { path = 5 }", "column 18", "string"),
        ] {
            let error = places(text).unwrap_err();
            assert!(error.contains(place) && error.contains(said), "{error}");
        }
    }
}
