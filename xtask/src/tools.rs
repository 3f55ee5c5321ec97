//! Cargo's plug-ins for checks, and what Headwater is measured against, each at a version of our choice,
//! in the target folder.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{self, say};
use crate::workspace::Workspace;

/// A program of crates.io.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Said when it has to be compiled.
    pub(crate) takes: &'static str,
    pub(crate) build: Build,
}

/// How a program is compiled.
pub(crate) enum Build {
    /// With its default features. Quicker to compile and run once than to be compiled optimised.
    Quick,
    /// Optimised, as its users have it, with these features and no other: it is measured.
    Optimised { features: &'static str },
}

impl Tool {
    /// The program, installed if it is not yet there. Each version has a folder of its own, so that
    /// no one needs to ask a program for its version.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<PathBuf> {
        let Self {
            name,
            version,
            takes,
            build,
        } = self;
        let folder = workspace
            .target
            .join("tools")
            .join(format!("{name}-{version}"));
        let program = name.strip_suffix("-cli").unwrap_or(name);
        let program = folder
            .join("bin")
            .join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
        if !program.is_file() {
            say(format!(
                "installing {name} {version} from crates.io, which takes {takes}"
            ));
            let mut install = workspace.cargo();
            install.args([
                "install",
                name,
                "--version",
                &format!("={version}"),
                "--locked",
            ]);
            match build {
                Build::Quick => install.arg("--debug"),
                Build::Optimised { features } => {
                    install.args(["--no-default-features", "--features", features])
                }
            };
            install.args(["--no-track", "--root"]).arg(&folder);
            install.env("CARGO_TARGET_DIR", workspace.target.join("tools/build"));
            // Some build scripts and linkers want debug information of a size that serves no one.
            install.env("CARGO_PROFILE_DEV_DEBUG", "false");
            process::run(&mut install, "Is crates.io within reach?")?;
        }
        Ok(program)
    }
}
