//! `workerd` serves a JavaScript module that does what the guests do.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::words;

/// The module.
const WORKER: &str = include_str!("worker.js");

/// Writes its settings, and returns its arguments.
pub(super) fn prepare(directory: &Path, listen: &str) -> Result<Vec<OsString>> {
    fs::write(directory.join("worker.js"), WORKER)?;
    fs::write(directory.join("config.capnp"), settings(listen))?;
    Ok(words(&["serve", "config.capnp"]))
}

fn settings(listen: &str) -> String {
    // Without the service `internet` of its own, it refuses to call 127.0.0.1.
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "{listen}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-01-01",
);
"#
    )
}
