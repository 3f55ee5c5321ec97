//! Measures how fast and how large `headwater serve` is, as ratios to something that is measured in
//! the same run. `cargo xtask bench` builds what it needs and starts it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

mod answer;
mod cgi;
mod chains;
mod egress;
mod front;
mod goal;
mod handshakes;
mod idle;
mod load;
mod long;
mod neighbour;
mod options;
mod paced;
mod plain;
mod scaling;
mod speed;
mod table;
mod time_wait;
mod wagi;
mod workload;

use std::process::ExitCode;

use anyhow::Result;

use crate::options::{Command, Options, Part, USAGE};

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode> {
    let options = match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Command::PlainServer) => return plain::serve().await,
        Ok(Command::NativeServer) => return table::native::serve().await,
        Ok(Command::Workload(options)) => {
            return workload::run(&options).await.map(|()| ExitCode::SUCCESS);
        }
        Ok(Command::Bench(options)) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    if cfg!(debug_assertions) {
        println!("note: built without optimisation; the figures say nothing about a release\n");
    }
    Ok(if measure(&options).await? || !options.assert {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the selected measurements, and returns true if all goals were met.
async fn measure(options: &Options) -> Result<bool> {
    let mut met = true;
    for part in Part::ALL {
        if options.wants(part) {
            let goals = match part {
                Part::Speed => speed::measure(options).await?,
                Part::Front => front::measure(options).await?,
                Part::Idle => idle::measure().await?,
                Part::Neighbour => neighbour::measure(options).await?,
                Part::Egress => egress::measure(options).await?,
                Part::Wagi => wagi::measure(options).await?,
                Part::Chains => chains::measure(options).await?,
                Part::Scaling => scaling::measure(options).await?,
                Part::Table => {
                    table::measure(&options.table).await?;
                    Vec::new()
                }
            };
            for goal in &goals {
                println!("{goal}");
            }
            println!();
            met &= goals.iter().all(|goal| goal.met);
        }
    }
    Ok(met)
}
