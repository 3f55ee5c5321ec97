//! Building Headwater itself.
//!
//! Cargo compiles a dependency anew when another selection of packages asks for other features of
//! it, and wasmtime takes minutes. So there is one selection for tests and demo, and one for
//! measuring; whoever runs the demo has what the tests need, and the other way round.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The binaries and the tests, quick to build.
pub(crate) fn debug(workspace: &Workspace) -> Result<()> {
    build(workspace, &["--bins", "--tests"])
}

/// The feature that the benchmark of the parts needs.
pub(crate) const MEASURE: &str = "headwater-runtime/measure";

/// The host, optimised, and what else is named so.
pub(crate) fn release(workspace: &Workspace, more: &[&str]) -> Result<()> {
    build(
        workspace,
        &[&["--release", "--bin", "headwater"], more].concat(),
    )
}

fn build(workspace: &Workspace, what: &[&str]) -> Result<()> {
    let mut build = workspace.cargo();
    build.args(["build", "--workspace"]).args(what);
    process::run(&mut build, "Cargo's message above says where.")
}
