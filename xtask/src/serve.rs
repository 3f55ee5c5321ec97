//! Runs the real binary: the demo, the soak test, the proof of attribution, and the benchmark.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::check::Outcome;
use crate::components;
use crate::counts;
use crate::debian;
use crate::peers;
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
/// The parts of the benchmark over sockets.
const SOCKET_PARTS: [&str; 9] = [
    "chains",
    "egress",
    "front",
    "idle",
    "neighbour",
    "scaling",
    "speed",
    "table",
    "wagi",
];

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
    let (host, arguments) = host_of(arguments)?;
    say("loading a host");
    let mut soak = program(workspace, "debug", "soak");
    soak.envs(host).args(arguments);
    Ok(code(process::status(&mut soak)?))
}

/// Runs the proof of attribution and returns its exit code.
pub(crate) fn prove_attribution(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    components::run(workspace)?;
    say(
        "building the host and the proof; the first time this compiles wasmtime, which takes minutes",
    );
    let (profiles, arguments): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument == "--release");
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
    let (host, arguments) = host_of(&arguments)?;
    let mut proof = program(workspace, profile, "prove_attribution");
    proof.envs(host).args(arguments);
    Ok(code(process::status(&mut proof)?))
}

/// The variable that names the host for the programs of the tests.
type HostVariable = (&'static str, PathBuf);

/// Takes `--host FILE` out of a program's arguments: the host to use, in place of the one that was built.
fn host_of(arguments: &[String]) -> Result<(Option<HostVariable>, Vec<String>)> {
    let mut arguments = arguments.to_vec();
    let Some(at) = arguments.iter().position(|argument| argument == "--host") else {
        return Ok((None, arguments));
    };
    let file = arguments.get(at + 1).context("--host needs a file")?;
    // The programs run in another folder.
    let file = std::path::absolute(file)?;
    ensure!(
        file.is_file(),
        "--host: there is no file {}",
        file.display()
    );
    arguments.drain(at..=at + 1);
    Ok((Some(("HEADWATER_BIN", file)), arguments))
}

/// Runs all benchmarks, even after a failure, and returns the exit code of the first failure.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    if let Some(request) = counts::Request::new(arguments)? {
        if let Outcome::NotMade(why) = request.run(workspace)? {
            say(format!("WARNING: instructions NOT checked: {why}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (host, arguments) = host_of(arguments)?;
    let selected = Selected::new(&arguments);
    components::run(workspace)?;
    say("building the host and the benchmarks, optimised: this takes some minutes the first time");
    let parts: &[&str] = match selected.wants_runtime() {
        true => &["--bench", "parts"],
        false => &[],
    };
    build::bench(workspace, parts)?;

    let mut statuses = Vec::new();
    if selected.wants_runtime() {
        say("measuring the parts of the runtime");
        let mut bench = workspace.cargo();
        // The same selection of packages as above.
        bench.args(["bench", "--workspace", "--bench", "parts"]);
        bench.args(["--features", build::MEASURE, "--"]);
        bench.args(&selected.runtime);
        bench.args(arguments.iter().filter(|argument| *argument == "--assert"));
        workspace.tell(&mut bench, "release");
        statuses.push(process::status(&mut bench)?);
    }
    if selected.wants_sockets() {
        statuses.push(over_sockets(workspace, &selected, host)?);
    }
    let failed = statuses.into_iter().find(|status| !status.success());
    Ok(failed.map_or(ExitCode::SUCCESS, code))
}

/// The selection of a benchmark's command line.
struct Selected<'a> {
    runtime: Vec<&'a str>,
    /// The rest, options included.
    sockets: Vec<&'a str>,
}

impl<'a> Selected<'a> {
    fn new(arguments: &'a [String]) -> Self {
        let arguments = arguments.iter().map(String::as_str);
        let (runtime, sockets) =
            arguments.partition(|argument: &&str| RUNTIME_PARTS.contains(argument));
        Self { runtime, sockets }
    }

    fn names_sockets(&self) -> bool {
        let mut parts = SOCKET_PARTS.iter();
        parts.any(|part| self.sockets.contains(part))
    }

    fn wants_runtime(&self) -> bool {
        let help = self.sockets.contains(&"--help") || self.sockets.contains(&"-h");
        !self.runtime.is_empty() || !(self.names_sockets() || help)
    }

    fn wants_sockets(&self) -> bool {
        self.runtime.is_empty() || self.names_sockets()
    }

    /// Returns true if this part over sockets is measured: without a name, all are.
    fn wants(&self, part: &str) -> bool {
        self.sockets.contains(&part) || !self.names_sockets()
    }
}

fn over_sockets(
    workspace: &Workspace,
    selected: &Selected<'_>,
    host: Option<HostVariable>,
) -> Result<ExitStatus> {
    if selected.wants("wagi") || selected.wants("table") {
        native_cgi();
    }
    let mut bench = program(workspace, "release", "bench");
    bench.envs(host);
    if selected.wants("egress") {
        bench.env("HEADWATER_WASMTIME", WASMTIME.install(workspace)?);
    }
    if selected.wants("table") {
        bench.envs(peers::provide(workspace));
        bench.env(
            "HEADWATER_FLOOR",
            workspace.binary("release", "examples/floor"),
        );
    }
    say("measuring the host over sockets");
    process::status(bench.args(&selected.sockets))
}

/// Installs the programs to compare WAGI modules with; the benchmark reports what it had to omit.
fn native_cgi() {
    let missing: Vec<String> = [
        ("nginx", "nginx-light"),
        ("fcgiwrap", "fcgiwrap"),
        ("cc", "gcc"),
    ]
    .into_iter()
    .filter(|(program, _)| debian::which(program).is_none())
    .map(|(_, package)| package.to_owned())
    .collect();
    if !missing.is_empty()
        && let Err(error) = debian::install(&missing)
    {
        say(format!(
            "WARNING: the comparison with native CGI will be skipped: {error:#}"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_ones_own_is_taken_out_of_the_arguments() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let file = std::path::absolute("src/main.rs").unwrap();
        let (host, rest) = host_of(&words(&["table", "--host", "src/main.rs", "--quick"])).unwrap();
        assert_eq!(host, Some(("HEADWATER_BIN", file)));
        assert_eq!(rest, ["table", "--quick"]);
        assert_eq!(host_of(&words(&["table"])).unwrap().0, None);
        for wrong in [&["--host"][..], &["--host", "no such file"]] {
            host_of(&words(wrong)).unwrap_err();
        }
    }

    fn wants(arguments: &[&str]) -> (bool, bool, bool) {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let selected = Selected::new(&arguments);
        (
            selected.wants_runtime(),
            selected.wants_sockets(),
            selected.wants_sockets() && selected.wants("table"),
        )
    }

    #[test]
    fn without_a_name_everything_is_measured_and_with_one_only_that() {
        assert_eq!(wants(&[]), (true, true, true));
        assert_eq!(wants(&["--assert"]), (true, true, true));
        assert_eq!(wants(&["table", "--quick"]), (false, true, true));
        assert_eq!(wants(&["speed"]), (false, true, false));
        assert_eq!(wants(&["reset"]), (true, false, false));
        assert_eq!(wants(&["reset", "wagi"]), (true, true, false));
        assert!(!wants(&["--help"]).0);
    }
}
