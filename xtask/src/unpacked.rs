//! Programs for the tests: those that Headwater talks to, and those that talk to it.
//!
//! They are Debian's, and unpacked into the target folder: installing some of them would start
//! services of the system, and none of them is needed for anything but the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::debian;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// A package of Debian.
struct Package {
    name: &'static str,
    /// Where its programs are in it.
    programs: &'static [&'static str],
    /// What makes them say their version and end.
    version: &'static str,
    /// What is left out without it.
    tests: &'static str,
}

/// `tests/src/programs.rs` looks for them where these names say.
const PACKAGES: [Package; 4] = [
    Package {
        name: "nginx",
        programs: &["usr/sbin/nginx"],
        version: "-v",
        tests: "the tests of outgoing TLS against it",
    },
    Package {
        name: "curl",
        programs: &["usr/bin/curl"],
        version: "--version",
        tests: "the tests of the front by it",
    },
    Package {
        name: "nghttp2-client",
        programs: &["usr/bin/nghttp", "usr/bin/h2load"],
        version: "--version",
        tests: "the tests of the front by `nghttp` and `h2load`",
    },
    Package {
        name: "prometheus",
        programs: &["usr/bin/promtool"],
        version: "--version",
        tests: "the check of the metrics by `promtool`",
    },
];

/// Unpacks those that are neither there yet nor installed. Without them, the tests that need them say
/// that they are left out.
pub(crate) fn provide(workspace: &Workspace) {
    for package in &PACKAGES {
        package.provide(workspace);
    }
}

// === impl Package ===

impl Package {
    fn provide(&self, workspace: &Workspace) {
        let Self { name, tests, .. } = self;
        let folder = workspace.target.join("tools").join(name);
        if self.runs(|program| folder.join(program), &libraries(&folder)) || self.is_installed() {
            return;
        }
        if !debian::is_here() {
            say(format!(
                "WARNING: there is no {name} here, and no Debian to have it of: {tests} will be left out"
            ));
            return;
        }
        say(format!(
            "fetching Debian's package {name}, to be unpacked into target/tools (not installed)"
        ));
        // Where package lists are old or have never been fetched, what they name cannot be had.
        let unpacked = self
            .unpack(&folder)
            .or_else(|error| match debian::update() {
                Ok(()) => self.unpack(&folder),
                Err(update) => Err(error.context(format!("{update:#}"))),
            });
        if let Err(error) = unpacked {
            say(format!(
                "WARNING: {name} cannot be had ({error:#}): {tests} will be left out"
            ));
        }
    }

    fn unpack(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut packages = vec![self.name.to_owned()];
        packages.extend(debian::missing_libraries(self.name)?);
        let mut download = Command::new("apt-get");
        download.args(["download", "-qq"]).args(packages);
        process::read(download.current_dir(folder))?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                let mut extract = Command::new("dpkg-deb");
                extract.arg("--extract").arg(&path).arg(folder);
                process::read(&mut extract)?;
                std::fs::remove_file(&path)?;
            }
        }
        let runs = self.runs(|program| folder.join(program), &libraries(folder));
        ensure!(runs, "it was unpacked and does not run here");
        Ok(())
    }

    fn is_installed(&self) -> bool {
        let none = OsString::new();
        let by_path = |program: &str| Path::new(program).file_name().unwrap_or_default().into();
        self.runs(|program| Path::new("/").join(program), &none) || self.runs(by_path, &none)
    }

    /// Whether all its programs run, each from where it is said to be.
    fn runs(&self, place: impl Fn(&str) -> PathBuf, libraries: &OsString) -> bool {
        self.programs.iter().all(|program| {
            let mut command = Command::new(place(program));
            if !libraries.is_empty() {
                command.env("LD_LIBRARY_PATH", libraries);
            }
            process::succeeds(command.arg(self.version))
        })
    }
}

/// Where the libraries are that came with what was unpacked, for the dynamic linker: a folder for each
/// kind of machine, of which there is one.
fn libraries(folder: &Path) -> OsString {
    let folders = ["usr/lib", "lib"].map(|lib| std::fs::read_dir(folder.join(lib)));
    let entries = folders.into_iter().flatten().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    // Fails only where a name has a colon in it, which nobody's has.
    std::env::join_paths(folders).unwrap_or_default()
}
