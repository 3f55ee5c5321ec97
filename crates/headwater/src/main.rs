//! The `headwater` command: where the parts are put together.

mod admin;
mod banner;
mod builtins;
mod check;
mod cli;
mod connecting;
mod descriptors;
mod exit;
mod front;
mod hosting;
mod listening;
mod live;
mod meaning;
mod metrics;
mod needs_restart;
mod operation;
mod outgoing;
mod outputs;
mod panics;
mod records;
mod roster;
mod said;
mod serve;
mod services;
mod signals;
mod starting;
mod wagi;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use headwater_telemetry::console;

use anyhow::{Context, Result};

use crate::cli::Command;

/// How long the end waits for whoever reads why a command failed.
const COMPLAINT: Duration = Duration::from_secs(2);

/// Requests allocate often and briefly, and free on another thread than they allocated on: glibc's
/// allocator takes a tenth of their time for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Ends with code 2 and a message of its own when the flags make no sense.
    let cli = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            exit::code(&error)
        }
    }
}

fn run(command: Command) -> Result<()> {
    signals::outlive_file_size_limit().context("signals cannot be received")?;
    match command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Wagi(arguments) => wagi::run(*arguments),
        Command::Check(arguments) => check::run(*arguments),
        Command::Schema => {
            banner::print_whole(&headwater_config::schema());
            Ok(())
        }
        Command::Reference => {
            banner::print_whole(&headwater_config::reference());
            Ok(())
        }
    }
}

fn complain(error: &anyhow::Error) {
    let error = headwater_core::explain(error.as_ref());
    console::print_error(&format!("error: {error}\n"));
    console::flush(COMPLAINT);
}
