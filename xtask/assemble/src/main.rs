//! `assemble TEXT MODULE`: assembles a module in WebAssembly's text format.
//!
//! It is separate from xtask because the assembler takes longer to compile than the rest of xtask,
//! and is needed only when a guest in the text format has changed.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [text, module] = paths.as_slice() else {
        bail!("usage: assemble TEXT MODULE");
    };
    let bytes = wat::parse_file(text).context("assembling")?;
    fs::write(module, bytes).with_context(|| format!("writing {}", module.display()))
}
