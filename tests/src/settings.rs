//! A `headwater.toml` with several services, in its own folder.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::guests::guest;

/// A builder for the text of a `headwater.toml`.
#[derive(Debug, Default)]
pub struct Settings {
    text: String,
    /// Files in the same folder, by name.
    files: Vec<(String, String)>,
}

/// A `headwater.toml` on disk. Its folder is removed when this is dropped.
#[derive(Debug)]
pub struct SettingsFile {
    folder: TempDir,
}

impl Settings {
    /// Adds a component of `components/` at a route, with permission to call these upstreams.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built.
    pub fn component(self, name: &str, route: &str, allow: &[&str]) -> Result<Self> {
        self.component_as(name, name, route, allow)
    }

    /// Adds a component of `components/` under another name, so that it can be served twice.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built.
    pub fn component_as(
        self,
        name: &str,
        component: &str,
        route: &str,
        allow: &[&str],
    ) -> Result<Self> {
        Ok(self.service("component", name, route, &guest(component)?, allow))
    }

    /// Adds a WAGI module of `components/` at a route.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built.
    pub fn module(self, name: &str, route: &str) -> Result<Self> {
        self.module_as(name, name, route)
    }

    /// Adds a WAGI module of `components/` under another name.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built.
    pub fn module_as(self, name: &str, module: &str, route: &str) -> Result<Self> {
        Ok(self.service("module", name, route, &guest(module)?, &[]))
    }

    /// Adds a component in the text format, such as those of [`crate::crafted`], at a route.
    #[must_use]
    pub fn crafted(mut self, name: &str, route: &str, component: impl Into<String>) -> Self {
        let file = format!("{name}.wat");
        self = self.service("component", name, route, Path::new(&file), &[]);
        self.files.push((file, component.into()));
        self
    }

    /// Adds a WAGI module in the text format, at a route.
    #[must_use]
    pub fn crafted_module(mut self, name: &str, route: &str, module: impl Into<String>) -> Self {
        let file = format!("{name}.wat");
        self = self.service("module", name, route, Path::new(&file), &[]);
        self.files.push((file, module.into()));
        self
    }

    /// Adds the caller's lines: after a service, they are more keys of it.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    fn service(mut self, kind: &str, name: &str, route: &str, file: &Path, allow: &[&str]) -> Self {
        // For the characters that occur here, Rust's string literals are TOML's basic strings.
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

    /// Writes it to `headwater.toml` in a new folder.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no temporary folder.
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
    /// Returns the path of `headwater.toml`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("headwater.toml")
    }
}
