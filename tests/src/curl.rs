//! The client `curl`.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::programs::Program;

/// The program `curl`.
#[derive(Debug)]
pub struct Curl(Program);

/// The result of a run.
#[derive(Debug)]
pub struct Curled {
    /// curl's exit code: 0 if there was an answer, whatever its status.
    pub code: i32,
    /// The status of the answer; 0 if there was none.
    pub status: u64,
    /// The version of HTTP: `1.1` or `2`.
    pub version: String,
    /// The heads of all answers, including those before the last one.
    pub heads: String,
    /// The body.
    pub body: String,
    /// curl's messages about the end, and with `-v` about everything else.
    pub said: String,
}

impl Curl {
    /// Finds the program. If there is none, prints so and returns `None`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Program::curl().map(Self)
    }

    /// Runs curl with these arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started or does not end.
    pub async fn ask(&self, arguments: &[&str]) -> Result<Curled> {
        let ran = self.0.run(Self::arguments(arguments)).await?;
        let (said, told) = ran.stderr.rsplit_once('\n').unwrap_or(("", &ran.stderr));
        let told: Value = serde_json::from_str(told)
            .with_context(|| format!("curl {arguments:?} says: {}", ran.stderr))?;
        let text = ran.text();
        let mut body = text.as_str();
        while body.starts_with("HTTP/")
            && let Some((_, rest)) = body.split_once("\r\n\r\n")
        {
            body = rest;
        }
        Ok(Curled {
            code: ran.code.context("a signal has ended curl")?,
            status: told["http_code"].as_u64().unwrap_or_default(),
            version: told["http_version"].as_str().unwrap_or_default().to_owned(),
            heads: text[..text.len() - body.len()].to_lowercase(),
            body: body.to_owned(),
            said: said.to_owned(),
        })
    }

    /// Returns a command with these arguments.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = self.0.command();
        command.args(Self::arguments(arguments));
        command
    }

    /// Ignores the user's settings and proxies; writes heads and bodies to stdout, and a summary to
    /// stderr at the end.
    fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["-q", "--noproxy", "*", "--silent", "--show-error"];
        all.extend(["--include", "--write-out", "%{stderr}%{json}"]);
        all.extend(more);
        all
    }
}

impl Curled {
    /// Returns the value of a header field of the last answer, empty if it is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let lines = self.heads.lines().rev();
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields
            .find(|(found, _)| *found == name)
            .map_or("", |(_, value)| value)
    }
}
