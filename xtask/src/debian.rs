//! Debian's packages, for programs that are not available in another way.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, say};

/// Returns true on a system with Debian's package manager.
pub(crate) fn is_here() -> bool {
    which("apt-get").is_some()
}

/// Installs packages, as root, or by `sudo` if it asks for no password.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    let by_hand = format!("Install them yourself, as root: {by_hand}");
    if !is_here() {
        bail!("{list} cannot be installed, because there is no `apt-get` on this system");
    }
    let Some(mut install) = apt_get()? else {
        bail!("these packages are missing: {list}. {by_hand}");
    };
    say(format!("installing Debian's packages {list}"));
    // The server may no longer have the versions of an old list.
    update().with_context(|| by_hand.clone())?;
    install.args(["install", "-y", "-qq", "--no-install-recommends"]);
    process::run(install.args(packages), &by_hand)
}

/// Fetches the package lists, as root, or by `sudo` if it asks for no password.
pub(crate) fn update() -> Result<()> {
    let by_hand = "Fetch the package lists yourself, as root: apt-get update";
    match apt_get()? {
        Some(mut apt_get) => process::run(apt_get.args(["update", "-qq", "-y"]), by_hand),
        None => bail!("only root may fetch the package lists. {by_hand}"),
    }
}

/// Returns `apt-get` with the rights to change the system, if possible.
fn apt_get() -> Result<Option<Command>> {
    let mut command = if is_root()? {
        Command::new("env")
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut command = Command::new("sudo");
        command.args(["-n", "env"]);
        command
    } else {
        return Ok(None);
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(Some(command))
}

/// Returns the libraries that a package needs, directly or indirectly, and that are not installed.
pub(crate) fn missing_libraries(package: &str) -> Result<Vec<String>> {
    let mut depends = Command::new("apt-cache");
    depends.args(["depends", "--recurse", "--important", package]);
    let depends = process::read(&mut depends)?;
    let mut installed = Command::new("dpkg-query");
    installed.args(["--show", "--showformat=${db:Status-Abbrev} ${Package}\n"]);
    let installed = process::read(&mut installed)?;
    Ok(missing(&depends, &installed))
}

/// Returns the libraries in the output of `apt-cache depends` that `dpkg-query` does not list as
/// installed.
fn missing(depends: &str, installed: &str) -> Vec<String> {
    let installed: HashSet<_> = installed
        .lines()
        .filter_map(|line| line.strip_prefix("ii "))
        .map(str::trim)
        .collect();
    // Indented lines list dependencies; virtual packages are in angle brackets.
    let libraries = depends.lines().filter(|line| line.starts_with("lib"));
    let missing = libraries.filter(|library| !installed.contains(library));
    missing.map(str::to_owned).collect()
}

/// Returns the first of these sets of packages that can be installed completely.
pub(crate) fn first_available(sets: impl Iterator<Item = Vec<String>>) -> Option<Vec<String>> {
    sets.into_iter().find(|packages| {
        let policy = process::read(Command::new("apt-cache").arg("policy").args(packages));
        policy.is_ok_and(|policy| candidates(&policy) == packages.len())
    })
}

/// Counts the packages for which `apt-cache policy` has a version.
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

/// Searches `PATH` for a program.
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

    #[test]
    fn only_libraries_that_are_not_installed_are_missing() {
        let depends = "nghttp2-client\n  Depends: libev4\nlibev4\nlibc6\nlibicu72\n<libssl>\n\
                       debconf\n";
        let installed = "ii  libc6\nrc  libicu72\nii  zlib1g\n";
        assert_eq!(missing(depends, installed), ["libev4", "libicu72"]);
    }
}
