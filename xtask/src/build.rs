//! Builds Headwater itself.
//!
//! Cargo recompiles a dependency if another selection of packages enables other features of it, and
//! wasmtime takes minutes. Therefore tests and demo share one selection, and the benchmarks use
//! one: after the demo, everything for the tests is built, and the other way round.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Builds the binaries and the tests without optimisation.
pub(crate) fn debug(workspace: &Workspace) -> Result<()> {
    build(workspace, &["--bins", "--tests"])
}

/// The feature that the benchmark of the runtime's parts needs.
pub(crate) const MEASURE: &str = "headwater-runtime/measure";

/// Builds the optimised host, and the targets that `more` names.
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
