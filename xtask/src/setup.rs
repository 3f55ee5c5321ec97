//! Prepares the machine for building guests.

use anyhow::Result;

use crate::clang::Clang;
use crate::process::say;
use crate::rust::Rust;

/// The compilers for the guests.
pub(crate) struct Compilers {
    pub(crate) rust: Rust,
    pub(crate) clang: Clang,
}

/// Finds the compilers, and installs what is missing.
pub(crate) fn run() -> Result<Compilers> {
    say("looking for Rust's wasm targets and a clang for WASI; what is missing will be installed");
    let clang = Clang::find_or_install()?;
    say(format!("C: {}", clang.version()?));
    let rust = Rust::find_or_install(&clang)?;
    say(format!("Rust: {}", rust.version()?));
    Ok(Compilers { rust, clang })
}
