//! Runs the tests.

use std::env;
use std::thread;

use anyhow::Result;

use crate::build;
use crate::components;
use crate::oci_registry;
use crate::process::{self, say};
use crate::unpacked;
use crate::workspace::Workspace;

/// Makes the tests run in full length: `tests/src/tier.rs` reads it.
const ALL: &str = "HEADWATER_TEST_ALL";
/// The number of tests that run at once, unless `--test-threads` sets it.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs the tests whose name contains `filter`; with `all`, each in full length.
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
    // Continues after a failure: one run shows everything that is broken.
    test.args(["test", "--workspace", "--no-fail-fast"]);
    test.args(filter);
    test.arg("--").args(arguments);
    workspace.tell(&mut test, "debug");
    if all {
        test.env(ALL, "1");
    }
    // An end-to-end test mostly waits: for a host to start, or for time to pass.
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
