//! The exit codes of the process.

use std::process::ExitCode;

use crate::diagnostics::{Kind, Refused};

/// The exit code for wrong usage, as shells expect it.
const USAGE: u8 = 2;

/// The exit code if the drain timeout ended and requests were cut.
const CUT: u8 = 3;

/// Flags that do not go together. Ends the process with the exit code of wrong usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The drain timeout ended, and requests were cut. Ends the process with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error(
    "{connections} {} cut with requests in flight when the drain timeout ended; --drain-timeout gives them more time",
    if *connections == 1 { "connection was" } else { "connections were" }
)]
pub(crate) struct Cut {
    pub(crate) connections: usize,
}

pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let is_usage = match error.downcast_ref::<Refused>() {
        Some(Refused(found)) => found.errors.iter().all(|it| it.kind == Kind::Usage),
        None => error.is::<Usage>(),
    };
    if is_usage {
        ExitCode::from(USAGE)
    } else if error.is::<Cut>() {
        ExitCode::from(CUT)
    } else {
        ExitCode::FAILURE
    }
}
