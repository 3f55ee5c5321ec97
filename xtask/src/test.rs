//! All tests.

use std::env;
use std::thread;

use anyhow::Result;

use crate::build;
use crate::components;
use crate::oci_registry;
use crate::process::{self, say};
use crate::unpacked;
use crate::workspace::Workspace;

/// Tells the tests that there is time for the long ones: `tests/src/tier.rs` reads it.
const ALL: &str = "HEADWATER_TEST_ALL";
/// How many tests run at once, if `--test-threads` does not say so.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs the tests whose name contains `filter`; with `all`, each in its full length.
pub(crate) fn run(
    workspace: &Workspace,
    filter: Option<&str>,
    all: bool,
    arguments: &[String],
) -> Result<()> {
    components::run(workspace)?;
    oci_registry::find_or_install();
    say(
        "building the binary and the tests; the first time this compiles wasmtime, which takes minutes",
    );
    build::tests(workspace)?;
    unpacked::provide(workspace);

    say("running the workspace's tests");
    let mut test = workspace.cargo();
    // To the end also after a failure: one run shows all that is broken.
    test.args(["test", "--workspace", "--no-fail-fast"]);
    test.args(filter);
    test.arg("--").args(arguments);
    workspace.tell(&mut test, "debug");
    if all {
        test.env(ALL, "1");
    }
    // An end-to-end test mostly waits: for a host to start, or for a time to be over.
    if env::var_os(THREADS).is_none()
        && let Ok(cores) = thread::available_parallelism()
    {
        test.env(THREADS, (2 * cores.get()).to_string());
    }
    process::run(
        &mut test,
        "The failed tests are named above; `cargo xtask test NAME` runs one.",
    )
}
