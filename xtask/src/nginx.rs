//! An nginx for the tests of outgoing TLS.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// Unpacks Debian's nginx into the target folder, if none is there yet and none is installed. It is
/// not installed: that would start it as a service of the system. Without one, the tests that need it
/// say that they are left out.
pub(crate) fn provide(workspace: &Workspace) {
    let folder = workspace.target.join("tools/nginx");
    let program = folder.join("usr/sbin/nginx");
    if runs(&program) || runs(Path::new("/usr/sbin/nginx")) || runs(Path::new("nginx")) {
        return;
    }
    if !debian::is_here() {
        say("there is no nginx here, and no Debian to have one of: its tests will be left out");
        return;
    }
    say("fetching Debian's package nginx, to be unpacked into target/tools (not installed)");
    if let Err(error) = unpack(&folder) {
        say(format!(
            "nginx cannot be had ({error:#}): its tests will be left out; `apt-get update` may help"
        ));
    } else if !runs(&program) {
        say("nginx was unpacked and does not run here: its tests will be left out");
    }
}

fn unpack(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut fetch = Command::new("apt-get");
    fetch.args(["download", "-qq", "nginx"]).current_dir(folder);
    process::read(&mut fetch)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(&path).arg(folder);
            process::read(&mut unpack)?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn runs(program: &Path) -> bool {
    process::succeeds(Command::new(program).arg("-v"))
}
