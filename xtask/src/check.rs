//! The checks that a change must pass in addition to the tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::build;
use crate::counts;
use crate::docs;
use crate::guest::{Guests, Kind};
use crate::process::{self, say};
use crate::rust::{self, Rust};
use crate::tools::{Build, Tool};
use crate::workspace::{self, Workspace};

const UNUSED_DEPENDENCIES: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
    takes: "a minute",
    build: Build::Quick,
};
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    takes: "some minutes",
    build: Build::Quick,
};

/// The repository of known vulnerabilities.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// The result of a check that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// The reason why the check could not run.
    NotMade(String),
}

/// The name of a check, and the check.
type Check = (&'static str, fn(&Workspace) -> Result<Outcome>);

const CHECKS: [Check; 13] = [
    ("format", format),
    ("format of the guests", format_of_guests),
    ("lints", lints),
    ("lints of the guests", lints_of_guests),
    ("documentation", documentation),
    ("features", features),
    ("links of the documentation", links),
    ("book of the documentation", book),
    ("commands of the documentation", commands),
    ("unused dependencies", unused_dependencies),
    ("licences, bans and sources", licences),
    ("advisories", advisories),
    ("instruction counts", instruction_counts),
];

/// Runs all checks whose name contains `filter`; fails if one of them did.
pub(crate) fn run(workspace: &Workspace, filter: &str) -> Result<()> {
    let chosen: Vec<Check> = CHECKS
        .into_iter()
        .filter(|(name, _)| name.contains(filter))
        .collect();
    if chosen.is_empty() {
        let names = CHECKS.map(|(name, _)| name).join("; ");
        bail!("no check's name contains `{filter}`. The checks are: {names}");
    }
    let mut failed = Vec::new();
    let mut not_made = Vec::new();
    for ((name, check), nth) in chosen.iter().zip(1..) {
        say(format!("[{nth}/{}] checking {name}", chosen.len()));
        match check(workspace) {
            Ok(Outcome::Passed) => {}
            Ok(Outcome::NotMade(why)) => {
                say(format!("WARNING: {name} NOT checked: {why}"));
                not_made.push(*name);
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.push(*name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join("; "));
    }
    match not_made.as_slice() {
        [] => say("all checks passed"),
        names => say(format!(
            "the checks that could run passed; NOT run: {}",
            names.join("; ")
        )),
    }
    Ok(())
}

/// Runs a program as a check.
fn by(command: &mut Command, remedy: &str) -> Result<Outcome> {
    process::run(command, remedy).map(|()| Outcome::Passed)
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    by(
        workspace.cargo().args(["fmt", "--all", "--check"]),
        "Run `cargo fmt --all`.",
    )
}

fn format_of_guests(workspace: &Workspace) -> Result<Outcome> {
    let mut format = workspace::cargo();
    format
        .current_dir(workspace.guests())
        .args(["fmt", "--all", "--check"]);
    by(&mut format, "Run `cargo fmt --all` in components/.")
}

fn lints(workspace: &Workspace) -> Result<Outcome> {
    let mut clippy = workspace.cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        build::MEASURE,
        "--",
        "-D",
        "warnings",
    ]);
    by(&mut clippy, "Clippy's messages above say how.")
}

fn lints_of_guests(workspace: &Workspace) -> Result<Outcome> {
    // Debian's Rust has the libraries of the targets only while it builds, but Clippy needs them,
    // too.
    if let Err(why) = Rust::installed() {
        return Ok(Outcome::NotMade(format!("{why:#}")));
    }
    let found = Guests::find(&workspace.guests())?;
    for kind in [Kind::Component, Kind::Command] {
        let mut clippy = workspace::cargo();
        clippy.args(["clippy", "--release", "--target", kind.rust_target()?]);
        for guest in found.guests.iter().filter(|guest| guest.kind == kind) {
            clippy.args(["--package", &guest.name]);
        }
        clippy.args(["--", "-D", "warnings"]);
        let folder = workspace.target.join("guests");
        let clippy = rust::for_guests(&mut clippy, workspace, &folder);
        process::run(clippy, "Clippy's messages above say how.")?;
    }
    Ok(Outcome::Passed)
}

fn documentation(workspace: &Workspace) -> Result<Outcome> {
    let mut document = workspace.cargo();
    document
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    by(&mut document, "Rustdoc's messages above say where.")
}

/// Checks the library without its optional parts.
fn features(workspace: &Workspace) -> Result<Outcome> {
    let mut check = workspace.cargo();
    check.args([
        "check",
        "--package",
        "headwater",
        "--lib",
        "--no-default-features",
    ]);
    by(&mut check, "Cargo's message above says where.")
}

fn links(workspace: &Workspace) -> Result<Outcome> {
    if !process::succeeds(Command::new("npm").arg("--version")) {
        return Ok(Outcome::NotMade("npm is not installed".to_owned()));
    }
    docs::links(workspace).map(|()| Outcome::Passed)
}

fn book(workspace: &Workspace) -> Result<Outcome> {
    docs::book(workspace).map(|()| Outcome::Passed)
}

fn commands(workspace: &Workspace) -> Result<Outcome> {
    for needed in ["rustup", "curl"] {
        if !process::succeeds(Command::new(needed).arg("--version")) {
            return Ok(Outcome::NotMade(format!("{needed} is not installed")));
        }
    }
    docs::commands(workspace).map(|()| Outcome::Passed)
}

fn unused_dependencies(workspace: &Workspace) -> Result<Outcome> {
    let machete = UNUSED_DEPENDENCIES.install(workspace)?;
    let mut command = Command::new(machete);
    // Includes the guests.
    command
        .current_dir(&workspace.root)
        .arg("--skip-target-dir");
    by(&mut command, "Remove the dependencies listed above.")
}

fn licences(workspace: &Workspace) -> Result<Outcome> {
    deny(
        workspace,
        &["licenses", "bans", "sources"],
        "See deny.toml for what is allowed and why.",
    )
}

fn advisories(workspace: &Workspace) -> Result<Outcome> {
    let mut list = Command::new("git");
    list.args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0");
    if !process::succeeds(&mut list) {
        return Ok(Outcome::NotMade(format!(
            "{ADVISORIES} is not reachable; run this check where it is"
        )));
    }
    deny(
        workspace,
        &["advisories"],
        "Update the crate named above, or add an exception with a reason to deny.toml.",
    )
}

fn instruction_counts(workspace: &Workspace) -> Result<Outcome> {
    counts::Request::default().run(workspace)
}

fn deny(workspace: &Workspace, what: &[&str], remedy: &str) -> Result<Outcome> {
    let deny = match DENY.install(workspace) {
        Ok(deny) => deny,
        Err(problem) => return Ok(Outcome::NotMade(format!("{problem:#}"))),
    };
    for manifest in [
        workspace.root.join("Cargo.toml"),
        workspace.guests().join("Cargo.toml"),
    ] {
        let mut command = Command::new(&deny);
        command.current_dir(&workspace.root);
        command
            .args(["--config", "deny.toml", "--manifest-path"])
            .arg(&manifest);
        command.args(["check", "--hide-inclusion-graph"]).args(what);
        process::run(&mut command, remedy)?;
    }
    Ok(Outcome::Passed)
}
