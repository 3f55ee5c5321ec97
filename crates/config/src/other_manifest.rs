//! Recognises manifests of other hosts, which are given to Headwater by mistake.

use std::fmt;

use serde::Deserialize;
use toml::{Table, Value};

/// The manifest of another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherManifest {
    /// A `spin.toml`.
    Spin(Vec<SpinComponent>),
    /// A `wasmcloud.toml`, which describes how a component is built.
    WasmCloud,
}

/// A component of a `spin.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpinComponent {
    /// The component's name in the manifest.
    pub name: String,
    /// Its file, relative to the folder of the manifest, or its address.
    pub source: SpinSource,
    /// The paths that it answers in Spin.
    pub routes: Vec<String>,
}

/// The place of a component of a `spin.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpinSource {
    /// A file.
    File(String),
    /// An address, from which Headwater does not fetch the component.
    Elsewhere(String),
    /// A `source` of a kind that is not known.
    Unknown,
}

impl OtherManifest {
    /// Recognises the manifest of another host by keys that only it has.
    #[must_use]
    pub fn recognise(text: &str) -> Option<Self> {
        let table: Table = text.parse().ok()?;
        if table.contains_key("spin_manifest_version") || table.contains_key("spin_version") {
            return Some(Self::Spin(spin_components(&table)));
        }
        let is_component = table.get("type").and_then(Value::as_str) == Some("component");
        let has_sections = table.contains_key("component") || table.contains_key("language");
        (is_component && has_sections).then_some(Self::WasmCloud)
    }
}

impl fmt::Display for OtherManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let components = match self {
            Self::Spin(components) => components,
            Self::WasmCloud => {
                return f.write_str(
                    "this is a wasmcloud.toml, which says how to build a component, and Headwater does \
                     not read it: build it with `wash build`, and serve the component that it makes",
                );
            }
        };
        f.write_str(
            "this is a spin.toml, the manifest of a Spin application, and Headwater does not read its \
             triggers and settings",
        )?;
        if components.is_empty() {
            return f.write_str(": serve a component");
        }
        f.write_str(". Serve its component with `headwater serve FILE`, or, with routes, as a ")?;
        f.write_str("`[[service]]` of a headwater.toml:")?;
        for component in components {
            write!(f, "\n  {component}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SpinComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.name)?;
        match &self.source {
            SpinSource::File(file) => write!(f, "the file `{file}`")?,
            SpinSource::Elsewhere(url) => write!(f, "fetch it from {url}")?,
            SpinSource::Unknown => f.write_str("see its `source`")?,
        }
        if !self.routes.is_empty() {
            write!(f, ", which answers `{}` there", self.routes.join("`, `"))?;
        }
        Ok(())
    }
}

/// The second version of the manifest has a table of components and tables of triggers; the first has a
/// list of components with a trigger each.
fn spin_components(table: &Table) -> Vec<SpinComponent> {
    match table.get("component") {
        Some(Value::Table(components)) => components
            .iter()
            .map(|(name, component)| SpinComponent {
                name: name.clone(),
                source: spin_source(component),
                routes: triggers(table)
                    .filter(|trigger| trigger.component == *name)
                    .map(|trigger| trigger.route)
                    .collect(),
            })
            .collect(),
        Some(Value::Array(components)) => components
            .iter()
            .filter_map(|component| {
                let route = component.get("trigger").and_then(|it| it.get("route"));
                Some(SpinComponent {
                    name: component.get("id")?.as_str()?.to_owned(),
                    source: spin_source(component),
                    routes: route
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                        .into_iter()
                        .collect(),
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn spin_source(component: &Value) -> SpinSource {
    match component.get("source") {
        Some(Value::String(file)) => SpinSource::File(file.clone()),
        Some(source) => match source.get("url").and_then(Value::as_str) {
            Some(url) => SpinSource::Elsewhere(url.to_owned()),
            None => SpinSource::Unknown,
        },
        None => SpinSource::Unknown,
    }
}

/// An HTTP trigger of a named component.
#[derive(Deserialize)]
struct Trigger {
    component: String,
    route: String,
}

fn triggers(table: &Table) -> impl Iterator<Item = Trigger> {
    let http = table.get("trigger").and_then(|trigger| trigger.get("http"));
    let triggers = http.and_then(Value::as_array).into_iter().flatten();
    triggers.filter_map(|trigger| trigger.clone().try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        OtherManifest::recognise(text).unwrap().to_string()
    }

    #[test]
    fn a_spin_manifest_is_told_with_the_components_to_serve() {
        let text = r#"
            spin_manifest_version = 2
            [application]
            name = "shop"
            [[trigger.http]]
            route = "/..."
            component = "front"
            [[trigger.http]]
            route = { private = true }
            component = "front"
            [component.front]
            source = "target/wasm32-wasip2/release/front.wasm"
            allowed_outbound_hosts = ["https://a.example"]
            [component.files]
            source = { url = "https://a.example/files.wasm", digest = "sha256:0" }
            [component.images]
            source = { registry = "a.example", package = "a:b", version = "1.0.0" }
        "#;
        let told = told(text);
        for line in [
            "Headwater does not read its triggers and settings",
            "\n  `front`: the file `target/wasm32-wasip2/release/front.wasm`, which answers `/...` there",
            "\n  `files`: fetch it from https://a.example/files.wasm",
            "\n  `images`: see its `source`",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn so_is_one_of_the_first_version() {
        let told = told(
            r#"
            spin_manifest_version = "1"
            name = "shop"
            [[component]]
            id = "front"
            source = "front.wasm"
            [component.trigger]
            route = "/front"
            "#,
        );
        assert!(
            told.ends_with("`front`: the file `front.wasm`, which answers `/front` there"),
            "{told}"
        );
    }

    #[test]
    fn a_wasmcloud_project_is_told_to_be_built() {
        let text = "name = \"a\"\nlanguage = \"rust\"\ntype = \"component\"\n[component]\n";
        assert!(told(text).contains("wash build"));
    }

    #[test]
    fn a_headwater_toml_is_no_other_manifest() {
        let text = "[[service]]\nname = \"a\"\ncomponent = \"a.wasm\"\nroute = \"/...\"\n";
        assert_eq!(OtherManifest::recognise(text), None);
        assert_eq!(OtherManifest::recognise("no toml"), None);
    }
}
