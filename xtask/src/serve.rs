//! Runs the real binary: the demo, the soak test, the proof of attribution, and the benchmark.

use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Result;

use crate::build;
use crate::components;
use crate::debian;
use crate::process::{self, say};
use crate::tools::{Build, Tool};
use crate::workspace::Workspace;

/// The program to compare outgoing requests with: the version that Headwater is built with.
const WASMTIME: Tool = Tool {
    name: "wasmtime-cli",
    version: "48.0.8",
    takes: "ten minutes",
    build: Build::Optimised {
        features: "run,serve,component-model-async,cranelift,parallel-compilation,pooling-allocator,\
                   gc,gc-drc,threads,addr2line",
    },
};
/// The parts of the benchmark over sockets, first the one that needs wasmtime.
const SOCKET_PARTS: [&str; 5] = ["egress", "speed", "front", "idle", "neighbour"];

/// The parts of the runtime's benchmark whose names are not also parts over sockets.
const RUNTIME_PARTS: [&str; 4] = ["attribution", "dispatch", "instances", "reset"];

/// Runs the demo and returns its exit code.
pub(crate) fn demo(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode> {
    components::run(workspace)?;
    say(
        "building the host and the demo; the first time this compiles wasmtime, which takes minutes",
    );
    build::debug(workspace, "demo")?;
    say("running the demo");
    let mut demo = program(workspace, "debug", "demo");
    demo.args(arguments).current_dir(&workspace.root);
    Ok(code(process::status(&mut demo)?))
}

/// Runs the soak test and returns its exit code.
pub(crate) fn soak(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    components::run(workspace)?;
    say(
        "building the host and the soak; the first time this compiles wasmtime, which takes minutes",
    );
    build::debug(workspace, "soak")?;
    say("loading a host");
    let mut soak = program(workspace, "debug", "soak");
    Ok(code(process::status(soak.args(arguments))?))
}

/// Runs the proof of attribution and returns its exit code.
pub(crate) fn prove_attribution(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    components::run(workspace)?;
    say(
        "building the host and the proof; the first time this compiles wasmtime, which takes minutes",
    );
    let (profiles, arguments): (Vec<&String>, Vec<&String>) = arguments
        .iter()
        .partition(|argument| *argument == "--release");
    let profile = match profiles.is_empty() {
        true => {
            build::debug(workspace, "prove_attribution")?;
            "debug"
        }
        false => {
            build::release(workspace, &["--bin", "prove_attribution"])?;
            "release"
        }
    };
    say("comparing outgoing requests with the requests that they were made for");
    let mut proof = program(workspace, profile, "prove_attribution");
    Ok(code(process::status(proof.args(arguments))?))
}

/// Runs all benchmarks, even after a failure, and returns the exit code of the first failure.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    components::run(workspace)?;
    say("building the host and the benchmarks, optimised: this takes some minutes the first time");
    build::release(
        workspace,
        &[
            "--bin",
            "bench",
            "--bench",
            "parts",
            "--features",
            build::MEASURE,
        ],
    )?;

    let (runtime, sockets): (Vec<&String>, Vec<&String>) = arguments
        .iter()
        .partition(|argument| RUNTIME_PARTS.contains(&argument.as_str()));
    let mut statuses = Vec::new();
    if runtime.is_empty() || sockets.iter().any(|argument| !argument.starts_with("--")) {
        statuses.push(over_sockets(workspace, &sockets)?);
    }
    say("measuring the parts of the runtime");
    let mut bench = workspace.cargo();
    // The same selection of packages as above, so that nothing is recompiled.
    bench.args(["bench", "--workspace", "--bench", "parts"]);
    bench.args(["--features", build::MEASURE, "--"]);
    bench.args(runtime);
    bench.args(arguments.iter().filter(|argument| *argument == "--assert"));
    workspace.tell(&mut bench, "release");
    statuses.push(process::status(&mut bench)?);
    let failed = statuses.into_iter().find(|status| !status.success());
    Ok(failed.map_or(ExitCode::SUCCESS, code))
}

fn over_sockets(workspace: &Workspace, arguments: &[&String]) -> Result<ExitStatus> {
    native_cgi(arguments);
    say("measuring the host over sockets");
    let mut bench = program(workspace, "release", "bench");
    let named = |part: &str| arguments.iter().any(|argument| argument.as_str() == part);
    if named(SOCKET_PARTS[0]) || !SOCKET_PARTS.into_iter().any(named) {
        bench.env("HEADWATER_WASMTIME", WASMTIME.install(workspace)?);
    }
    process::status(bench.args(arguments))
}

/// Installs the programs to compare WAGI modules with, if that part is selected; the benchmark
/// reports what it had to omit.
fn native_cgi(arguments: &[&String]) {
    let parts = ["speed", "front", "idle", "neighbour", "wagi"];
    let named = |part: &&str| arguments.iter().any(|argument| argument.as_str() == *part);
    let all = !parts.iter().any(named);
    let missing: Vec<String> = [
        ("nginx", "nginx-light"),
        ("fcgiwrap", "fcgiwrap"),
        ("cc", "gcc"),
    ]
    .into_iter()
    .filter(|(program, _)| debian::which(program).is_none())
    .map(|(_, package)| package.to_owned())
    .collect();
    if (all || named(&"wagi"))
        && !missing.is_empty()
        && let Err(error) = debian::install(&missing)
    {
        say(format!(
            "the comparison with native CGI will be skipped: {error:#}"
        ));
    }
}

pub(crate) fn program(workspace: &Workspace, profile: &str, name: &str) -> Command {
    let path = workspace.binary(profile, name);
    let mut command = Command::new::<&Path>(&path);
    command.current_dir(&workspace.root);
    workspace.tell(&mut command, profile);
    command
}

fn code(status: ExitStatus) -> ExitCode {
    // `None`: a signal ended it.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
