//! Builds Headwater itself.
//!
//! Cargo recompiles a dependency if another selection of packages enables other features of it, and
//! wasmtime takes minutes. Therefore tests and demo share one selection, and the benchmarks use
//! one: after the demo, everything for the tests is built, and the other way round.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// The binaries and the tests, quick to build.
pub(crate) fn tests(workspace: &Workspace) -> Result<()> {
    build(workspace, &["--bins", "--tests"])
}

/// The host and one program that runs it. With a test, the smallest that there is: dependencies then have the
/// features that they have for all tests.
pub(crate) fn debug(workspace: &Workspace, program: &str) -> Result<()> {
    let what = ["--bin", "headwater", "--bin", program, "--test", "disabled"];
    build(workspace, &what)
}

/// A program of the workspace that guests are made with, of the same selection.
pub(crate) fn helper(workspace: &Workspace, name: &str) -> Result<Command> {
    build(workspace, &["--quiet", "--bin", name])?;
    Ok(Command::new(workspace.binary("debug", name)))
}

/// The features that the benchmark of the parts needs.
pub(crate) const MEASURE: &str = "headwater-runtime/measure,headwater-wagi/measure";

/// Builds the optimised host, and the targets that `more` names.
pub(crate) fn release(workspace: &Workspace, more: &[&str]) -> Result<()> {
    build(
        workspace,
        &[&["--release", "--bin", "headwater"], more].concat(),
    )
}

/// Builds the optimised host, the benchmark, and the targets that `more` names.
///
/// Always with the example: it has the dependencies of the tests, and dependencies that have other features
/// without it would be built twice.
pub(crate) fn bench(workspace: &Workspace, more: &[&str]) -> Result<()> {
    let targets = [
        "--bin",
        "bench",
        "--example",
        "floor",
        "--features",
        MEASURE,
    ];
    release(workspace, &[&targets, more].concat())
}

/// Builds the benchmark of the parts for counting its instructions, and returns its path.
///
/// By the profile that users run, link-time optimisation included: then a count is of their code, and the
/// dependencies are those of [`bench`](fn@bench). Without this optimisation, all dependencies would be compiled once
/// more, and those of the tests are hardly optimised: their part of a count would hide ours.
pub(crate) fn counted(workspace: &Workspace) -> Result<PathBuf> {
    let mut build = workspace.cargo();
    build.args(["bench", "--no-run", "--workspace", "--bench", "parts"]);
    build.args(["--features", MEASURE]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let messages = process::read(build.stderr(Stdio::inherit()))?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_parts = message["target"]["name"] == "parts";
        is_parts.then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    let built = messages.lines().find_map(executable);
    built.context("Cargo did not say where it built the benchmark")
}

fn build(workspace: &Workspace, what: &[&str]) -> Result<()> {
    let mut build = workspace.cargo();
    build.args(["build", "--workspace"]).args(what);
    process::run(&mut build, "Cargo's message above says where.")
}
