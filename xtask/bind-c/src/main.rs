//! `bind-c FOLDER WIT …`: writes the C bindings of the only world in the last of these WIT folders,
//! which may use the earlier ones: a header, a source and an object file with the world's type.
//!
//! It is separate from xtask because it would slow down the first start of every `cargo xtask`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<()> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let usage = "usage: bind-c FOLDER WIT …";
    let folder = paths.next().context(usage)?;
    let mut resolve = Resolve::default();
    let mut last = None;
    for path in paths {
        let (package, _) = resolve
            .push_path(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        last = Some(package);
    }
    let world = resolve.select_world(&[last.context(usage)?], None)?;
    let mut files = Files::default();
    let options = wit_bindgen_c::Opts::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
