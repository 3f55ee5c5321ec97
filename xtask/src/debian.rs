//! Debian's packages, for what cannot be had in another way.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, say};

/// Whether this is a system with Debian's package manager.
pub(crate) fn is_here() -> bool {
    which("apt-get").is_some()
}

/// Installs packages, as root or by `sudo` if that asks for no password.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    let by_hand = format!("Install them yourself, as root: {by_hand}");
    if !is_here() {
        bail!("`apt-get` is needed to install {list}, and not here");
    }
    let mut prefix = if is_root()? {
        Vec::new()
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        vec!["sudo", "-n"]
    } else {
        bail!("these packages are missing: {list}. {by_hand}");
    };
    say(format!("installing Debian's packages {list}"));
    prefix.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(arguments);
        command
    };
    // What is installed by an old list may have gone from the server.
    process::run(apt_get(&["update", "-qq"]).arg("-y"), &by_hand)?;
    let mut install = apt_get(&["install", "-y", "-qq", "--no-install-recommends"]);
    process::run(install.args(packages), &by_hand)
}

/// Of several sets of packages, the first of which all can be installed.
pub(crate) fn first_available(sets: impl Iterator<Item = Vec<String>>) -> Option<Vec<String>> {
    sets.into_iter().find(|packages| {
        let policy = process::read(Command::new("apt-cache").arg("policy").args(packages));
        policy.is_ok_and(|policy| candidates(&policy) == packages.len())
    })
}

/// How many packages `apt-cache policy` knows a version of.
fn candidates(policy: &str) -> usize {
    let versions = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"));
    versions
        .filter(|version| version.trim() != "(none)")
        .count()
}

fn is_root() -> Result<bool> {
    let id = process::read(Command::new("id").arg("-u")).context("asking for the user's id")?;
    Ok(id.trim() == "0")
}

/// Where a program is, by `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_version_is_not_available() {
        let policy = "clang-19:\n  Installed: (none)\n  Candidate: 1:19.1.7-3\n\
                      lld-19:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(candidates(policy), 1);
    }
}
