//! The `headwater` command: where the parts are put together.

mod banner;
mod cli;
mod connecting;
mod metrics;
mod outgoing;
mod serve;
mod services;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// Requests allocate often and briefly, and free on another thread than they allocated on: glibc's
/// allocator takes a tenth of their time for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell expects of a command that was called wrongly.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // Ends with code 2 and a message of its own when the flags make no sense.
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(*arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            if error.is::<serve::Usage>() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a command's failure is told"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {}", headwater_core::explain(error.as_ref()));
}
