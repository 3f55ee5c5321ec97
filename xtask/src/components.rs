//! Builds the guests.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

use crate::build;
use crate::compositions;
use crate::fingerprint::{Fingerprint, Stamp};
use crate::guest::{Guest, Guests, Kind};
use crate::process::{self, say};
use crate::registry;
use crate::setup::{self, Compilers};
use crate::workspace::Workspace;

/// Raised when the same source is built in a different way, so that all guests are rebuilt.
const RECIPE: &str = "1";

/// Builds all guests that are not fresh into [`Workspace::components`]. Returns their compilers.
pub(crate) fn run(workspace: &Workspace) -> Result<Compilers> {
    let compilers = setup::run()?;
    let folder = workspace.components();
    say(format!(
        "building the guests in components/ into {}",
        folder.display()
    ));
    let stamps = folder.join(".stamps");
    fs::create_dir_all(&stamps).with_context(|| format!("creating {}", stamps.display()))?;
    let _alone = alone(&stamps)?;

    let found = Guests::find(&workspace.guests())?;
    let number = found.guests.len();
    let mut skipped = Vec::new();
    for (guest, nth) in found.guests.iter().zip(1..) {
        let fingerprint = fingerprint(workspace, &compilers, &found, guest)?;
        let mut outputs = vec![folder.join(&guest.name).with_extension("wasm")];
        if guest.kind == Kind::Text {
            outputs.push(folder.join(&guest.name).with_extension("wat"));
        }
        let stamp = Stamp::new(stamps.join(&guest.name), &fingerprint, outputs);
        if stamp.is_fresh()? {
            say(format!("[{nth}/{number}] fresh {}", guest.name));
            continue;
        }
        say(format!("[{nth}/{number}] building {}", guest.name));
        let built = build(workspace, &compilers, guest)
            .with_context(|| format!("building the guest {}", guest.name));
        match built {
            Ok(()) => stamp.write()?,
            Err(error) if guest.kind.is_optional() => {
                say(format!("SKIPPED {} and its tests: {error:#}", guest.name));
                skipped.push(guest.name.as_str());
            }
            Err(error) => return Err(error),
        }
    }
    if !skipped.is_empty() {
        say(format!("SKIPPED guests: {}", skipped.join(", ")));
    }
    compositions::run(workspace, &stamps)?;
    Ok(compilers)
}

/// Waits until no other xtask builds into the same folder, and locks it until the file is dropped.
fn alone(stamps: &Path) -> Result<File> {
    let path = stamps.join("lock");
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    if lock.try_lock().is_err() {
        say("waiting for another xtask that builds guests");
        lock.lock()
            .with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(lock)
}

fn fingerprint(
    workspace: &Workspace,
    compilers: &Compilers,
    found: &Guests,
    guest: &Guest,
) -> Result<String> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.text(RECIPE);
    if guest.kind.is_rust() {
        fingerprint.text(&compilers.rust.version()?);
        fingerprint.files(&workspace.guests().join("Cargo.toml"))?;
        fingerprint.files(&workspace.guests().join("Cargo.lock"))?;
        fingerprint.files(&workspace.wit())?;
        for library in &found.libraries {
            fingerprint.files(library)?;
        }
    } else if guest.kind.is_c() {
        fingerprint.text(&compilers.clang.describe()?);
    } else if guest.kind.is_optional() {
        fingerprint.text(&registry::describe(guest)?);
    }
    if matches!(guest.kind, Kind::CComponent | Kind::Python) {
        // The version of WASI and its bindings.
        fingerprint.files(&workspace.guests().join("Cargo.lock"))?;
        fingerprint.files(&workspace.root.join("Cargo.lock"))?;
        fingerprint.files(&workspace.wit())?;
        fingerprint.files(&workspace.guests().join(registry::PYTHON_LIBRARY))?;
    }
    fingerprint.files(&guest.folder)?;
    Ok(fingerprint.finish())
}

fn build(workspace: &Workspace, compilers: &Compilers, guest: &Guest) -> Result<()> {
    let folder = workspace.components();
    let output = folder.join(&guest.name).with_extension("wasm");
    match guest.kind {
        Kind::Component | Kind::Command => {
            let built = compilers.rust.build(workspace, guest)?;
            place(&read(&built)?, &output)
        }
        Kind::C => {
            let building = output.with_extension("new");
            compilers
                .clang
                .build(&guest.folder.join("main.c"), &building)?;
            rename(&building, &output)
        }
        Kind::CComponent => {
            let building = output.with_extension("new");
            c_component(workspace, compilers, guest, &building)?;
            rename(&building, &output)
        }
        Kind::Go | Kind::Zig | Kind::AssemblyScript | Kind::Shipped | Kind::Python => {
            let building = output.with_extension("new");
            registry::build(workspace, guest, &building)?;
            rename(&building, &output)
        }
        Kind::Text => {
            // Both forms, because a host accepts both.
            let source = guest.folder.join("main.wat");
            let building = output.with_extension("new");
            let mut assemble = build::helper(workspace, "assemble")?;
            assemble.arg(&source).arg(&building);
            process::run(&mut assemble, "The message above says why.")?;
            rename(&building, &output)?;
            place(&read(&source)?, &output.with_extension("wat"))
        }
    }
}

/// Generates bindings for the world, compiles the program with them, and makes a component of it.
fn c_component(
    workspace: &Workspace,
    compilers: &Compilers,
    guest: &Guest,
    output: &Path,
) -> Result<()> {
    let folder = workspace.target.join("guests").join(&guest.name);
    // Earlier bindings may have had other names.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut bind = build::helper(workspace, "bind-c")?;
    bind.arg(&folder).args(workspace.wit_for(guest)?);
    process::run(&mut bind, "The message above says why.")?;
    let module = folder.join("module.wasm");
    compilers
        .clang
        .build_reactor(&guest.folder.join("main.c"), &folder, &module)?;
    let mut componentize = build::helper(workspace, "componentize")?;
    componentize.arg(&module).arg(output);
    process::run(&mut componentize, "The message above says why.")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Replaces a file atomically: a host may be reading the old one.
fn place(bytes: &[u8], path: &Path) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("writing {}", new.display()))?;
    rename(&new, path)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("moving {} to {}", from.display(), to.display()))
}
