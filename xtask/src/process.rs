//! Runs other programs.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Prints what is about to be done.
pub(crate) fn say(what: impl AsRef<str>) {
    println!("xtask: {}", what.as_ref());
}

/// Runs a program and passes its output through.
///
/// # Errors
///
/// Returns an error with the `remedy` if the program cannot be started or fails.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    let status = status(command)?;
    ensure!(
        status.success(),
        "`{}` failed ({status}). {remedy}",
        line(command)
    );
    Ok(())
}

/// Runs a program, passes its output through, and returns its status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))
}

/// Returns what a program writes to stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            said.trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("the output of `{}` is not text", line(command)))
}

/// Returns true if a program can be run and succeeds; its output is discarded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![command.get_program()];
    words.extend(command.get_args());
    words
        .into_iter()
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
