//! The fallback for machines that cannot reach rustup's server: Debian's Rust "for the web", which
//! builds the standard library from its source.
//!
//! Its components are made from modules for `wasm32-unknown-unknown`, where the standard library
//! has no stderr: a panic still traps, but its text is lost. There is no other difference.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::for_guests;
use crate::build;
use crate::clang::Clang;
use crate::debian;
use crate::guest::{Guest, Kind};
use crate::process::{self, say};
use crate::workspace::Workspace;

pub(super) const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std";
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Stubs for functions that the standard library refers to and Debian's WASI library of 2022 lacks.
/// A module has one thread and never calls them.
const STUBS: &str = "\
int pthread_attr_init(void *a) { return 0; }
int pthread_attr_destroy(void *a) { return 0; }
int pthread_attr_setstacksize(void *a, unsigned long b) { return 0; }
int pthread_create(void *a, void *b, void *c, void *d) { return 6; }
int pthread_detach(void *a) { return 0; }
int pthread_join(void *a, void *b) { return 0; }
";

pub(crate) struct FromDebian {
    linker: PathBuf,
    /// Debian's clang, which has Debian's library, for the stubs.
    clang: Vec<OsString>,
}

impl FromDebian {
    pub(super) fn find_or_install(clang: &Clang) -> Result<Self> {
        let needed = [
            ("rustc-web", RUSTC),
            ("cargo-web", CARGO),
            ("rust-web-src", SOURCE),
            ("wasi-libc", WASI_LIBC),
        ];
        let missing: Vec<String> = needed
            .into_iter()
            .filter(|(_, path)| !Path::new(path).exists())
            .map(|(package, _)| package.to_owned())
            .collect();
        if !missing.is_empty() {
            debian::install(&missing)?;
        }
        let command = clang.command();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Ok(Self {
            linker: clang.linker().to_owned(),
            clang: words.map(Into::into).collect(),
        })
    }

    pub(super) fn build(&self, workspace: &Workspace, guest: &Guest) -> Result<PathBuf> {
        let folder = workspace.target.join("guests-debian");
        let target = match guest.kind {
            Kind::Command => "wasm32-wasip1",
            _ => "wasm32-unknown-unknown",
        };
        let mut command = Command::new(CARGO);
        command.args([
            "build",
            "--release",
            "-Zbuild-std=std,panic_abort",
            "--target",
            target,
        ]);
        command.args(["--package", &guest.name]);
        for_guests(&mut command, workspace, &folder);
        self.only_debian(&mut command, target);
        if guest.kind == Kind::Command {
            command.env("RUSTFLAGS", self.flags_for_wasi(&folder)?);
        }
        process::run(&mut command, "Cargo's message above says where.")?;
        let module = folder.join(target).join("release").join(guest.file());
        match guest.kind {
            Kind::Component => componentize(workspace, &module),
            _ => Ok(module),
        }
    }

    /// Hides any rustup toolchain, which is of another version.
    fn only_debian(&self, command: &mut Command, target: &str) {
        let mut path = OsString::from("/usr/bin:");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let linker = target.to_uppercase().replace('-', "_");
        for variable in ["CARGO", "LD_LIBRARY_PATH", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(variable);
        }
        command
            .env("PATH", path)
            .env("RUSTC", RUSTC)
            // `-Zbuild-std` is only for nightly compilers; this makes a distribution's compiler
            // accept it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(format!("CARGO_TARGET_{linker}_LINKER"), &self.linker);
    }

    /// Returns the flags that link Debian's WASI library instead of that of a rustup target.
    fn flags_for_wasi(&self, folder: &Path) -> Result<String> {
        std::fs::create_dir_all(folder)?;
        let (source, object) = (folder.join("stubs.c"), folder.join("stubs.o"));
        std::fs::write(&source, STUBS).with_context(|| format!("writing {}", source.display()))?;
        let mut compile = Command::new(&self.clang[0]);
        compile
            .args(&self.clang[1..])
            .args(["-O2", "-w", "-c", "-o"])
            .arg(&object)
            .arg(&source);
        process::run(&mut compile, "clang's message above says why.")?;
        let object = object.display();
        Ok([
            "-Ctarget-feature=-crt-static",
            "-Clink-self-contained=no",
            &format!("-Clink-arg={WASI_LIBC}/crt1-command.o"),
            &format!("-L{WASI_LIBC}"),
            &format!("-Clink-arg={object}"),
            "-Clink-arg=-lc",
        ]
        .join(" "))
    }
}

/// Does what the linker of `wasm32-wasip2` does by itself.
fn componentize(workspace: &Workspace, module: &Path) -> Result<PathBuf> {
    let component = module.with_extension("component.wasm");
    say(format!("making a component of {}", module.display()));
    let mut componentize = build::helper(workspace, "componentize")?;
    componentize.arg(module).arg(&component);
    process::run(&mut componentize, "The message above says why.")?;
    Ok(component)
}
