//! The exit codes of the process.

use std::process::ExitCode;

use crate::diagnostics::{Kind, Refused};

/// The exit code for wrong usage, as shells expect it.
const USAGE: u8 = 2;

/// The exit code if the drain timeout ended and requests were cut.
const CUT: u8 = 3;

/// Flags that do not go together. Ends the process with the exit code of wrong usage.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

// === impl Usage ===

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The drain timeout ended, and requests were cut. Ends the process with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) connections: usize,
}

// === impl Cut ===

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = match self.connections {
            1 => "1 connection was cut".to_owned(),
            connections => format!("{connections} connections were cut"),
        };
        write!(
            f,
            "{cut} with requests in flight when the drain timeout ended; --drain-timeout gives them \
             more time"
        )
    }
}

impl std::error::Error for Cut {}

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
