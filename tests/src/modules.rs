//! A `modules.toml` in its own folder, together with its modules.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::guests::guest;

/// A builder for a `modules.toml`. Its folder is removed when this is dropped.
#[derive(Debug)]
pub struct Modules {
    folder: TempDir,
    text: String,
}

impl Modules {
    /// Creates an empty one.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no temporary folder.
    pub fn new() -> Result<Self> {
        let folder = TempDir::new().context("making a temporary folder")?;
        Ok(Self {
            folder,
            text: String::new(),
        })
    }

    /// Adds a guest of `components/` at a route, and more lines for its table.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest was not built.
    pub fn guest(self, route: &str, name: &str, more: &str) -> Result<Self> {
        let path = guest(name)?;
        Ok(self.named(route, &path.display().to_string(), more))
    }

    /// Adds a module in text form, in its own file, at a route.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn wat(self, route: &str, text: &str, more: &str) -> Result<Self> {
        let count = fs::read_dir(self.folder.path())?.count();
        let path = self.folder.path().join(format!("module-{count}.wat"));
        fs::write(&path, text).context("writing a module")?;
        Ok(self.named(route, &path.display().to_string(), more))
    }

    /// Adds a module by reference, at a route.
    #[must_use]
    pub fn named(mut self, route: &str, module: &str, more: &str) -> Self {
        // Writing to a String cannot fail.
        _ = write!(
            self.text,
            "[[module]]\nroute = {route:?}\nmodule = {module:?}\n{more}\n"
        );
        self
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written.
    pub fn write(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("modules.toml");
        fs::write(&path, &self.text).context("writing a modules.toml")?;
        Ok(path)
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
