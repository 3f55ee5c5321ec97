//! A running `headwater`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::guests::binary;
use crate::output::Output;
use crate::process::Process;
use crate::within;

/// A server process that is ready for requests. It is killed when dropped.
#[derive(Debug)]
pub struct Host {
    child: Child,
    process: Process,
    stdout: Output,
    stderr: Output,
    url: String,
}

/// A builder for a [`Host`].
#[derive(Debug)]
pub struct HostBuilder {
    program: Result<OsString, anyhow::Error>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its whole standard output.
    pub stdout: String,
    /// Its whole standard error.
    pub stderr: String,
}

impl Host {
    /// Runs `headwater serve FILE` on a free port.
    pub fn serve(file: impl AsRef<Path>) -> HostBuilder {
        Self::headwater()
            .arg("serve")
            .arg(file.as_ref())
            .args(["--listen", "127.0.0.1:0"])
    }

    /// Runs `headwater wagi -c FILE` on a free port.
    pub fn wagi(file: impl AsRef<Path>) -> HostBuilder {
        Self::headwater()
            .args(["wagi", "-c"])
            .arg(file.as_ref())
            .args(["-l", "127.0.0.1:0"])
    }

    /// Runs `headwater` without any argument.
    #[must_use]
    pub fn headwater() -> HostBuilder {
        HostBuilder {
            program: binary().map(Into::into),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Runs another program that prints the same `Listening on` line, or wasmtime's
    /// `Serving HTTP on`.
    pub fn program(program: impl Into<OsString>) -> HostBuilder {
        HostBuilder {
            program: Ok(program.into()),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Returns the base URL, such as `http://127.0.0.1:41234`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address and port of the base URL.
    #[must_use]
    pub fn address(&self) -> &str {
        let (_, address) = self.url.split_once("://").unwrap_or_default();
        address
    }

    /// Returns the address and port of each of the `count` listeners, in order.
    ///
    /// # Errors
    ///
    /// Returns an error if the host does not print them.
    pub async fn addresses(&self, count: usize) -> Result<Vec<String>> {
        let what = "lines `Listening on http://…`";
        self.stdout
            .wait_for_lines(what, count, |line| listening_url(line).is_some())
            .await?;
        let lines = self.stdout.lines();
        let urls = lines.iter().filter_map(|line| listening_url(line));
        let address = |url: String| Some(url.split_once("://")?.1.to_owned());
        Ok(urls.filter_map(address).collect())
    }

    /// Returns the process, to measure its memory and time.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Returns the host's standard output.
    #[must_use]
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// Returns the host's standard error, which is its log.
    #[must_use]
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }

    /// Sends SIGTERM and waits until the process ends.
    ///
    /// # Errors
    ///
    /// Returns an error if it has ended already, or does not end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate()?;
        self.exit().await
    }

    /// Waits until the process ends, even if its output does not.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(within("the end of the host", self.child.wait()).await??)
    }

    /// Waits until the process and its output end.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not end.
    pub async fn exit(&mut self) -> Result<ExitStatus> {
        let status = self.ended().await?;
        self.stdout.ended().await?;
        self.stderr.ended().await?;
        Ok(status)
    }
}

impl HostBuilder {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable of the host itself (`--env` is for guests).
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started, ends before it listens (the error has its standard
    /// error), or does not listen in time.
    pub async fn start(self) -> Result<Host> {
        let (mut child, stdout, stderr) = self.spawn()?;
        let process = Process::new(child.id().context("the host has ended at once")?);
        let told = |line: &str| listening_url(line).is_some();
        let listening = tokio::select! {
            line = stdout.wait_for("a line `Listening on http://…`", told) => line,
            // If the log is in a machine-readable format.
            line = stderr.wait_for("a record `started`", told) => line,
        };
        let Some(url) = listening.as_deref().ok().and_then(listening_url) else {
            let status = child.try_wait()?;
            stderr.ended().await.ok();
            bail!(
                "the host is not listening ({}); on its standard output:\n{}on its standard error:\n{}",
                status.map_or("it still runs".to_owned(), |status| status.to_string()),
                stdout.text(),
                stderr.text()
            );
        };
        Ok(Host {
            child,
            process,
            url,
            stdout,
            stderr,
        })
    }

    /// Runs it until it ends by itself, as it does on invalid input.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started or does not end.
    pub async fn run_to_end(self) -> Result<Finished> {
        let (mut child, stdout, stderr) = self.spawn()?;
        let status = within("the end of a host that was given bad input", child.wait()).await;
        let Ok(status) = status else {
            bail!(
                "the host went on running; on its standard output:\n{}",
                stdout.text()
            );
        };
        stdout.ended().await?;
        stderr.ended().await?;
        Ok(Finished {
            code: status?.code(),
            stdout: stdout.text(),
            stderr: stderr.text(),
        })
    }

    /// Returns the command that starts it, for a test that needs other outputs. Its input is empty,
    /// and it is killed when dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the binary was not built.
    pub fn command(self) -> Result<Command> {
        let mut command = Command::new(self.program?);
        command
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // The tests must not depend on the environment of the shell.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let tells = ["OTEL_", "RUST_", "WAGI_", "BINDLE_", "HEADWATER_"];
            if tells.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command.envs(self.environment);
        Ok(command)
    }

    fn spawn(self) -> Result<(Child, Output, Output)> {
        let mut command = self.command()?;
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {:?}", command.as_std().get_program()))?;
        let stdout = Output::capture(child.stdout.take().context("no standard output")?);
        let stderr = Output::capture(child.stderr.take().context("no standard error")?);
        Ok((child, stdout, stderr))
    }
}

/// Finds the URL in a `Listening on` line, a `started` record, or the message of `wasmtime serve`.
fn listening_url(line: &str) -> Option<String> {
    // The second is WAGI's message, the third that of `wasmtime serve`.
    let words = ["Listening on ", "Ready: serving on ", "Serving HTTP on "];
    let listeners = match started(line) {
        Some(record) => record["listeners"].as_str()?.to_owned(),
        None => {
            let mut said = words.into_iter().filter_map(|words| line.split_once(words));
            said.next()?.1.to_owned()
        }
    };
    let first = listeners.split([' ', ',']).next()?;
    let url = first.trim_end_matches('/');
    url.starts_with("http").then(|| url.to_owned())
}

/// Returns the fields of a `started` record, if the line is one.
pub(crate) fn started(line: &str) -> Option<Value> {
    let mut record: Value = serde_json::from_str(line).ok()?;
    let is_it = record["fields"]["message"] == "started";
    is_it.then(|| record["fields"].take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_in_the_line_that_announces_it() {
        assert_eq!(
            listening_url("Listening on http://127.0.0.1:8080").as_deref(),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(
            listening_url("Ready: serving on https://127.0.0.1:8080").as_deref(),
            Some("https://127.0.0.1:8080")
        );
        assert_eq!(
            listening_url("Serving HTTP on http://127.0.0.1:8080/").as_deref(),
            Some("http://127.0.0.1:8080")
        );
        let record = r#"{"fields":{"message":"started","listeners":"http://[::1]:1, unix:/x"}}"#;
        assert_eq!(listening_url(record).as_deref(), Some("http://[::1]:1"));
        assert_eq!(listening_url("Listening on the port"), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_early_is_reported_with_what_it_said() {
        let error = Host::program("sh")
            .args(["-c", "echo oh no >&2; exit 3"])
            .start()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("oh no"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_listens_is_stopped_by_sigterm() {
        let mut host = Host::program("sh")
            .args([
                "-c",
                "trap 'exit 7' TERM; echo Listening on http://127.0.0.1:1; while :; do sleep 0.01; done",
            ])
            .start()
            .await
            .unwrap();
        assert_eq!(host.url(), "http://127.0.0.1:1");
        assert_eq!(host.stop().await.unwrap().code(), Some(7));
    }
}
