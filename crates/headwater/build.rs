//! Records the target and the commit of a build, for `headwater --version`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HEADWATER_COMMIT");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=HEADWATER_TARGET={target}");
    let given = std::env::var("HEADWATER_COMMIT").ok();
    // In debug builds, the commit would cause a new link after each commit.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| is_release.then(commit).flatten());
    println!(
        "cargo::rustc-env=HEADWATER_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
}

/// Returns the commit that is checked out, if the source is a git repository.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.is_empty()).then(|| text.trim().to_owned())
    };
    // This file changes with each commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
