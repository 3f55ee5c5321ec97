//! A `headwater.toml` with several services, in a folder of its own.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::guests::guest;

/// The text of a `headwater.toml` that grows by a service at a time.
#[derive(Debug, Default)]
pub struct Settings {
    text: String,
    /// Files beside it, by name.
    files: Vec<(String, String)>,
}

/// A `headwater.toml` on disk; its folder is removed when this is dropped.
#[derive(Debug)]
pub struct SettingsFile {
    folder: TempDir,
}

impl Settings {
    /// A component of `components/`, at a route, with leave to call these upstreams.
    ///
    /// # Errors
    ///
    /// If the guest was not built.
    pub fn component(self, name: &str, route: &str, allow: &[&str]) -> Result<Self> {
        self.component_as(name, name, route, allow)
    }

    /// A component of `components/` under a name of the test's own: the same may be served twice.
    ///
    /// # Errors
    ///
    /// If the guest was not built.
    pub fn component_as(
        self,
        name: &str,
        component: &str,
        route: &str,
        allow: &[&str],
    ) -> Result<Self> {
        Ok(self.service("component", name, route, &guest(component)?, allow))
    }

    /// A WAGI module of `components/`, at a route.
    ///
    /// # Errors
    ///
    /// If the guest was not built.
    pub fn module(self, name: &str, route: &str) -> Result<Self> {
        self.module_as(name, name, route)
    }

    /// A WAGI module of `components/` under a name of the test's own.
    ///
    /// # Errors
    ///
    /// If the guest was not built.
    pub fn module_as(self, name: &str, module: &str, route: &str) -> Result<Self> {
        Ok(self.service("module", name, route, &guest(module)?, &[]))
    }

    /// A component in the text format, such as those of [`crate::crafted`], at a route.
    #[must_use]
    pub fn crafted(mut self, name: &str, route: &str, component: impl Into<String>) -> Self {
        let file = format!("{name}.wat");
        self = self.service("component", name, route, Path::new(&file), &[]);
        self.files.push((file, component.into()));
        self
    }

    /// A WAGI module in the text format, at a route.
    #[must_use]
    pub fn crafted_module(mut self, name: &str, route: &str, module: impl Into<String>) -> Self {
        let file = format!("{name}.wat");
        self = self.service("module", name, route, Path::new(&file), &[]);
        self.files.push((file, module.into()));
        self
    }

    /// Lines of the caller's own: after a service, more keys of it.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    fn service(mut self, kind: &str, name: &str, route: &str, file: &Path, allow: &[&str]) -> Self {
        // Rust's string literals are TOML's basic strings, for the characters that occur here.
        let _ = write!(
            self.text,
            "[[service]]\nname = {name:?}\nroute = {route:?}\n{kind} = {file:?}\n"
        );
        if !allow.is_empty() {
            let _ = writeln!(self.text, "allow_outgoing = {allow:?}");
        }
        self.text.push('\n');
        self
    }

    /// Writes it to `headwater.toml` in a folder of its own.
    ///
    /// # Errors
    ///
    /// If there is no place for temporary files.
    pub fn write(self) -> Result<SettingsFile> {
        let folder = TempDir::with_prefix("headwater-").context("making a temporary folder")?;
        let file = SettingsFile { folder };
        fs::write(file.path(), self.text).context("writing headwater.toml")?;
        for (name, text) in self.files {
            fs::write(file.folder.path().join(&name), text)
                .with_context(|| format!("writing {name}"))?;
        }
        Ok(file)
    }
}

impl SettingsFile {
    /// The path of `headwater.toml`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("headwater.toml")
    }
}
