//! `compose OUTPUT FIRST … LAST`: composes components so that each one's imports are the exports of
//! the next. The result has the exports of the first.
//!
//! It is separate from xtask for the same reason as `assemble`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [output, outer @ .., last] = paths.as_slice() else {
        bail!("usage: compose OUTPUT FIRST … LAST");
    };
    if outer.is_empty() {
        bail!("usage: compose OUTPUT FIRST … LAST");
    }
    let mut composed = read(last)?;
    for socket in outer.iter().rev() {
        composed = put_behind(&read(socket)?, &composed)
            .with_context(|| format!("connecting the imports of {}", socket.display()))?;
    }
    fs::write(output, composed).with_context(|| format!("writing {}", output.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Returns `socket` with its imports connected to the exports of `behind`, where there are any.
fn put_behind(socket: &[u8], behind: &[u8]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let behind = Package::from_bytes("headwater:behind", None, behind, graph.types_mut())?;
    let behind = graph.register_package(behind)?;
    let socket = Package::from_bytes("headwater:socket", None, socket, graph.types_mut())?;
    let socket = graph.register_package(socket)?;
    plug(&mut graph, vec![behind], socket)?;
    Ok(graph.encode(EncodeOptions::default())?)
}
