//! Benchmarks of the runtime's parts, in one process and without sockets. `cargo xtask bench`
//! builds the guests and runs it; the name of a part measures that part alone.
//!
//! One binary for all of them: linking each with all of wasmtime takes minutes.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "its output is what it is for"
)]

mod attribution;
mod bare;
mod calls;
mod counts;
mod dispatch;
mod egress;
mod hello;
mod instances;
mod ledger;
mod reset;
mod rounds;
mod stock;
mod wakes;

use std::process::ExitCode;

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

/// As in the binary that users run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Attribution,
    Dispatch,
    Egress,
    Instances,
    Reset,
}

impl Part {
    const ALL: [(&str, Self); 5] = [
        ("attribution", Self::Attribution),
        ("dispatch", Self::Dispatch),
        ("egress", Self::Egress),
        ("instances", Self::Instances),
        ("reset", Self::Reset),
    ];

    /// Returns true if its targets are met.
    fn measure(self) -> Result<bool> {
        match self {
            Self::Attribution => one_thread()?.block_on(attribution::measure()),
            Self::Dispatch => Runtime::new()?.block_on(dispatch::measure()),
            Self::Egress => one_thread()?.block_on(egress::measure()),
            Self::Instances => one_thread()?.block_on(instances::measure()),
            Self::Reset => Runtime::new()?.block_on(reset::measure()),
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "reset-server" => {
            Runtime::new()?.block_on(reset::serve(rest))?;
            return Ok(ExitCode::SUCCESS);
        }
        Some((first, rest)) if first == "reset-settings" => {
            Runtime::new()?.block_on(reset::compare(rest))?;
            return Ok(ExitCode::SUCCESS);
        }
        Some((first, rest)) if first == "count" => {
            counts::count(rest)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let mut parts = Vec::new();
    let mut assert = false;
    for argument in arguments {
        match argument.as_str() {
            "--assert" => assert = true,
            // Cargo passes it to all benchmarks.
            "--bench" => {}
            name => match Part::ALL.into_iter().find(|(named, _)| *named == name) {
                Some((_, part)) => parts.push(part),
                None => {
                    let names = Part::ALL.map(|(name, _)| name).join(", ");
                    eprintln!("error: no part is called {name}; there are: {names}, and --assert");
                    return Ok(ExitCode::from(2));
                }
            },
        }
    }
    if parts.is_empty() {
        parts = Part::ALL.map(|(_, part)| part).into();
    }
    let mut met = true;
    for part in parts {
        met &= part.measure()?;
    }
    Ok(if assert && !met {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Measurements by a thread's CPU time need a single thread.
fn one_thread() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
