//! Programs that nobody of ours wrote, as clients and servers.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{guests, within};

/// A program that runs here.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// Where the libraries are that came with it; empty if it uses the system's.
    libraries: OsString,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Program {
    /// An nginx, of Debian's package of that name; nothing if there is none, which is said aloud.
    #[must_use]
    pub fn nginx() -> Option<Self> {
        Self::find("nginx", "nginx", "usr/sbin/nginx", "-v")
    }

    /// The client `curl`; nothing if there is none, which is said aloud.
    #[must_use]
    pub fn curl() -> Option<Self> {
        Self::find("curl", "curl", "usr/bin/curl", "--version")
    }

    /// The client `nghttp`, which shows the frames of HTTP/2; nothing if there is none, which is said
    /// aloud.
    #[must_use]
    pub fn nghttp() -> Option<Self> {
        Self::find("nghttp", "nghttp2-client", "usr/bin/nghttp", "--version")
    }

    /// The load generator `h2load`; nothing if there is none, which is said aloud.
    #[must_use]
    pub fn h2load() -> Option<Self> {
        Self::find("h2load", "nghttp2-client", "usr/bin/h2load", "--version")
    }

    /// Prometheus' `promtool`, which knows the rules for metrics; nothing if there is none, which is said
    /// aloud.
    #[must_use]
    pub fn promtool() -> Option<Self> {
        Self::find("promtool", "prometheus", "usr/bin/promtool", "--version")
    }

    /// The first that runs: what the environment variable `HEADWATER_NAME` names, what `cargo xtask
    /// test` unpacked, what the system has.
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

    /// With nothing to read and nowhere to write.
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

    /// To be run with nothing to read; killed when dropped.
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
    /// If it cannot be started or does not end; not if it fails.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ran> {
        self.run_on(&[], arguments).await
    }

    /// Runs it to its end, with this to read.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
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
                    // It may end before it has read all.
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
    /// What it wrote to its standard output, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Where the libraries are that were unpacked with a program: a folder for each kind of machine, of
/// which there is one.
fn libraries(folder: &Path) -> OsString {
    let folders = ["usr/lib", "lib"].map(|lib| std::fs::read_dir(folder.join(lib)));
    let entries = folders.into_iter().flatten().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    // Fails only where a name has a colon in it, which nobody's has.
    std::env::join_paths(folders).unwrap_or_default()
}
