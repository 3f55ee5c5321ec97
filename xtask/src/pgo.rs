//! The release binary, optimised by profiles of it under load.
//!
//! First the compiler optimises it by profile: it learns which branches and calls are frequent. Then BOLT, if
//! Debian's packages have it, orders the code in the binary by a profile of that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::debian;
use crate::process::{self, say};
use crate::workspace::Workspace;
use crate::{build, components, serve};

/// The requests to each kind of host in a workload.
const REQUESTS: &str = "40000";

/// The programs of BOLT. The name of the package ends with the version of LLVM.
const BOLT: (&str, &str) = ("llvm-bolt-19", "merge-fdata-19");
const BOLT_PACKAGE: &str = "bolt-19";

/// What BOLT does: orders blocks and functions by how often they follow each other, and moves code that
/// never ran out of the way.
const LAYOUT: [&str; 6] = [
    "-reorder-blocks=ext-tsp",
    "-reorder-functions=cdsort",
    "-split-functions",
    "-split-all-cold",
    "-split-eh",
    "-icf=1",
];

/// Builds the optimised host, `target/release-pgo/headwater`.
pub(crate) fn release(workspace: &Workspace) -> Result<PathBuf> {
    components::run(workspace)?;
    build::bench(workspace, &[])?;
    let profdata = llvm_profdata()?;
    let has_bolt = has_bolt();
    let folder = workspace.target.join("pgo");

    say("building the host with counters; the first time this takes ten minutes on two cores");
    let profiles = fresh(&folder.join("profiles"))?;
    let flags = format!("-Cprofile-generate={}", profiles.display());
    let instrumented = host(workspace, &folder.join("instrumented"), &flags)?;
    load(workspace, &instrumented)?;
    let merged = folder.join("merged.profdata");
    let mut merge = Command::new(profdata);
    merge.arg("merge").arg("-o").arg(&merged).arg(&profiles);
    process::run(&mut merge, "Did a host end without writing its profile?")?;

    say("building the host with the profile, which takes as long");
    let mut flags = format!("-Cprofile-use={}", merged.display());
    if has_bolt {
        // BOLT moves code, and has to know what refers to it.
        flags.push_str(" -Clink-arg=-Wl,--emit-relocs");
    }
    // Cargo does not see that the profile has changed.
    let mut optimised = host(workspace, &fresh(&folder.join("optimised"))?, &flags)?;
    if has_bolt {
        optimised = laid_out(workspace, &folder, &optimised)?;
    }
    let result = workspace.target.join("release-pgo");
    fs::create_dir_all(&result)?;
    let result = result.join("headwater");
    fs::copy(&optimised, &result).with_context(|| format!("writing {}", result.display()))?;
    say(format!(
        "{} is the optimised host: `cargo xtask bench table --host {0}` measures it",
        result.display()
    ));
    Ok(result)
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

/// Returns the binary with its code in the order that BOLT finds best.
fn laid_out(workspace: &Workspace, folder: &Path, binary: &Path) -> Result<PathBuf> {
    say("ordering the code by BOLT");
    let (bolt, merge) = BOLT;
    // It looks for its library beside itself, and takes the folder of a link for its own.
    let bolt = debian::which(bolt).with_context(|| format!("there is no {bolt}"))?;
    let bolt = fs::canonicalize(bolt).context("looking for BOLT")?;
    let profiles = fresh(&folder.join("layout"))?;
    let instrumented = folder.join("headwater-instrumented");
    let mut instrument = Command::new(&bolt);
    instrument
        .arg(binary)
        .arg("-instrument")
        .arg(format!("--instrumentation-file={}/", profiles.display()))
        .arg("--instrumentation-file-append-pid")
        .arg("-o")
        .arg(&instrumented);
    process::run(&mut instrument, "BOLT's message above says why.")?;
    load(workspace, &instrumented)?;
    let merged = folder.join("merged.fdata");
    let mut all = Command::new(merge);
    all.arg("-o").arg(&merged).arg(&profiles);
    process::run(&mut all, "Did a host end without writing its profile?")?;
    let result = folder.join("headwater-laid-out");
    let mut layout = Command::new(&bolt);
    layout
        .arg(binary)
        .arg(format!("-data={}", merged.display()))
        .args(LAYOUT)
        .arg("-o")
        .arg(&result);
    process::run(&mut layout, "BOLT's message above says why.")?;
    Ok(result)
}

/// Loads hosts of each kind, which write their profiles when they end.
fn load(workspace: &Workspace, host: &Path) -> Result<()> {
    say("loading hosts with requests, which takes a minute or two");
    let mut load = serve::program(workspace, "release", "bench");
    load.env("HEADWATER_BIN", host)
        .args(["workload", "--requests", REQUESTS]);
    process::run(&mut load, "The message above says why.")
}

/// Returns true if BOLT is here, or could be installed.
fn has_bolt() -> bool {
    if debian::which(BOLT.0).is_some() {
        return true;
    }
    match debian::install(&[BOLT_PACKAGE.to_owned()]) {
        Ok(()) => debian::which(BOLT.0).is_some(),
        Err(error) => {
            say(format!(
                "WARNING: the code will NOT be ordered by BOLT: {error:#}"
            ));
            false
        }
    }
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

/// Empties a folder: profiles of another source would be merged with those of this one.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}
