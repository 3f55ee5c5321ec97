//! All tests.

use anyhow::Result;

use crate::build;
use crate::components;
use crate::oci_registry;
use crate::process::{self, say};
use crate::unpacked;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, filter: Option<&str>, arguments: &[String]) -> Result<()> {
    components::run(workspace)?;
    oci_registry::find_or_install();
    say(
        "building the binary and the tests; the first time this compiles wasmtime, which takes minutes",
    );
    build::debug(workspace)?;
    unpacked::provide(workspace);

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
