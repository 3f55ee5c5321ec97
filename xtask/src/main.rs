//! `cargo xtask …`: the commands for working on Headwater's source, the same on every machine.
//!
//! Each command announces in one line what it does, passes the output of its tools through, and
//! fails with a remedy.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "telling the person at the terminal is what this is for"
)]

mod build;
mod callgrind;
mod check;
mod clang;
mod components;
mod compositions;
mod counts;
mod debian;
mod docs;
mod fingerprint;
mod guest;
mod oci_registry;
mod peers;
mod pgo;
mod process;
mod registry;
mod rust;
mod serve;
mod setup;
mod test;
mod tools;
mod unpacked;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "Builds, shows, tests and checks Headwater",
    after_help = "\
Environment:
  HEADWATER_TOOLCHAIN  `rustup` or `debian`: what guests in Rust are built with. Without it, the
                       installed Rust if it has or can get the wasm targets, else Debian's packages.
  WASI_SDK_PATH        a wasi-sdk for the guest in C, in place of the system's clang."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the tools that build the guests: Rust's wasm targets, and a clang for WASI.
    Setup,
    /// Build the guests in `components/` into `target/components/`, except unchanged ones.
    Components,
    /// Run the unit tests, and the end-to-end tests against the real binary and the real guests.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
        /// Run the long tests in full, such as 100,000 requests to hosts that are stopped under
        /// load.
        #[arg(long)]
        all: bool,
        /// Arguments for the test programs, such as `--nocapture`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check format, lints, documentation, unused dependencies, licences, advisories and counts of
    /// instructions.
    Check {
        /// Only checks whose name contains this.
        filter: Option<String>,
    },
    /// Build a book of the documentation, in `target/book`.
    Docs,
    /// Serve five guests, send them overlapping requests, show the request of each outgoing call.
    Demo {
        /// Stop afterwards instead of continuing to serve; fail if anything was wrong.
        #[arg(long)]
        once: bool,
    },
    /// Draw the trace trees of the demo, as they look on a terminal, into docs/images/trace.svg.
    Picture,
    /// Load a host with good and bad guests and clients for minutes; fail if anything is lost or
    /// leaks.
    Soak {
        /// Arguments for the soak test: `--minutes N`, or `--outgoing N` for a number of outgoing
        /// requests, or `--isolation N` minutes; `--host FILE` loads another host.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare 200,000 outgoing requests of a random mix with the requests they were made for; fail
    /// if one is attributed wrongly.
    ProveAttribution {
        /// Arguments for the proof: `--calls N`, `--seed S`, `--table`; `--release` tests the
        /// optimised host, `--host FILE` another one.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the host with counters, load it, and build it again with the profile. Prints the path of
    /// the binary.
    Release,
    /// Measure the optimised binary against other servers (which are installed for it), the stock
    /// dispatch, and wasmtime alone. `bench table` prints how it compares with its peers; `bench
    /// --check` compares counts of instructions with the committed ones, which needs no quiet
    /// machine.
    Bench {
        /// Arguments for the benchmark: the names of parts, `--host FILE` to measure another host
        /// over sockets, and `--help`. `--check` takes parts of the names of what is counted, and
        /// `--update` to record the counts.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup => setup::run().map(|_| ExitCode::SUCCESS),
        Command::Components => components::run(&workspace).map(|_| ExitCode::SUCCESS),
        Command::Test {
            filter,
            all,
            arguments,
        } => test::run(&workspace, filter.as_deref(), all, &arguments).map(|()| ExitCode::SUCCESS),
        Command::Check { filter } => check::run(&workspace, filter.as_deref().unwrap_or_default())
            .map(|()| ExitCode::SUCCESS),
        Command::Docs => docs::book(&workspace).map(|()| ExitCode::SUCCESS),
        Command::Demo { once } => serve::demo(&workspace, if once { &["--once"] } else { &[] }),
        Command::Picture => {
            std::fs::create_dir_all(workspace.root.join("docs/images"))?;
            serve::demo(&workspace, &["--picture", "docs/images/trace.svg"])
        }
        Command::Soak { arguments } => serve::soak(&workspace, &arguments),
        Command::ProveAttribution { arguments } => serve::prove_attribution(&workspace, &arguments),
        Command::Release => pgo::release(&workspace).map(|_| ExitCode::SUCCESS),
        Command::Bench { arguments } => serve::bench(&workspace, &arguments),
    }
}
