//! All tests.

use anyhow::Result;

use crate::build;
use crate::components;
use crate::nginx;
use crate::process::{self, say};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, filter: Option<&str>, arguments: &[String]) -> Result<()> {
    components::run(workspace)?;
    say(
        "building the binary and the tests; the first time this compiles wasmtime, which takes minutes",
    );
    build::debug(workspace)?;
    nginx::provide(workspace);

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
