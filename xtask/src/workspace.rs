//! The paths of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::guest::Guest;
use crate::process;

/// The folders of Headwater's source and of its build output.
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the environment or a configuration file puts it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package
            .parent()
            .context("xtask has no parent folder")?
            .to_owned();
        let mut metadata = cargo();
        metadata
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&root);
        let metadata: serde_json::Value = serde_json::from_str(&process::read(&mut metadata)?)
            .context("`cargo metadata` printed something that is not JSON")?;
        let target = metadata["target_directory"]
            .as_str()
            .context("`cargo metadata` printed no target folder")?;
        Ok(Self {
            root,
            target: PathBuf::from(target),
        })
    }

    /// Returns a Cargo command in the root folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Returns the folder of the guests' source.
    pub(crate) fn guests(&self) -> PathBuf {
        self.root.join("components")
    }

    /// Returns the folder of the interfaces that guests may use.
    pub(crate) fn wit(&self) -> PathBuf {
        self.root.join("wit")
    }

    /// Returns the WIT folders for a guest's world, its own last. WASI 0.3 is from the crate that
    /// the guests in Rust use.
    pub(crate) fn wit_for(&self, guest: &Guest) -> Result<[PathBuf; 3]> {
        let mut metadata = cargo();
        metadata
            .args(["metadata", "--format-version", "1"])
            .current_dir(self.guests());
        let metadata: serde_json::Value = serde_json::from_str(&process::read(&mut metadata)?)
            .context("`cargo metadata` printed something that is not JSON")?;
        let packages = metadata["packages"].as_array();
        let wasip3 = packages
            .into_iter()
            .flatten()
            .find(|package| package["name"] == "wasip3");
        let manifest = wasip3.and_then(|package| package["manifest_path"].as_str());
        let manifest = Path::new(manifest.context("the guests do not use the crate wasip3")?);
        Ok([
            manifest.with_file_name("wit"),
            self.wit().join("headwater-attribution"),
            guest.folder.join("wit"),
        ])
    }

    /// Returns the folder of the built guests.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join("components")
    }

    /// Returns the path of a binary in this workspace, built with the profile whose folder is
    /// `profile`.
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target
            .join(profile)
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Passes the paths of the tested binary and of the guests to a program.
    pub(crate) fn tell(&self, command: &mut Command, profile: &str) {
        command
            .env("HEADWATER_BIN", self.binary(profile, "headwater"))
            .env("HEADWATER_COMPONENTS", self.components());
    }
}

/// Returns the Cargo that runs xtask, without the variables about the package that it runs.
///
/// Some build scripts (such as that of `ring`) run again when `CARGO_MANIFEST_DIR` or
/// `CARGO_PKG_NAME` changes, so alternating `cargo build` and `cargo xtask` would rebuild
/// everything each time.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}
