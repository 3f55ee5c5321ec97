//! The release binary, optimised by profiles of it under load.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{self, say};
use crate::workspace::Workspace;
use crate::{build, components, serve};

/// Builds an instrumented host, loads it, and builds the host again with the profile. Returns the
/// path of the result.
pub(crate) fn release(workspace: &Workspace) -> Result<PathBuf> {
    components::run(workspace)?;
    let profdata = llvm_profdata()?;
    let folder = workspace.target.join("pgo");
    let (profiles, merged) = (folder.join("profiles"), folder.join("merged.profdata"));
    // Profiles of another source would be merged with those of this one.
    if profiles.exists() {
        std::fs::remove_dir_all(&profiles)
            .with_context(|| format!("cannot remove {}", profiles.display()))?;
    }

    say("1 of 4: building the host with counters; the first time this takes some minutes");
    let flags = format!("-Cprofile-generate={}", profiles.display());
    let instrumented = host(workspace, &folder.join("instrumented"), &flags)?;
    say("2 of 4: loading it with requests, which takes a minute or two");
    build::release(workspace, &["--bin", "bench"])?;
    let mut load = serve::program(workspace, "release", "bench");
    load.env("HEADWATER_BIN", &instrumented)
        .args(["workload", "--requests", "40000"]);
    process::run(&mut load, "The message above says why.")?;
    say("3 of 4: merging the profiles");
    let mut merge = Command::new(profdata);
    merge.arg("merge").arg("-o").arg(&merged).arg(&profiles);
    process::run(&mut merge, "Did a host end without writing its profile?")?;
    say("4 of 4: building the host with the profile, which takes as long as the first time");
    let flags = format!("-Cprofile-use={}", merged.display());
    let binary = host(workspace, &folder.join("optimised"), &flags)?;
    say(format!(
        "{} is optimised for its work: `HEADWATER_BIN={0} cargo xtask bench` measures it",
        binary.display()
    ));
    Ok(binary)
}

/// Builds the host with more flags, in a folder of its own: Cargo compiles everything anew when the
/// flags change.
fn host(workspace: &Workspace, target: &Path, flags: &str) -> Result<PathBuf> {
    let triple = triple()?;
    let flags = match std::env::var("RUSTFLAGS") {
        Ok(more) => format!("{more} {flags}"),
        Err(_) => flags.to_owned(),
    };
    let mut build = workspace.cargo();
    // With a target named, the flags are not used for build scripts and macros.
    build
        .args(["build", "--release", "--workspace", "--bin", "headwater"])
        .args(["--target", &triple])
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", flags);
    process::run(&mut build, "Cargo's message above says where.")?;
    Ok(target.join(triple).join("release/headwater"))
}

/// Returns the program that merges profiles, of the same LLVM as the compiler's. rustup installs it.
fn llvm_profdata() -> Result<PathBuf> {
    let root = process::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let program = Path::new(root.trim())
        .join("lib/rustlib")
        .join(triple()?)
        .join("bin/llvm-profdata");
    if !program.exists() {
        say("installing llvm-tools by rustup, to merge profiles");
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", "llvm-tools"]);
        process::run(
            &mut rustup,
            "Only rustup has the LLVM tools that belong to a compiler.",
        )?;
    }
    ensure!(program.exists(), "there is no {}", program.display());
    Ok(program)
}

/// Returns the target that the compiler builds for by default.
fn triple() -> Result<String> {
    let version = process::read(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
