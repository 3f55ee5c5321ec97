//! Cargo's plug-ins for checks, and the programs that Headwater is measured against, each at a
//! fixed version, installed in the target folder.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{self, say};
use crate::workspace::Workspace;

/// A program from crates.io.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// How long it takes to compile, for the message.
    pub(crate) takes: &'static str,
    pub(crate) build: Build,
}

/// How a program is compiled.
pub(crate) enum Build {
    /// With its default features and unoptimised: compiling and running it once is faster this way.
    Quick,
    /// Optimised, as its users have it, with only these features: it is measured.
    Optimised { features: &'static str },
}

impl Tool {
    /// Returns the program, and installs it first if it is missing. Each version has its own
    /// folder, so that the program need not be asked for its version.
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
            // Some build scripts and linkers would write a huge amount of useless debug
            // information.
            install.env("CARGO_PROFILE_DEV_DEBUG", "false");
            process::run(&mut install, "Check that crates.io is reachable.")?;
        }
        Ok(program)
    }
}
