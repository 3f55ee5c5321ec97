//! Programs that are not our own code, as clients and servers.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{guests, within};

/// A program that can be run here.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// The folders of its own libraries; empty if it uses the system's.
    libraries: OsString,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl Program {
    /// Finds an nginx, from Debian's package of that name. If there is none, prints so and returns
    /// `None`.
    #[must_use]
    pub fn nginx() -> Option<Self> {
        Self::find("nginx", "nginx", "usr/sbin/nginx", "-v")
    }

    /// Finds the client `curl`. If there is none, prints so and returns `None`.
    #[must_use]
    pub fn curl() -> Option<Self> {
        Self::find("curl", "curl", "usr/bin/curl", "--version")
    }

    /// Finds the client `nghttp`, which shows the frames of HTTP/2. If there is none, prints so and
    /// returns `None`.
    #[must_use]
    pub fn nghttp() -> Option<Self> {
        Self::find("nghttp", "nghttp2-client", "usr/bin/nghttp", "--version")
    }

    /// Finds the load generator `h2load`. If there is none, prints so and returns `None`.
    #[must_use]
    pub fn h2load() -> Option<Self> {
        Self::find("h2load", "nghttp2-client", "usr/bin/h2load", "--version")
    }

    /// Finds Prometheus' `promtool`, which knows the rules for metrics. If there is none, prints so
    /// and returns `None`.
    #[must_use]
    pub fn promtool() -> Option<Self> {
        Self::find("promtool", "prometheus", "usr/bin/promtool", "--version")
    }

    /// Returns the first program that runs: in the environment variable `HEADWATER_NAME`, unpacked
    /// by `cargo xtask test`, or of the system.
    fn find(name: &str, package: &str, path: &str, version: &str) -> Option<Self> {
        let variable = format!("HEADWATER_{}", name.to_uppercase());
        let named = std::env::var_os(&variable).map(PathBuf::from);
        let unpacked = guests::folder()
            .parent()
            .map(|target| target.join("tools").join(package));
        let unpacked = unpacked.map(|folder| Self {
            path: folder.join(path),
            libraries: libraries(&folder),
        });
        let installed = [PathBuf::from("/").join(path), PathBuf::from(name)];
        let here = |path| Self {
            path,
            libraries: OsString::new(),
        };
        let candidates = named.into_iter().map(here).chain(unpacked);
        let mut candidates = candidates.chain(installed.map(here));
        let found = candidates.find(|program| program.runs(version));
        if found.is_none() {
            skipped(&format!(
                "there is no {name} on this machine; `cargo xtask test` unpacks Debian's, and \
                 {variable} names another"
            ));
        }
        found
    }

    fn runs(&self, version: &str) -> bool {
        let mut command = self.silent();
        command.arg(version);
        command.status().is_ok_and(|status| status.success())
    }

    /// Returns a command without input and output.
    fn silent(&self) -> StdCommand {
        let mut command = StdCommand::new(&self.path);
        if !self.libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", &self.libraries);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Returns a command without input. Its process is killed when dropped.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::from(self.silent());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started or does not end. A failure of the program is not an
    /// error.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ran> {
        self.run_on(&[], arguments).await
    }

    /// Runs it to its end, with this input.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`run`](Self::run).
    pub async fn run_on<A: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ran> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped());
        let name = self.path.display();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut stdin = child.stdin.take();
        let ended = async {
            let give = async {
                if let Some(mut stdin) = stdin.take() {
                    // It may end before it has read everything.
                    let _ = stdin.write_all(input).await;
                }
            };
            tokio::join!(give, child.wait_with_output()).1
        };
        let output = within(&format!("the end of {name}"), ended).await??;
        Ok(Ran {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Ran {
    /// Returns its standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Returns the folders of the libraries that were unpacked with a program: there is one for the
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
