//! All tests.

use anyhow::Result;

use crate::components;
use crate::process::{self, say};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, filter: Option<&str>, arguments: &[String]) -> Result<()> {
    components::run(workspace)?;
    say("building the binary that the end-to-end tests run");
    let mut build = workspace.cargo();
    build.args(["build", "--package", "headwater", "--bin", "headwater"]);
    process::run(&mut build, "Cargo's message above says where.")?;

    say("running the workspace's tests");
    let mut test = workspace.cargo();
    // To the end also after a failure: one run shows all that is broken.
    test.args(["test", "--workspace", "--no-fail-fast"]);
    test.args(filter);
    test.arg("--").args(arguments);
    workspace.tell(&mut test, "debug");
    process::run(
        &mut test,
        "The failed tests are named above; `cargo xtask test NAME` runs one.",
    )
}
