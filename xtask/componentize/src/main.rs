//! `componentize MODULE COMPONENT`: makes a component of a core module for `wasm32-unknown-unknown`
//! that carries its world in a custom section, as guests written with `wit-bindgen` do.
//!
//! The rustup target `wasm32-wasip2` has a linker that does this by itself. Only guests in C and
//! the fallback to Debian's Rust need this program, so it is separate from xtask: it would slow
//! down the first start of every `cargo xtask`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, component] = paths.as_slice() else {
        bail!("usage: componentize MODULE COMPONENT");
    };
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| format!("making a component of {}", module.display()))?;
    fs::write(component, bytes).with_context(|| format!("writing {}", component.display()))
}
