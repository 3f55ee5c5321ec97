//! What must hold before a change is taken in, beyond the tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::guest::{Guests, Kind};
use crate::process::{self, say};
use crate::rust::{self, Rust};
use crate::tools::Tool;
use crate::workspace::{self, Workspace};

const UNUSED_DEPENDENCIES: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
    takes: "half a minute",
};
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    takes: "several minutes",
};

/// Where known vulnerabilities are published.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// A check by name, and the outcome.
type Check = (&'static str, fn(&Workspace) -> Result<()>);

const CHECKS: [Check; 8] = [
    ("format", format),
    ("format of the guests", format_of_guests),
    ("lints", lints),
    ("lints of the guests", lints_of_guests),
    ("documentation", documentation),
    ("unused dependencies", unused_dependencies),
    ("licences, bans and sources", licences),
    ("advisories", advisories),
];

/// Runs all checks to the end; fails if one did.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    for ((name, check), nth) in CHECKS.into_iter().zip(1..) {
        say(format!("[{nth}/{}] checking {name}", CHECKS.len()));
        if let Err(error) = check(workspace) {
            println!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join(", "));
    }
    say("all checks passed");
    Ok(())
}

fn format(workspace: &Workspace) -> Result<()> {
    process::run(
        workspace.cargo().args(["fmt", "--all", "--check"]),
        "Run `cargo fmt --all`.",
    )
}

fn format_of_guests(workspace: &Workspace) -> Result<()> {
    let mut format = workspace::cargo();
    format
        .current_dir(workspace.guests())
        .args(["fmt", "--all", "--check"]);
    process::run(&mut format, "Run `cargo fmt --all` in components/.")
}

fn lints(workspace: &Workspace) -> Result<()> {
    let mut clippy = workspace.cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    process::run(&mut clippy, "Clippy's messages above say how.")
}

fn lints_of_guests(workspace: &Workspace) -> Result<()> {
    // Debian's Rust has the targets' libraries only while it builds, and Clippy needs them, too.
    let Ok(()) = Rust::installed() else {
        say(
            "WARNING: the guests' lints were NOT checked, because this Rust lacks the wasm targets",
        );
        return Ok(());
    };
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
    Ok(())
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut document = workspace.cargo();
    document
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut document, "Rustdoc's messages above say where.")
}

fn unused_dependencies(workspace: &Workspace) -> Result<()> {
    let machete = UNUSED_DEPENDENCIES.install(workspace)?;
    let mut command = Command::new(machete);
    // The guests are in there, too.
    command
        .current_dir(&workspace.root)
        .arg("--skip-target-dir");
    process::run(&mut command, "Remove the dependencies that it names.")
}

fn licences(workspace: &Workspace) -> Result<()> {
    deny(
        workspace,
        &["licenses", "bans", "sources"],
        "deny.toml says what is allowed, and why.",
    )
}

fn advisories(workspace: &Workspace) -> Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0");
    if !process::succeeds(&mut list) {
        say(format!(
            "WARNING: advisories were NOT checked, because {ADVISORIES} cannot be reached from \
             here. Run this check where it can be."
        ));
        return Ok(());
    }
    deny(
        workspace,
        &["advisories"],
        "Update the crate that it names, or say why not in deny.toml.",
    )
}

fn deny(workspace: &Workspace, what: &[&str], remedy: &str) -> Result<()> {
    let deny = match DENY.install(workspace) {
        Ok(deny) => deny,
        Err(problem) => {
            say(format!(
                "WARNING: {} were NOT checked: {problem:#}",
                what.join(", ")
            ));
            return Ok(());
        }
    };
    for manifest in [
        workspace.root.join("Cargo.toml"),
        workspace.guests().join("Cargo.toml"),
    ] {
        let mut command = Command::new(&deny);
        command
            .current_dir(&workspace.root)
            .arg("--manifest-path")
            .arg(&manifest);
        command.args(["check", "--config", "deny.toml"]).args(what);
        process::run(&mut command, remedy)?;
    }
    Ok(())
}
