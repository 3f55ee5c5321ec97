//! The `headwater` command.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_telemetry::console;

use crate::cli::{self, Command};
use crate::diagnostics::{Diagnostics, Refused};
use crate::{banner, check, compile, exit, serve, spec};

/// The time that the process waits at its end for the reader of an error.
const COMPLAINT: Duration = Duration::from_secs(2);

/// Runs the command line that this process was given.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return refuse(error),
        // Prints help, which a pager may take its time to read.
        Err(error) => error.exit(),
    };
    run(cli.command).unwrap_or_else(|error| {
        complain(&error);
        exit::code(&error)
    })
}

fn run(command: Command) -> Result<ExitCode> {
    crate::run::signals::outlive_file_size_limit().context("signals cannot be received")?;
    match command {
        Command::Serve(arguments) => serve::run(*arguments)?,
        #[cfg(feature = "wagi")]
        Command::Wagi(arguments) => crate::wagi::run(*arguments)?,
        #[cfg(not(feature = "wagi"))]
        Command::Wagi(_) => anyhow::bail!(crate::WITHOUT_WAGI),
        Command::Check(arguments) => return check::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "headwater", &mut script);
            banner::print_whole(&String::from_utf8(script)?)?;
        }
        Command::Man { command } => banner::print_whole(&cli::man_page(command.as_deref())?)?,
        Command::Schema => {
            banner::print_whole(&headwater_config::schema(&spec::capabilities::keys()))?
        }
        Command::Reference => {
            banner::print_whole(&headwater_config::reference(&spec::capabilities::keys()))?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an error about flags, and waits for its reader only for a limited time.
fn refuse(error: clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    let (told, is_told) = mpsc::channel();
    thread::spawn(move || told.send(error.print()));
    // The exit code is the same if nobody has read it.
    let _ = is_told.recv_timeout(COMPLAINT);
    code
}

fn complain(error: &anyhow::Error) {
    let told = match error.downcast_ref::<Refused>() {
        Some(Refused(Diagnostics { errors, warnings })) => {
            let errors = errors.iter().map(|error| format!("error: {error}\n"));
            let warnings = warnings
                .iter()
                .map(|warning| format!("warning: {warning}\n"));
            errors.chain(warnings).collect::<Vec<_>>().join("\n")
        }
        None => format!("error: {}\n", headwater_core::explain(error.as_ref())),
    };
    console::print_error(&told);
    console::flush(COMPLAINT);
}
