//! Running the real binary: the demo, and the benchmark.

use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;

use crate::components;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// Runs the demo; its exit code is ours.
pub(crate) fn demo(workspace: &Workspace, once: bool) -> Result<ExitCode> {
    components::run(workspace)?;
    say("building the host and the demo");
    build(workspace, &[], "demo")?;
    say("running the demo");
    let mut demo = program(workspace, "debug", "demo");
    if once {
        demo.arg("--once");
    }
    Ok(code(process::status(&mut demo)?))
}

/// Runs the benchmark; its exit code is ours.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    components::run(workspace)?;
    say("building the host and the benchmark, optimised: this takes some minutes the first time");
    build(workspace, &["--release"], "bench")?;
    say("measuring");
    let mut bench = program(workspace, "release", "bench");
    Ok(code(process::status(bench.args(arguments))?))
}

fn build(workspace: &Workspace, profile: &[&str], binary: &str) -> Result<()> {
    let mut build = workspace.cargo();
    build.arg("build").args(profile).args([
        "--package",
        "headwater",
        "--package",
        "headwater-tests",
    ]);
    build.args(["--bin", "headwater", "--bin", binary]);
    process::run(&mut build, "Cargo's message above says where.")
}

fn program(workspace: &Workspace, profile: &str, name: &str) -> Command {
    let path = workspace.binary(profile, name);
    let mut command = Command::new::<&Path>(&path);
    command.current_dir(&workspace.root);
    workspace.tell(&mut command, profile);
    command
}

fn code(status: ExitStatus) -> ExitCode {
    // None: it was ended by a signal.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
