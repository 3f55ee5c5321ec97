//! `wash dev` serves the component that `.wash/config.yaml` names, after it has run a build command.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::Result;
use headwater_tests::guests::guest;

use super::{Service, words};

/// Writes its settings, and returns its arguments.
pub(super) fn prepare(directory: &Path, service: &Service, listen: &str) -> Result<Vec<OsString>> {
    let folder = directory.join(".wash");
    fs::create_dir(&folder)?;
    fs::write(
        folder.join("config.yaml"),
        settings(&guest(service.guest)?, service.upstream.as_deref(), listen),
    )?;
    // At the default level it logs more than the others.
    Ok(words(&["--non-interactive", "--log-level", "warn", "dev"]))
}

fn settings(component: &Path, upstream: Option<&str>, listen: &str) -> String {
    let upstreams = upstream.map_or(String::new(), |upstream| format!("{upstream:?}"));
    format!(
        "build:\n  command: \"true\"\n  component_path: {component:?}\n\
         dev:\n  address: {listen}\n\
         workload:\n  allowedHosts: [{upstreams}]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_is_allowed() {
        let text = settings(Path::new("/a.wasm"), Some("http://127.0.0.1:1"), "h:2");
        assert!(text.contains("component_path: \"/a.wasm\"\ndev:\n  address: h:2\n"));
        assert!(text.ends_with("allowedHosts: [\"http://127.0.0.1:1\"]\n"));
        assert!(settings(Path::new("a"), None, "h:2").ends_with("allowedHosts: []\n"));
    }
}
