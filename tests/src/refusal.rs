//! Checks that a host that refuses to serve prints the reason, once, and ends.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::host::{Finished, Host};

/// The exit code for an invalid command line.
pub const USAGE: i32 = 2;

/// The exit code for everything else.
pub const FAILURE: i32 = 1;

/// Serves a file with these contents and this name, and checks that it is refused with a message
/// that contains all of `expected`.
///
/// # Errors
///
/// Returns an error if it is served, or refused differently.
pub async fn refuses(contents: impl AsRef<[u8]>, name: &str, expected: &[&str]) -> Result<()> {
    let folder = TempDir::new()?;
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, contents)?;
    let finished = Host::serve(&path).run_to_end().await?;
    refused(&finished, FAILURE, expected)
}

/// Checks that a host ended with this code and one message that contains all of `expected`.
///
/// # Errors
///
/// Returns an error if it did not.
pub fn refused(finished: &Finished, code: i32, expected: &[&str]) -> Result<()> {
    let message = &finished.stderr;
    ensure!(
        finished.code == Some(code),
        "exit code {:?}:\n{message}",
        finished.code
    );
    ensure!(
        message.starts_with("error: ") && message.matches("error: ").count() == 1,
        "not one message:\n{message}"
    );
    for word in expected {
        ensure!(message.contains(word), "{word:?} is not in:\n{message}");
    }
    for word in [
        "panicked",
        "RUST_BACKTRACE",
        "Stack backtrace",
        "stack backtrace",
        "Caused by",
    ] {
        ensure!(!message.contains(word), "{word:?} is in:\n{message}");
    }
    ensure!(
        !finished.stdout.contains("Listening on"),
        "it said that it listens:\n{}",
        finished.stdout
    );
    Ok(())
}
