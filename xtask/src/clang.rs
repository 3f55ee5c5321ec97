//! The C compiler for WASI.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::debian::{self, which};
use crate::process::{self, say};

/// Newest first. Debian has no WASI run-time package for versions before 16.
const VERSIONS: [u32; 10] = [25, 24, 23, 22, 21, 20, 19, 18, 17, 16];

/// Debian's default is a stack of 64 KiB after the data, and an overflow silently corrupts the
/// data.
const LINK: &str = "-Wl,--stack-first,-z,stack-size=1048576";

/// A clang that has built a program for WASI.
pub(crate) struct Clang {
    program: PathBuf,
    linker: PathBuf,
    arguments: Vec<String>,
}

impl Clang {
    /// Returns the first clang that works: that of `WASI_SDK_PATH`, else the newest installed one.
    /// If there is none, installs Debian's.
    pub(crate) fn find_or_install() -> Result<Self> {
        if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
            let clang = Self::of_sdk(Path::new(&sdk));
            if !clang.works() {
                bail!(
                    "WASI_SDK_PATH is {}, which has no working clang: set it to a wasi-sdk, or unset it",
                    sdk.display()
                );
            }
            return Ok(clang);
        }
        if let Some(clang) = Self::find() {
            return Ok(clang);
        }
        if !debian::is_here() {
            bail!(
                "the guests in C need a clang that can build for WASI, and none was found. Install \
                 your system's clang, lld, wasi-libc and compiler-rt for wasm32; or unpack a \
                 wasi-sdk (https://github.com/WebAssembly/wasi-sdk/releases) and set WASI_SDK_PATH"
            );
        }
        say("no clang for WASI is installed: looking for the newest in Debian's package lists");
        let newest = debian::first_available(VERSIONS.iter().map(|version| packages(*version)));
        // If package lists have never been fetched, the installation fetches them; Debian 12 and 13
        // both have version 19.
        debian::install(&newest.unwrap_or_else(|| packages(19)))?;
        Self::find().context("Debian's clang was installed, but cannot build a program for WASI")
    }

    fn find() -> Option<Self> {
        let versioned = VERSIONS.iter().map(|version| format!("-{version}"));
        let suffixes = versioned.chain([String::new()]);
        suffixes
            .filter_map(|suffix| Self::of_system(&suffix))
            .find(Self::works)
    }

    fn of_sdk(sdk: &Path) -> Self {
        let arguments = vec!["--target=wasm32-wasip1".to_owned()];
        Self {
            program: sdk.join("bin/clang"),
            linker: sdk.join("bin/wasm-ld"),
            arguments,
        }
    }

    fn of_system(suffix: &str) -> Option<Self> {
        let program = which(&format!("clang{suffix}"))?;
        let linker = which(&format!("wasm-ld{suffix}"))?;
        let arguments = vec![
            // Newer clangs deprecate this name, but Debian installs its library under it.
            "--target=wasm32-wasi".to_owned(),
            "-Wno-deprecated".to_owned(),
            format!("-fuse-ld={}", linker.display()),
        ];
        Some(Self {
            program,
            linker,
            arguments,
        })
    }

    /// Returns true if it builds a program, for which headers, C library, run-time library and
    /// linker must be there.
    fn works(&self) -> bool {
        let output = std::env::temp_dir().join(format!("headwater-{}.wasm", std::process::id()));
        let mut command = self.command();
        command.args(["-x", "c", "-", "-o"]).arg(&output);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let works = command.spawn().and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(b"#include <stdio.h>\nint main(void) { return puts(\"\"); }\n")?;
            }
            child.wait()
        });
        // It may not exist.
        let _ = std::fs::remove_file(output);
        works.is_ok_and(|status| status.success())
    }

    /// Builds a program from one file.
    pub(crate) fn build(&self, source: &Path, output: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["-std=c11", "-O2", "-s", "-Wall", "-Wextra"]);
        command.args([LINK, "-o"]).arg(output).arg(source);
        process::run(&mut command, "clang's message above says where.")
    }

    /// Builds a module that is called repeatedly, from one file and the sources, headers and
    /// objects in a folder.
    pub(crate) fn build_reactor(&self, source: &Path, folder: &Path, output: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["-std=c11", "-O2", "-s", "-Wall", "-Wextra"]);
        command
            .args(["-mexec-model=reactor", LINK, "-I"])
            .arg(folder);
        command.arg("-o").arg(output).arg(source);
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "c" || end == "o") {
                command.arg(path);
            }
        }
        process::run(&mut command, "clang's message above says where.")
    }

    /// Returns the clang command with its arguments for WASI.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }

    /// Returns the linker of the same installation.
    pub(crate) fn linker(&self) -> &Path {
        &self.linker
    }

    /// Returns the version in one line.
    pub(crate) fn version(&self) -> Result<String> {
        let text = process::read(Command::new(&self.program).arg("--version"))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Returns everything that the result of a build depends on.
    pub(crate) fn describe(&self) -> Result<String> {
        Ok(format!("{} {:?} {LINK}", self.version()?, self.arguments))
    }
}

fn packages(version: u32) -> Vec<String> {
    vec![
        format!("clang-{version}"),
        format!("lld-{version}"),
        format!("libclang-rt-{version}-dev-wasm32"),
        "wasi-libc".to_owned(),
    ]
}
