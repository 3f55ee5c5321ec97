//! Programs for the tests: servers and clients of Headwater.
//!
//! They are Debian's packages, unpacked into the target folder: installing some of them would start
//! system services, and only the tests need them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::debian;
use crate::process::{self, say};
use crate::workspace::Workspace;

/// A Debian package.
struct Package {
    name: &'static str,
    /// The paths of its programs in the package.
    programs: &'static [&'static str],
    /// The argument with which they print their version and exit.
    version: &'static str,
    /// The tests that are skipped without it.
    tests: &'static str,
}

/// The packages. `tests/src/programs.rs` looks for the programs by these names.
const PACKAGES: [Package; 4] = [
    Package {
        name: "nginx",
        programs: &["usr/sbin/nginx"],
        version: "-v",
        tests: "the tests of outgoing TLS with nginx",
    },
    Package {
        name: "curl",
        programs: &["usr/bin/curl"],
        version: "--version",
        tests: "the tests of the server with curl",
    },
    Package {
        name: "nghttp2-client",
        programs: &["usr/bin/nghttp", "usr/bin/h2load"],
        version: "--version",
        tests: "the tests of the server with `nghttp` and `h2load`",
    },
    Package {
        name: "prometheus",
        programs: &["usr/bin/promtool"],
        version: "--version",
        tests: "the check of the metrics with `promtool`",
    },
];

/// Unpacks the packages that are neither unpacked nor installed. The tests that need a missing one
/// report that they are skipped.
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
                "WARNING: {name} is missing, and this is not Debian: {tests} will be skipped"
            ));
            return;
        }
        say(format!(
            "fetching Debian's package {name} into target/tools (without installing it)"
        ));
        // The package lists may be old or never have been fetched.
        let unpacked = self
            .unpack(&folder)
            .or_else(|error| match debian::update() {
                Ok(()) => self.unpack(&folder),
                Err(update) => Err(error.context(format!("{update:#}"))),
            });
        if let Err(error) = unpacked {
            say(format!(
                "WARNING: {name} is not available ({error:#}): {tests} will be skipped"
            ));
        }
    }

    fn unpack(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
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
        ensure!(runs, "it was unpacked, but does not run here");
        Ok(())
    }

    fn is_installed(&self) -> bool {
        let none = OsString::new();
        let by_path = |program: &str| Path::new(program).file_name().unwrap_or_default().into();
        self.runs(|program| Path::new("/").join(program), &none) || self.runs(by_path, &none)
    }

    /// Returns true if all programs run, each at the path that `place` returns.
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

/// Returns the folders of the unpacked libraries, for the dynamic linker: there is one for the
/// machine's architecture.
fn libraries(folder: &Path) -> OsString {
    let folders = ["usr/lib", "lib"].map(|lib| std::fs::read_dir(folder.join(lib)));
    let entries = folders.into_iter().flatten().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    // Fails only if a name contains a colon, and none does.
    std::env::join_paths(folders).unwrap_or_default()
}
